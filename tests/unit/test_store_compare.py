"""Which verdicts changed between two runs, and why: each reason is found, and not another."""

from typing import Any

import msgspec
import pytest

from inspector.config import ArbiterSetup, DecisionConfig, Failsafe
from inspector.store.commands import arbiter_of
from inspector.store.compare import Why, compare_runs
from inspector.store.decide_again import decide_again
from inspector.types import (
    FrameResult,
    JournalEntry,
    PartTrigger,
    Quality,
    ResultStatus,
    SensorEvent,
    VerdictRecord,
)

MS = 1_000_000


class Recorded:
    """A session's journal, without its files."""

    path = "recorded"

    def __init__(self, entries: list[JournalEntry]) -> None:
        self._entries = entries

    def merged(self, *_: Any, **__: Any) -> list[tuple[str, JournalEntry]]:
        return [("journal", entry) for entry in self._entries]


def setup(**policy: Any) -> ArbiterSetup:
    return ArbiterSetup(
        decision=DecisionConfig(**policy),
        cameras=("cam1",),
        expected_sensors=(),
        config_sha256="",
        model_sha256="a",
    )


def result(frame_id: int, p_defect: float, model: str = "a") -> FrameResult:
    at_ns = frame_id * 1000 * MS
    return FrameResult(
        camera_id="cam1", frame_id=frame_id, exposure_start_ns=at_ns, clock_uncertainty_us=1.0,
        received_ns=at_ns + 5 * MS, model_sha256=model, status=ResultStatus.OK, p_defect=p_defect,
        started_ns=at_ns + 5 * MS, finished_ns=at_ns + 9 * MS,
    )  # fmt: skip


def session(*parts: tuple[float, float], result_after_ms: int = 10) -> Recorded:
    """Parts a second apart, each (p_defect of its picture, of its sensor)."""
    entries: list[JournalEntry] = []

    def take(now_ns: int, **item: Any) -> None:
        entries.append(JournalEntry(seq=len(entries) + 1, epoch="e", now_ns=now_ns, **item))

    for number, (seen, read) in enumerate(parts, start=1):
        at_ns = number * 1000 * MS
        event = SensorEvent(
            sensor_id="force", kind="force", value=read, unit="N", quality=Quality.GOOD, urgency=0.0,
            p_defect=read, seq=number, observed_ns=at_ns - MS, received_ns=at_ns - MS,
        )  # fmt: skip
        take(at_ns - MS, event=event)
        take(
            at_ns, trigger=PartTrigger(part_id=f"P{number}", seq=number, trigger_ns=at_ns, received_ns=at_ns)
        )
        take(at_ns + result_after_ms * MS, result=result(number, seen))
    return Recorded(entries)


def decided(recorded: Recorded, policy: ArbiterSetup, *others: FrameResult) -> list[VerdictRecord]:
    results = {(r.camera_id, r.frame_id, r.received_ns): r for r in others}
    return list(decide_again(recorded, lambda _: arbiter_of(policy), results))  # type: ignore[arg-type]


USUAL = setup()
GOOD, BAD = (0.02, 0.5), (0.98, 0.5)


def test_the_same_run_is_the_same() -> None:
    run = decided(session(GOOD, BAD, GOOD), USUAL)
    compared = compare_runs(run, run, USUAL, USUAL)
    assert (compared.parts, compared.same, compared.moved, compared.changes) == (3, 3, 0, [])


@pytest.mark.parametrize(
    ("policy", "detail"),
    [
        (setup(confirm_confidence=0.99), "decision.confirm_confidence 0.75 -> 0.99"),
        (setup(confirm_confidence=0.99, failsafe=Failsafe.REJECT), "decision.failsafe HOLD -> REJECT"),
    ],
)
def test_another_policy_is_named_with_both_values(policy: ArbiterSetup, detail: str) -> None:
    recorded = session(GOOD, (0.001, 0.5))
    compared = compare_runs(decided(recorded, USUAL), decided(recorded, policy), USUAL, policy)
    (change,) = compared.changes
    assert (change.part_id, change.why) == ("P1", Why.THRESHOLD)
    assert detail in change.detail


def test_another_failsafe_is_policy_too() -> None:
    rejecting = setup(failsafe=Failsafe.REJECT)
    recorded = session((0.5, 0.5))
    compared = compare_runs(decided(recorded, USUAL), decided(recorded, rejecting), USUAL, rejecting)
    assert [change.why for change in compared.changes] == [Why.THRESHOLD]


def test_another_model_is_named_with_what_it_saw() -> None:
    recorded = session(GOOD, GOOD)
    compared = compare_runs(
        decided(recorded, USUAL), decided(recorded, USUAL, result(2, 0.97, model="b")), USUAL, USUAL
    )
    (change,) = compared.changes
    assert (change.part_id, change.was, change.now) == ("P2", "PASS", "REJECT")
    assert (change.why, change.detail) == (Why.MODEL, "cam1 0.020 -> 0.970")
    assert compared.same == 1


def test_another_reading_is_named_with_its_sensor() -> None:
    one, other = session((0.5, 0.02)), session((0.5, 0.98))
    compared = compare_runs(decided(one, USUAL), decided(other, USUAL), USUAL, USUAL)
    (change,) = compared.changes
    assert (change.why, change.detail) == (Why.SENSORS, "force 0.02 -> 0.98")


def test_evidence_that_came_too_late_is_timing() -> None:
    one, other = session(GOOD), session(GOOD, result_after_ms=400)
    compared = compare_runs(decided(one, USUAL), decided(other, USUAL), USUAL, USUAL)
    (change,) = compared.changes
    assert (change.why, change.detail) == (Why.TIMING, "missing nothing -> vision.cam1")


def test_parts_of_one_run_only_are_told() -> None:
    compared = compare_runs(decided(session(GOOD), USUAL), decided(session(GOOD, BAD), USUAL), USUAL, USUAL)
    (change,) = compared.changes
    assert (change.part_id, change.was, change.why) == ("P2", None, Why.ONLY_B)


def test_a_shorter_deadline_is_waited_for_although_nothing_was_recorded_then() -> None:
    hasty = setup(deadline_ms=100)
    (record,) = decided(session(GOOD, result_after_ms=200), hasty)
    assert record.verdict.missing == ("vision.cam1",)
    assert record.verdict.decided_ns == 1000 * MS + 75 * MS


def test_recorded_ticks_and_entries_that_came_twice_change_nothing() -> None:
    recorded = session(GOOD, BAD)
    entries = [entry for _, entry in recorded.merged()]
    tick = msgspec.structs.replace(entries[2], seq=7, result=None)
    assert decided(Recorded([*entries[:3], entries[2], *entries[3:], tick]), USUAL) == decided(
        recorded, USUAL
    )
