"""A further modality: weighed when it is there, waited for by a part in doubt, and missed by nobody else."""

import msgspec
import pytest
from decide_line import MS, Line, assert_all_judged_and_replayable, reading, result, setup_for, trigger
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inspector.config import ArbiterSetup
from inspector.decide.rules import base_weights
from inspector.fusion.context import fixed, fuse
from inspector.fusion.pool import modalities
from inspector.types import Action, Decision, PartEvidence, ReasonCode, SensorEvent

REJECTS, CONFIRMS = 0.95, 0.05


def word(seq: int, about_ms: float, p: float, said_ms: float) -> SensorEvent:
    spoken = reading(seq, about_ms, p=p, received_ms=said_ms)
    return msgspec.structs.replace(spoken, sensor_id="operator1", modality="speech")


def awaiting() -> ArbiterSetup:
    return replace(setup_for(), awaited_sensors=("operator1",))


@pytest.mark.parametrize(("p", "action"), [(REJECTS, Action.REJECT), (CONFIRMS, Action.PASS)])
def test_a_part_in_doubt_waits_for_the_operators_word_and_is_decided_by_it(p: float, action: Action) -> None:
    line = Line(awaiting())
    line.at(0, trigger=trigger(1, 0))
    line.at(20, result=result(1, 0, 0.5))
    assert line.at(120) == []
    (verdict,) = line.at(150, event=word(1, 0, p, 150))
    assert (verdict.decision, verdict.action) == (Decision.CONFIRMED_ACTION, action)
    assert verdict.modalities == ("speech", "vision")
    assert verdict.weights == pytest.approx({"vision": 1.0, "speech": 2 / 3})
    assert verdict.cause == ("operator1" if action is Action.REJECT else "")


def test_without_a_word_the_part_is_pending_at_its_deadline_and_nothing_is_missing() -> None:
    line = Line(awaiting())
    line.at(0, trigger=trigger(1, 0))
    line.at(20, result=result(1, 0, 0.6))
    (verdict,) = line.at(300)
    assert verdict.decided_ns == 180 * MS
    assert (verdict.decision, verdict.reason_code) == (Decision.PENDING, ReasonCode.LOW_CONFIDENCE)
    assert verdict.missing == ()


def test_a_part_that_is_sure_waits_for_nobody() -> None:
    line = Line(awaiting())
    line.at(0, trigger=trigger(1, 0))
    (verdict,) = line.at(20, result=result(1, 0, 0.02))
    assert (verdict.action, verdict.modalities) == (Action.PASS, ("vision",))


def test_a_word_about_another_part_changes_nothing() -> None:
    line = Line(awaiting())
    line.at(0, trigger=trigger(1, 0))
    line.at(20, result=result(1, 0, 0.6))
    assert line.at(60, event=word(1, -500, REJECTS, 60)) == []
    (verdict,) = line.at(300)
    assert verdict.p_defect == pytest.approx(0.6)


def test_who_corrects_himself_means_what_he_said_last_and_a_sensor_its_worst() -> None:
    words = (word(1, 0, REJECTS, 100), word(2, 0, CONFIRMS, 120))
    shakes = (reading(1, 0, p=0.9), reading(2, 1, p=0.5))
    assert modalities(evidence(*words, *shakes)) == {"speech": CONFIRMS, "sensors": 0.9}


@given(p=st.floats(0.01, 0.99))
def test_a_modality_that_is_silent_neither_vetoes_nor_confirms(p: float) -> None:
    silent = msgspec.structs.replace(word(1, 0, 0.5, 10), p_defect=None)
    seen = (result(1, 0, p),)
    with_it, without = evidence(silent, results=seen), evidence(results=seen)
    assert modalities(with_it) == modalities(without) == {"vision": p}


def test_fitted_weights_that_do_not_know_a_modality_weigh_it_as_a_second_one() -> None:
    base = base_weights(setup_for().decision)
    heard = evidence(word(1, 0, REJECTS, 10), results=(result(1, 0, 0.5),))
    fused = fuse(heard, fixed(base), 0.0)
    assert fused.weights == pytest.approx({"vision": 1.0, "speech": 2 / 3})
    assert fused.p_defect == pytest.approx(0.877, abs=0.001)


@given(
    said=st.lists(
        st.tuples(st.integers(1, 6), st.sampled_from([REJECTS, CONFIRMS]), st.integers(1, 300)), max_size=8
    ),
    views=st.lists(st.sampled_from([0.02, 0.5, 0.6, 0.98]), min_size=6, max_size=6),
)
def test_whatever_is_said_every_part_has_one_verdict_in_time_and_a_replay_gives_it_again(
    said: list[tuple[int, float, int]], views: list[float]
) -> None:
    triggers = [trigger(part, part * 100.0) for part in range(1, 7)]
    inputs: list[tuple[float, dict[str, object]]] = []
    for each, p in zip(triggers, views, strict=True):
        at_ms = each.trigger_ns / MS
        inputs += [(at_ms, {"trigger": each}), (at_ms + 20, {"result": result(each.seq, at_ms, p)})]
    for seq, (part, p, after_ms) in enumerate(said, 1):
        inputs.append(
            (part * 100.0 + after_ms, {"event": word(seq, part * 100.0, p, part * 100.0 + after_ms)})
        )
    line = Line(awaiting())
    for at_ms, content in sorted(inputs, key=lambda each: each[0]):
        line.at(at_ms, **content)
    line.at(2000)
    assert_all_judged_and_replayable(line, awaiting(), triggers)


def evidence(*events: SensorEvent, results: tuple[object, ...] = ()) -> PartEvidence:
    empty = PartEvidence(part_id="P1", trigger_ns=0, window_start_ns=-50 * MS, window_end_ns=50 * MS)
    return msgspec.structs.replace(empty, events=events, results=results)
