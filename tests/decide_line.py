"""A line for the arbiter's tests: inputs at times in ms, verdicts out, and the promises that hold always."""

from collections import Counter

import msgspec

from inspector.config import ArbiterSetup, DecisionConfig
from inspector.decide.arbiter import Arbiter
from inspector.types import (
    Action,
    Decision,
    FrameResult,
    Health,
    JournalEntry,
    OpinionRequest,
    PartTrigger,
    Quality,
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
    frame: int,
    at_ms: float,
    p: float | None,
    camera: str = "cam1",
    status: ResultStatus = ResultStatus.OK,
    *,
    off_us: float | None = 0.0,
) -> FrameResult:
    return FrameResult(
        camera_id=camera,
        frame_id=frame,
        exposure_start_ns=round(at_ms * MS),
        clock_uncertainty_us=off_us,
        received_ns=round((at_ms + 8) * MS),
        model_sha256="m" * 64,
        status=status,
        p_defect=p,
        started_ns=round((at_ms + 9) * MS),
        finished_ns=round((at_ms + 20) * MS),
    )


def reading(
    seq: int, at_ms: float, urgency: float = 0.0, p: float | None = 0.5, received_ms: float | None = None
) -> SensorEvent:
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
        received_ns=round((at_ms if received_ms is None else received_ms) * MS),
    )


class Line:
    """Feeds an arbiter and keeps its verdicts; runs the ticks that it asks for."""

    def __init__(self, setup: ArbiterSetup) -> None:
        self.arbiter = Arbiter(setup)
        self.entries: list[JournalEntry] = []
        self.verdicts: list[Verdict] = []
        self.records: list[VerdictRecord] = []
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

    def stall(self, now_ms: float) -> None:
        """Be held up until `now_ms`: the ticks that were due come then, all at once."""
        self._step(max(round(now_ms * MS), self.now_ns), {})

    def _step(self, now_ns: int, content: dict[str, object]) -> None:
        self.now_ns = now_ns
        entry = msgspec.convert(
            {"seq": len(self.entries), "epoch": "e", "now_ns": now_ns, **content}, JournalEntry
        )
        self.entries.append(entry)
        for output in self.arbiter.step(entry):
            if isinstance(output, VerdictRecord):
                self.verdicts.append(output.verdict)
                self.records.append(output)
            else:
                self.asked.append(output)


def opinions_offered(at_ms: float = 0.0, up: bool = True) -> Health:
    """The explainer says whether it can give opinions."""
    return Health(
        service="explainer",
        pid=1,
        state=ServiceState.READY if up else ServiceState.DEAD,
        detail="",
        at_ns=round(at_ms * MS),
        counters={"opinions_offered": 1.0},
    )


def assert_promises(line: Line, setup: ArbiterSetup) -> None:
    """What holds of every run at every moment."""
    policy = setup.decision
    assert [verdict.seq for verdict in line.verdicts] == list(range(1, len(line.verdicts) + 1))
    parts = Counter(verdict.part_id for verdict in line.verdicts if verdict.part_id)
    assert max(parts.values(), default=1) == 1, "no part has two verdicts"
    for verdict in line.verdicts:
        confirmed = verdict.decision is Decision.CONFIRMED_ACTION
        assert confirmed == (verdict.action in {Action.PASS, Action.REJECT})
        assert verdict.failsafe == (verdict.decision is Decision.PENDING)
        assert (verdict.action is Action.STOP) == (verdict.decision is Decision.EMERGENCY_BRAKE)
        if confirmed:
            assert verdict.decided_ns <= verdict.deadline_ns, "what is late is held"
            assert not verdict.missing
            assert verdict.confidence > policy.confirm_confidence


def assert_all_judged_and_replayable(line: Line, setup: ArbiterSetup, triggers: list[PartTrigger]) -> None:
    """What holds when the run is over: each part has its verdict, and a replay gives the same."""
    judged = {verdict.part_id for verdict in line.verdicts} - {""}
    assert judged == {part.part_id for part in triggers}
    again = Arbiter(setup)
    replayed = [
        output.verdict
        for entry in line.entries
        for output in again.step(entry)
        if isinstance(output, VerdictRecord)
    ]
    assert replayed == line.verdicts
