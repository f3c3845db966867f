"""What leaves the cell: order, size, flags, characters."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.clock import NS_PER_MS, NS_PER_S
from inspector.errors import InvariantError
from inspector.mqtt_schema import (
    EXPLANATION,
    FAULT,
    HEARTBEAT_PB_MAX_BYTES,
    UNDELIVERED,
    VERDICT,
    Heartbeat,
)
from inspector.plc import payloads
from inspector.types import (
    Action,
    Decision,
    Explanation,
    ExplanationSource,
    Fault,
    ReasonCode,
    Verdict,
)

OFFSET_NS = 1_763_822_831_000_000_000
VERDICT_1 = Verdict(
    verdict_id="0f3a-17",
    part_id="P000123",
    seq=17,
    decision=Decision.CONFIRMED_ACTION,
    action=Action.REJECT,
    reason_code=ReasonCode.DEFECT,
    confidence=0.912345,
    p_defect=0.96,
    weights={"vision": 1.0},
    skew_ms=3.25,
    modalities=("vision",),
    missing=(),
    cause="scratch",
    trigger_ns=5 * NS_PER_S,
    decided_ns=5 * NS_PER_S,
    deadline_ns=6 * NS_PER_S,
    valid_until_ns=7 * NS_PER_S,
    failsafe=False,
    config_sha256="c" * 64,
    model_sha256="d" * 64,
)


def verdict(**changes: object) -> Verdict:
    return msgspec.structs.replace(VERDICT_1, **changes)


def sent(message: Verdict, latency_ms: float = 12.5) -> dict[str, object]:
    payload = payloads.verdict_payload(message, latency_ms, OFFSET_NS)
    assert len(payload) <= 512
    assert payload.isascii()
    values: dict[str, object] = json.loads(payload)
    assert list(values) == [key.name for key in VERDICT.keys]
    return values


def test_a_plc_whose_clock_stands_at_1970_has_its_verdict_too() -> None:
    # utc_ns 0 was taken in with an offset that was a little larger than that of the sending.
    at_ns = -OFFSET_NS - 7
    values = sent(verdict(trigger_ns=at_ns, valid_until_ns=at_ns))
    assert values["trigger_utc_ns"] == values["valid_until_utc_ns"] == 0
    fault = Fault(service="plc", code="X", text="", at_ns=at_ns)
    assert json.loads(payloads.fault_payload(fault, OFFSET_NS))["utc_ns"] == 0


def test_verdict_as_documented() -> None:
    assert sent(VERDICT_1) == {
        "verdict_id": "0f3a-17",
        "part_id": "P000123",
        "seq": 17,
        "decision": "CONFIRMED_ACTION",
        "action": "REJECT",
        "reason": "DEFECT",
        "cause": "scratch",
        "missing": "",
        "confidence": 0.9123,
        "p_defect": 0.96,
        "failsafe": False,
        "skew_ms": 3.25,
        "latency_ms": 12.5,
        "trigger_utc_ns": 5 * NS_PER_S + OFFSET_NS,
        "valid_until_utc_ns": 7 * NS_PER_S + OFFSET_NS,
        "model": "d" * 12,
        "config": "c" * 12,
        "ok": False,
        "ng": True,
        "ready": True,
    }


@pytest.mark.parametrize(
    ("action", "ok", "ng"),
    [
        (Action.PASS, True, False),
        (Action.REJECT, False, True),
        (Action.HOLD, False, False),
        (Action.STOP, False, False),
    ],
)
def test_ok_and_ng_exclude_each_other(action: Action, ok: bool, ng: bool) -> None:
    values = sent(verdict(action=action))
    assert (values["ok"], values["ng"]) == (ok, ng)


def test_nothing_known_is_minus_one() -> None:
    values = sent(verdict(p_defect=None), latency_ms=-1.0)
    assert values["p_defect"] == -1
    assert values["latency_ms"] == -1


@given(
    part_id=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=64),
    verdict_id=st.text(st.sampled_from("0123456789abcdef-"), min_size=1, max_size=36),
    cause=st.text(max_size=100),
    missing=st.lists(st.text(max_size=70), max_size=40).map(tuple),
    seq=st.integers(1, 2**40),
    p_defect=st.one_of(st.none(), st.floats(0, 1)),
    confidence=st.floats(0, 1),
    skew_ms=st.floats(0, 1e6),
    action=st.sampled_from(Action),
    reason_code=st.sampled_from(ReasonCode),
)
def test_no_names_make_a_verdict_too_long_or_not_ascii(**changes: object) -> None:
    message = verdict(**changes, decision=Decision.CONFIRMED_ACTION)
    values = sent(message, 123456.789)
    assert values["part_id"] == message.part_id
    assert values["verdict_id"] == message.verdict_id
    assert values["action"] == message.action


def test_missing_evidence_is_named_or_counted() -> None:
    assert sent(verdict(missing=("vision.cam1", "sensor.vib")))["missing"] == ("vision.cam1,sensor.vib")
    many = tuple(f"sensor.vibration{n}" for n in range(20))
    assert sent(verdict(missing=many))["missing"] == (
        "sensor.vibration0,sensor.vibration1,sensor.vibration2,+17"
    )


def test_a_label_in_any_language_becomes_ascii() -> None:
    assert sent(verdict(cause="Kratzer 5 µm\n90°"))["cause"] == "Kratzer 5 um 90 deg"
    assert sent(verdict(cause="划痕"))["cause"] == "??"


@pytest.mark.parametrize(
    ("written", "on_the_plc"),
    [
        ("Fräsgrat", "Fraesgrat"),
        ("Fra\u0308sgrat", "Fraesgrat"),  # the same word, its umlaut in two code points
        ("Übermaß", "Uebermass"),
        ("défaut de soudure", "defaut de soudure"),
        ("wżer", "wzer"),
        ("„Riss“ …", '"Riss" ...'),
    ],
)
def test_a_plc_reads_umlauts_as_two_letters_and_no_accents(written: str, on_the_plc: str) -> None:
    assert sent(verdict(cause=written))["cause"] == on_the_plc
    fault = Fault(service="detector", code="X", text=written, at_ns=5)
    assert FAULT.decode(payloads.fault_payload(fault, OFFSET_NS))["text"] == on_the_plc


@pytest.mark.parametrize("text", ["Kratzer über der Grenze, 90 °C", "工件 P7 已剔除，得分 0.91。", "🏭"])
def test_people_read_an_explanation_in_their_own_script(text: str) -> None:
    explanation = Explanation(
        verdict_id="v",
        part_id="p",
        text=text,
        cause=text,
        recommended_action=text + "\u200b\n",
        source=ExplanationSource.TEMPLATE,
        cited=(),
        model_sha256="",
        latency_ms=1.0,
    )
    payload = payloads.explanation_payload(explanation)
    assert payload.isascii()
    values = EXPLANATION.decode(payload)
    assert (values["text"], values["cause"]) == (text, text)
    assert values["recommended_action"] == text + "?"


@pytest.mark.parametrize(
    "changes",
    [
        {"confidence": float("nan")},
        {"confidence": 1.5},
        {"seq": 0},
        {"verdict_id": ""},
        {"verdict_id": "x" * 65},
        {"part_id": "p" * 65},
    ],
)
def test_a_verdict_that_breaks_its_own_rules_never_leaves(changes: dict[str, object]) -> None:
    with pytest.raises(InvariantError, match="our own verdict message"):
        payloads.verdict_payload(verdict(**changes), 1.0, OFFSET_NS)


def test_notice_of_an_undelivered_verdict() -> None:
    payload = payloads.verdict_payload(VERDICT_1, 1.0, OFFSET_NS)
    notice = UNDELIVERED.decode(payloads.undelivered_payload(payload, 99))
    assert notice == {
        "verdict_id": "0f3a-17",
        "part_id": "P000123",
        "decision": "CONFIRMED_ACTION",
        "action": "REJECT",
        "reason": "DEFECT",
        "expired_utc_ns": 99,
    }


@given(st.text(max_size=5000), st.text(max_size=1000), st.text(max_size=1000))
def test_an_explanation_of_any_length_fits(text: str, cause: str, action: str) -> None:
    payload = payloads.explanation_payload(
        Explanation(
            verdict_id="v" * 64,
            part_id="p" * 64,
            text=text,
            cause=cause,
            recommended_action=action,
            source=ExplanationSource.LLM,
            cited=("f1",),
            model_sha256="",
            latency_ms=5210.04,
        )
    )
    assert EXPLANATION.decode(payload)["latency_ms"] == 5210.0


def test_a_long_quoted_explanation_is_cut_and_not_lost() -> None:
    explanation = Explanation(
        verdict_id="v",
        part_id="p",
        text='"' * 3000,
        cause="\\" * 400,
        recommended_action='"' * 400,
        source=ExplanationSource.TEMPLATE,
        cited=(),
        model_sha256="",
        latency_ms=1.0,
    )
    values = EXPLANATION.decode(payloads.explanation_payload(explanation))
    assert str(values["text"]).endswith("...")


def test_a_fault_keeps_what_to_do_within_240_characters() -> None:
    fault = Fault(service="camera.cam1", code="CAMERA_LOST", text="x" * 300, at_ns=5)
    values = FAULT.decode(payloads.fault_payload(fault, OFFSET_NS))
    assert values["text"] == "x" * 237 + "..."
    assert values["utc_ns"] == OFFSET_NS + 5


@pytest.mark.parametrize(("left_ms", "expiry_s"), [(-5, 1), (1, 1), (1000, 1), (1001, 2)])
def test_message_expiry_is_rounded_up_to_seconds(left_ms: int, expiry_s: int) -> None:
    assert payloads.expiry_s(10**12 + left_ms * NS_PER_MS, 10**12) == expiry_s


@given(st.integers(0, 2**70), st.integers(0, 2**63 - 1), st.booleans())
def test_the_short_heartbeat_has_at_most_24_bytes(count: int, utc_ns: int, latched: bool) -> None:
    payload = payloads.heartbeat_pb_payload(count, utc_ns, latched)
    assert len(payload) <= HEARTBEAT_PB_MAX_BYTES
    beat = Heartbeat.FromString(payload)
    assert (beat.count, beat.utc_ns, beat.emergency_latched) == (count % 2**32, utc_ns, latched)


WILD_NUMBERS = st.one_of(st.floats(), st.integers(-(2**70), 2**70))
WILD_TEXT = st.text(max_size=200)
WILD = st.fixed_dictionaries(
    {},
    optional={
        "verdict_id": WILD_TEXT,
        "part_id": WILD_TEXT,
        "seq": st.integers(-(2**70), 2**62),
        "confidence": WILD_NUMBERS,
        "p_defect": WILD_NUMBERS,
        "skew_ms": WILD_NUMBERS,
        "cause": WILD_TEXT,
        "missing": st.lists(WILD_TEXT, max_size=5).map(tuple),
        "trigger_ns": st.integers(-(2**70), 2**70),
        "valid_until_ns": st.integers(-(2**70), 2**70),
        "model_sha256": WILD_TEXT,
        "config_sha256": WILD_TEXT,
        "action": st.sampled_from(Action),
    },
)


@given(WILD, st.sampled_from([Action.HOLD, Action.REJECT]), st.booleans())
def test_what_is_left_of_a_broken_verdict_can_always_be_said_and_passes_nothing(
    changes: dict[str, object], failsafe: Action, emergency: bool
) -> None:
    if emergency:
        changes["decision"] = Decision.EMERGENCY_BRAKE
    values = sent(payloads.plain_verdict(verdict(**changes), failsafe), -1.0)
    assert values["action"] == ("STOP" if emergency else failsafe.value)
    assert values["ok"] is False
    assert values["failsafe"] is not emergency
