"""The arbiter's promises, over arrivals in any order, losses, duplicates, outages and emergencies."""

from collections import Counter

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inspector.config import ArbiterSetup, DecisionConfig
from inspector.decide.arbiter import Arbiter
from inspector.types import (
    Action,
    Command,
    CommandKind,
    Decision,
    FrameResult,
    Health,
    JournalEntry,
    Opinion,
    OpinionRequest,
    PartTrigger,
    Quality,
    ReasonCode,
    ResultStatus,
    SensorEvent,
    ServiceState,
    Verdict,
    VerdictRecord,
)

MS = 1_000_000
POLICY = DecisionConfig(deadline_ms=200, delivery_margin_ms=20, max_skew_ms=50)


def setup_for(cameras: tuple[str, ...] = ("cam1",), sensors: tuple[str, ...] = ()) -> ArbiterSetup:
    return ArbiterSetup(
        decision=POLICY,
        cameras=cameras,
        expected_sensors=sensors,
        config_sha256="c" * 64,
        model_sha256="m" * 64,
    )


def trigger(part: int, at_ms: float, received_ms: float | None = None) -> PartTrigger:
    received = at_ms if received_ms is None else received_ms
    return PartTrigger(
        part_id=f"P{part}", seq=part, trigger_ns=round(at_ms * MS), received_ns=round(received * MS)
    )


def result(
    frame: int, at_ms: float, p: float | None, camera: str = "cam1", status: ResultStatus = ResultStatus.OK
) -> FrameResult:
    return FrameResult(
        camera_id=camera,
        frame_id=frame,
        exposure_start_ns=round(at_ms * MS),
        clock_uncertainty_us=0.0,
        received_ns=round((at_ms + 8) * MS),
        model_sha256="m" * 64,
        status=status,
        p_defect=p,
        started_ns=round((at_ms + 9) * MS),
        finished_ns=round((at_ms + 20) * MS),
    )


def reading(seq: int, at_ms: float, urgency: float = 0.0, p: float | None = 0.5) -> SensorEvent:
    return SensorEvent(
        sensor_id="vib",
        kind="vibration",
        value=1.0,
        unit="mm/s",
        quality=Quality.GOOD,
        urgency=urgency,
        p_defect=p,
        seq=seq,
        observed_ns=round(at_ms * MS),
        received_ns=round(at_ms * MS),
    )


class Line:
    """Feeds an arbiter and keeps its verdicts; runs the ticks that it asks for."""

    def __init__(self, setup: ArbiterSetup) -> None:
        self.arbiter = Arbiter(setup)
        self.entries: list[JournalEntry] = []
        self.verdicts: list[Verdict] = []
        self.asked: list[OpinionRequest] = []
        self.now_ns = 0

    def at(self, now_ms: float, **content: object) -> list[Verdict]:
        """Advance to `now_ms`, running due ticks, then take one input. Returns the new verdicts."""
        until_ns = round(now_ms * MS)
        before = len(self.verdicts)
        while (wake_ns := self.arbiter.next_wakeup_ns) is not None and wake_ns <= until_ns:
            self._step(max(wake_ns, self.now_ns), {})
        self._step(max(until_ns, self.now_ns), content)
        return self.verdicts[before:]

    def _step(self, now_ns: int, content: dict[str, object]) -> None:
        self.now_ns = now_ns
        entry = msgspec.convert(
            {"seq": len(self.entries), "epoch": "e", "now_ns": now_ns, **content}, JournalEntry
        )
        self.entries.append(entry)
        for output in self.arbiter.step(entry):
            if isinstance(output, VerdictRecord):
                self.verdicts.append(output.verdict)
            else:
                self.asked.append(output)


def test_confident_defect_is_rejected_as_soon_as_the_evidence_is_complete() -> None:
    line = Line(setup_for())
    assert line.at(1000, trigger=trigger(1, 1000)) == []
    (verdict,) = line.at(1022, result=result(1, 1002, 0.97))
    assert (verdict.decision, verdict.action) == (Decision.CONFIRMED_ACTION, Action.REJECT)
    assert verdict.confidence == pytest.approx(0.97)
    assert verdict.decided_ns == 1022 * MS
    assert verdict.weights == {"vision": 1.0}


def test_a_result_that_overtakes_its_trigger_is_kept_for_it() -> None:
    line = Line(setup_for())
    line.at(1018, result=result(1, 1001, 0.02))
    (verdict,) = line.at(1030, trigger=trigger(1, 1000, 1030))
    assert verdict.action is Action.PASS


def test_a_missing_modality_neither_vetoes_nor_confirms() -> None:
    alone = Line(setup_for())
    alone.at(0, trigger=trigger(1, 0))
    (by_vision,) = alone.at(20, result=result(1, 0, 0.8))
    assert by_vision.p_defect == pytest.approx(0.8)
    assert by_vision.decision is Decision.CONFIRMED_ACTION


def test_without_vision_the_part_is_held_at_its_deadline_and_says_what_is_missing() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    (verdict,) = line.at(500)
    assert verdict.decided_ns == 180 * MS
    assert (verdict.action, verdict.failsafe) == (Action.HOLD, True)
    assert verdict.reason_code is ReasonCode.EVIDENCE_MISSING
    assert verdict.missing == ("vision.cam1",)


def test_the_verdict_names_the_service_whose_outage_took_the_evidence() -> None:
    line = Line(setup_for())
    dead = Health(
        service="detector", pid=1, state=ServiceState.DEAD, detail="signal 9", at_ns=10 * MS, counters={}
    )
    line.at(0, trigger=trigger(1, 0))
    line.at(10, health=dead)
    (verdict,) = line.at(300)
    assert verdict.cause == "detector down"


def test_an_invalid_frame_is_evidence_missing_and_not_a_pass() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    (verdict,) = line.at(30, result=result(1, 0, None, status=ResultStatus.INVALID_FRAME))
    assert verdict.action is Action.HOLD
    assert verdict.missing == ("vision.cam1",)


def test_low_confidence_waits_for_readings_until_the_window_closes_then_is_pending() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    assert line.at(20, result=result(1, 0, 0.6)) == []
    (verdict,) = line.at(100)
    assert verdict.decided_ns == 50 * MS
    assert (verdict.decision, verdict.reason_code) == (Decision.PENDING, ReasonCode.LOW_CONFIDENCE)


def test_a_suspicious_reading_inside_the_window_counts_and_one_outside_does_not() -> None:
    inside, outside = Line(setup_for()), Line(setup_for())
    for line, at_ms in ((inside, -49.0), (outside, -51.0)):
        line.at(0, event=reading(1, at_ms, p=0.95))
        line.at(0, trigger=trigger(1, 0))
        line.at(20, result=result(1, 0, 0.6))
        line.at(100)
    assert inside.verdicts[0].action is Action.REJECT
    assert inside.verdicts[0].modalities == ("sensors", "vision")
    assert outside.verdicts[0].p_defect == pytest.approx(0.6)


def test_emergency_comes_first_takes_the_open_parts_and_latches_until_reset() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    stop, part = line.at(5, event=reading(1, 5, urgency=0.95))
    assert (stop.part_id, stop.decision, stop.action) == ("", Decision.EMERGENCY_BRAKE, Action.STOP)
    assert (part.part_id, part.decision) == ("P1", Decision.EMERGENCY_BRAKE)
    (latched,) = line.at(100, trigger=trigger(2, 100))
    assert latched.reason_code is ReasonCode.LATCHED
    line.at(200, command=Command(kind=CommandKind.RESET, source="hmi", received_ns=0))
    line.at(300, trigger=trigger(3, 300))
    (after,) = line.at(320, result=result(9, 300, 0.01))
    assert after.action is Action.PASS


def test_urgency_at_the_limit_is_not_over_it() -> None:
    line = Line(setup_for())
    assert line.at(0, event=reading(1, 0, urgency=0.8)) == []


def test_a_repeated_trigger_is_not_a_second_part() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    line.at(20, result=result(1, 0, 0.01))
    line.at(30, trigger=trigger(1, 0))
    line.at(1000)
    assert len(line.verdicts) == 1
    assert line.arbiter.counters["duplicate_triggers"] == 1


def test_a_trigger_after_its_own_deadline_is_pending_and_says_so() -> None:
    line = Line(setup_for())
    line.at(20, result=result(1, 0, 0.01))
    (verdict,) = line.at(5000, trigger=trigger(1, 0, 5000))
    assert verdict.reason_code is ReasonCode.TRIGGER_LATE
    assert (verdict.decision, verdict.action) == (Decision.PENDING, Action.HOLD)
    assert verdict.p_defect == pytest.approx(0.01), "what was known is still said"


def test_each_result_goes_to_the_nearest_part() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    line.at(60, trigger=trigger(2, 60))
    (second,) = line.at(70, result=result(2, 58, 0.99))
    assert second.part_id == "P2"
    (first,) = line.at(71, result=result(1, 3, 0.01))
    assert first.part_id == "P1"


def test_all_cameras_are_awaited_and_the_worst_view_decides() -> None:
    line = Line(setup_for(cameras=("cam1", "cam2")))
    line.at(0, trigger=trigger(1, 0))
    assert line.at(20, result=result(1, 0, 0.01)) == []
    (verdict,) = line.at(25, result=result(1, 1, 0.99, camera="cam2"))
    assert verdict.action is Action.REJECT


def test_an_opinion_is_asked_only_when_it_can_come_in_time_and_then_counts() -> None:
    setup = setup_for().model_copy(
        update={"decision": DecisionConfig(deadline_ms=2000, opinion_budget_ms=800)}
    )
    line = Line(setup)
    offered = Health(
        service="explainer",
        pid=1,
        state=ServiceState.READY,
        detail="",
        at_ns=0,
        counters={"opinions_offered": 1.0},
    )
    line.at(0, health=offered)
    line.at(0, trigger=trigger(1, 0))
    line.at(20, result=result(1, 0, 0.65))
    assert [request.part_id for request in line.asked] == ["P1"]
    opinion = Opinion(part_id="P1", p_defect=0.99, latency_ms=500, model_sha256="l" * 64)
    (verdict,) = line.at(600, opinion=opinion)
    assert verdict.action is Action.REJECT
    assert "opinion" in verdict.modalities
    late = Line(setup_for())
    late.at(0, health=offered)
    late.at(0, trigger=trigger(1, 0))
    late.at(20, result=result(1, 0, 0.65))
    assert late.asked == []


@given(order=st.permutations(range(5)), p=st.floats(0.0, 1.0), s=st.floats(0.0, 1.0))
def test_the_order_in_which_evidence_arrives_changes_nothing(order: list[int], p: float, s: float) -> None:
    inputs: list[dict[str, object]] = [
        {"trigger": trigger(1, 0)},
        {"event": reading(1, -5, p=s)},
        {"event": reading(2, 5, p=s / 2)},
        {"result": result(1, 1, p)},
        {"result": result(1, 2, p / 2, camera="cam2")},
    ]
    expected: Verdict | None = None
    for arrivals in (range(5), order):
        line = Line(setup_for(cameras=("cam1", "cam2"), sensors=("vib",)))
        # All arrive at one instant; the last of them, or the deadline, decides.
        for index in arrivals:
            entry = JournalEntry(seq=index, epoch="e", now_ns=10 * MS)
            line.entries.append(msgspec.structs.replace(entry, **inputs[index]))
        # Readings that come after a verdict cannot count, so the trigger goes last.
        line.entries.sort(key=lambda entry: entry.trigger is not None)
        for entry in line.entries:
            for output in line.arbiter.step(entry):
                assert isinstance(output, VerdictRecord)
                line.verdicts.append(output.verdict)
        line.at(1000)
        (verdict,) = line.verdicts
        expected = expected or verdict
        assert verdict == expected


class AnyLine(RuleBasedStateMachine):
    """Anything may arrive, late, twice, in any order or never; the promises hold all the same."""

    @initialize(
        cameras=st.sampled_from([("cam1",), ("cam1", "cam2")]), sensors=st.sampled_from([(), ("vib",)])
    )
    def begin(self, cameras: tuple[str, ...], sensors: tuple[str, ...]) -> None:
        self.cameras = cameras
        self.setup = setup_for(cameras, sensors)
        self.line = Line(self.setup)
        self.now_ms = 1000.0
        self.parts: list[PartTrigger] = []
        self.seq = 0

    @rule(step_ms=st.floats(0, 120))
    def time_passes(self, step_ms: float) -> None:
        self.now_ms += step_ms
        self.line.at(self.now_ms)

    @rule(delay_ms=st.one_of(st.floats(0, 20), st.floats(0, 400)))
    def part_arrives(self, delay_ms: float) -> None:
        self.parts.append(trigger(len(self.parts) + 1, self.now_ms - delay_ms, self.now_ms))
        self.line.at(self.now_ms, trigger=self.parts[-1])

    @precondition(lambda self: self.parts)
    @rule(data=st.data())
    def trigger_repeats(self, data: st.DataObject) -> None:
        self.line.at(self.now_ms, trigger=data.draw(st.sampled_from(self.parts)))

    @rule(
        offset_ms=st.floats(-100, 100),
        p=st.one_of(st.none(), st.floats(0, 1)),
        camera=st.integers(0, 1),
    )
    def result_arrives(self, offset_ms: float, p: float | None, camera: int) -> None:
        self.seq += 1
        status = ResultStatus.OK if p is not None else ResultStatus.ENGINE_ERROR
        name = self.cameras[camera % len(self.cameras)]
        self.line.at(self.now_ms, result=result(self.seq, self.now_ms + offset_ms, p, name, status))

    @rule(offset_ms=st.floats(-100, 20), urgency=st.floats(0, 1), p=st.one_of(st.none(), st.floats(0, 1)))
    def sensor_speaks(self, offset_ms: float, urgency: float, p: float | None) -> None:
        self.seq += 1
        before = len(self.line.verdicts)
        self.line.at(self.now_ms, event=reading(self.seq, self.now_ms + offset_ms, urgency, p))
        new = self.line.verdicts[before:]
        if urgency > POLICY.emergency_urgency:
            brakes = [verdict for verdict in new if verdict.decision is Decision.EMERGENCY_BRAKE]
            assert brakes[0].part_id == ""
            assert brakes[0].decided_ns == self.line.now_ns
            assert self.line.arbiter.next_wakeup_ns is None, "an emergency leaves no part open"

    @rule(service=st.sampled_from(["detector", "camera.cam1", "explainer"]), up=st.booleans())
    def service_changes(self, service: str, up: bool) -> None:
        state = ServiceState.READY if up else ServiceState.DEAD
        self.line.at(
            self.now_ms,
            health=Health(
                service=service, pid=1, state=state, detail="", at_ns=self.line.now_ns, counters={}
            ),
        )

    @rule()
    def operator_resets(self) -> None:
        self.line.at(self.now_ms, command=Command(kind=CommandKind.RESET, source="hmi", received_ns=0))
        assert self.line.arbiter.latched_by is None

    @invariant()
    def never_two_verdicts_and_none_after_its_time(self) -> None:
        if not hasattr(self, "line"):
            return
        verdicts = [verdict for verdict in self.line.verdicts if verdict.part_id]
        assert max(Counter(verdict.part_id for verdict in verdicts).values(), default=1) == 1
        assert [verdict.seq for verdict in self.line.verdicts] == list(range(1, len(self.line.verdicts) + 1))
        for verdict in verdicts:
            if verdict.reason_code not in {ReasonCode.TRIGGER_LATE, ReasonCode.LATCHED}:
                assert verdict.decided_ns <= verdict.deadline_ns
            confirmed = verdict.decision is Decision.CONFIRMED_ACTION
            assert confirmed == (verdict.action in {Action.PASS, Action.REJECT})
            assert not (confirmed and verdict.missing)
            assert verdict.failsafe == (verdict.decision is Decision.PENDING)

    def teardown(self) -> None:
        if not hasattr(self, "line"):
            return
        self.line.at(self.now_ms + 1000)
        judged = {verdict.part_id for verdict in self.line.verdicts} - {""}
        assert judged == {part.part_id for part in self.parts}, "every part has its verdict"
        again = Arbiter(self.setup)
        replayed = [
            output.verdict
            for entry in self.line.entries
            for output in again.step(entry)
            if isinstance(output, VerdictRecord)
        ]
        assert replayed == self.line.verdicts, "a replay gives the same verdicts, bit for bit"


TestAnyLine = AnyLine.TestCase
TestAnyLine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
