"""Triggers, commands and acknowledgements as the PLC and the operator send them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.clock import NS_PER_MS, NS_PER_S
from inspector.flat import RefusedError
from inspector.plc.intake import Acknowledgement, PlcIntake
from inspector.types import Action, Command, CommandKind, PartTrigger

UTC_OFFSET_NS = 1_763_822_831_000_000_000
NOW_NS = 50 * NS_PER_S


def trigger_payload(ago_ms: float = 2.0, **changes: object) -> bytes:
    utc_ns = NOW_NS + UTC_OFFSET_NS - int(ago_ms * NS_PER_MS)
    return json.dumps({"part_id": "P1", "seq": 1, "utc_ns": utc_ns} | changes).encode()


def take(intake: PlcIntake, payload: bytes, *, retained: bool = False) -> PartTrigger:
    return intake.trigger(payload, retained=retained, received_ns=NOW_NS, utc_offset_ns=UTC_OFFSET_NS)


def test_a_trigger_is_mapped_to_our_clock() -> None:
    assert take(PlcIntake(), trigger_payload(ago_ms=2)) == PartTrigger(
        part_id="P1", seq=1, trigger_ns=NOW_NS - 2 * NS_PER_MS, received_ns=NOW_NS
    )


def test_a_plc_clock_that_runs_ahead_loses_no_part() -> None:
    intake = PlcIntake()
    assert take(intake, trigger_payload(ago_ms=-3)).trigger_ns == NOW_NS
    assert intake.clock_ahead == 0
    assert take(intake, trigger_payload(ago_ms=-3_600_000)).trigger_ns == NOW_NS
    assert intake.clock_ahead == 1


def test_a_trigger_from_before_an_outage_keeps_its_time() -> None:
    # The arbiter must see that it is late; its verdict says so.
    trigger = take(PlcIntake(), trigger_payload(ago_ms=20_000))
    assert trigger.trigger_ns == NOW_NS - 20 * NS_PER_S


def test_a_repeated_trigger_is_one_part() -> None:
    intake = PlcIntake()
    take(intake, trigger_payload())
    with pytest.raises(RefusedError, match="here before"):
        take(intake, trigger_payload())
    take(intake, trigger_payload(seq=2))
    assert intake.refused == {"duplicate": 1}


@pytest.mark.parametrize("part_id", ["", "x" * 65, "a b", "ä", "\u0000", 'a"b', "a\\b", 5, None])
def test_a_part_id_that_a_plc_string_cannot_hold_is_refused(part_id: object) -> None:
    with pytest.raises(RefusedError, match="trigger"):
        take(PlcIntake(), trigger_payload(part_id=part_id))


def test_retained_messages_are_refused() -> None:
    intake = PlcIntake()
    with pytest.raises(RefusedError, match="without retain"):
        take(intake, trigger_payload(), retained=True)
    with pytest.raises(RefusedError, match="without retain"):
        intake.command(b'{"command":"RESET","source":"hmi"}', retained=True, received_ns=1)
    assert intake.refused == {"retained": 2}


def test_command() -> None:
    payload = b'{"command":"RESET","source":"hmi"}'
    assert PlcIntake().command(payload, retained=False, received_ns=7) == Command(
        kind=CommandKind.RESET, source="hmi", received_ns=7
    )
    with pytest.raises(RefusedError, match="command must be one of RESET"):
        PlcIntake().command(b'{"command":"reset","source":"hmi"}', retained=False, received_ns=7)


def test_a_recipe_comes_with_its_command_and_with_no_other() -> None:
    payload = b'{"command":"SELECT_RECIPE","recipe":"flange_b","source":"hmi"}'
    assert PlcIntake().command(payload, retained=False, received_ns=7) == Command(
        kind=CommandKind.SELECT_RECIPE, source="hmi", received_ns=7, recipe="flange_b"
    )
    for bad, reason in (
        (b'{"command":"SELECT_RECIPE","source":"hmi"}', "recipe is missing, it is needed with"),
        (b'{"command":"STOP","recipe":"flange_b","source":"hmi"}', "recipe belongs to command SELECT_RECIPE"),
        (b'{"command":"SELECT_RECIPE","recipe":"","source":"hmi"}', "recipe has 0 characters"),
        (b'{"recipe":"flange_b","source":"hmi"}', "command is missing"),
    ):
        with pytest.raises(RefusedError, match=reason):
            PlcIntake().command(bad, retained=False, received_ns=7)


ANY_VALUE = st.one_of(
    st.sampled_from([*CommandKind, "x", ""]), st.text(max_size=70), st.integers(), st.none()
)
ANY_COMMAND = st.dictionaries(st.sampled_from(["command", "recipe", "source", "reason"]), ANY_VALUE)


@given(ANY_COMMAND, st.booleans())
def test_whatever_is_commanded_is_whole_or_refused(values: dict[str, object], spaced: bool) -> None:
    text = json.dumps(values, separators=(", ", ": ") if spaced else (",", ":"))
    try:
        command = PlcIntake().command(text.encode(), retained=False, received_ns=7)
    except RefusedError:
        return
    assert (command.recipe != "") == (command.kind is CommandKind.SELECT_RECIPE)
    told = {"command": command.kind.value, "source": command.source, "recipe": command.recipe}
    assert {name: value for name, value in told.items() if value} == values


def test_acknowledgement() -> None:
    payload = b'{"verdict_id":"v1","part_id":"P1","action":"REJECT","utc_ns":5}'
    assert PlcIntake().acknowledgement(payload, retained=False, received_ns=7) == Acknowledgement(
        verdict_id="v1", part_id="P1", action=Action.REJECT, utc_ns=5, received_ns=7
    )


@given(st.lists(st.binary(max_size=600), max_size=20))
def test_a_storm_of_rubbish_is_counted(storm: list[bytes]) -> None:
    intake = PlcIntake()
    for payload in storm:
        with pytest.raises(RefusedError):
            take(intake, payload)
        with pytest.raises(RefusedError):
            intake.acknowledgement(payload, retained=False, received_ns=NOW_NS)
    assert intake.refused.total() == 2 * len(storm)
