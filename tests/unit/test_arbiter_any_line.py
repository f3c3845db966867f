"""Anything may arrive, late, twice, in any order or never; the arbiter's promises hold all the same."""

from typing import Literal

import hypothesis.strategies as st
from decide_line import (
    POLICY,
    Line,
    assert_all_judged_and_replayable,
    assert_promises,
    reading,
    result,
    setup_for,
    trigger,
)
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from inspector.types import (
    Command,
    CommandKind,
    Decision,
    Health,
    Opinion,
    PartTrigger,
    ResultStatus,
    ServiceState,
)


class AnyLine(RuleBasedStateMachine):
    """Anything may arrive, late, twice, in any order or never; the promises hold all the same."""

    @initialize(
        cameras=st.sampled_from([("cam1",), ("cam1", "cam2")]),
        sensors=st.sampled_from([(), ("vib",)]),
        frames_by=st.sampled_from(["time", "count"]),
        budget_ms=st.sampled_from([20, 800]),
    )
    def begin(
        self,
        cameras: tuple[str, ...],
        sensors: tuple[str, ...],
        frames_by: Literal["time", "count"],
        budget_ms: int,
    ) -> None:
        self.cameras = cameras
        policy = replace(POLICY, frames_by=frames_by, opinion_budget_ms=budget_ms)
        self.setup = replace(setup_for(cameras, sensors), decision=policy)
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
        part = trigger(len(self.parts) + 1, self.now_ms - delay_ms, self.now_ms)
        self.parts.append(part)
        self.line.at(self.now_ms, trigger=part)

    @precondition(lambda self: self.parts)
    @rule(data=st.data())
    def trigger_repeats(self, data: st.DataObject) -> None:
        self.line.at(self.now_ms, trigger=data.draw(st.sampled_from(self.parts)))

    @rule(
        offset_ms=st.floats(-100, 100),
        p=st.one_of(st.none(), st.floats(0, 1)),
        camera=st.integers(0, 1),
        off_us=st.one_of(st.none(), st.just(0.0), st.floats(0, 100_000)),
    )
    def result_arrives(self, offset_ms: float, p: float | None, camera: int, off_us: float | None) -> None:
        self.seq += 1
        status = ResultStatus.OK if p is not None else ResultStatus.ENGINE_ERROR
        name = self.cameras[camera % len(self.cameras)]
        self.line.at(
            self.now_ms, result=result(self.seq, self.now_ms + offset_ms, p, name, status, off_us=off_us)
        )

    @rule(offset_ms=st.floats(-100, 20), urgency=st.floats(0, 1), p=st.one_of(st.none(), st.floats(0, 1)))
    def sensor_speaks(self, offset_ms: float, urgency: float, p: float | None) -> None:
        self.seq += 1
        before = len(self.line.verdicts)
        self.line.at(self.now_ms, event=reading(self.seq, self.now_ms + offset_ms, urgency, p, self.now_ms))
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
                service=service,
                pid=1,
                state=state,
                detail="",
                at_ns=self.line.now_ns,
                counters={"opinions_offered": 1.0},
            ),
        )

    @rule()
    def operator_resets(self) -> None:
        at_ns = round(self.now_ms * 1e6)
        self.line.at(self.now_ms, command=Command(kind=CommandKind.RESET, source="hmi", received_ns=at_ns))
        assert self.line.arbiter.latched_by is None

    @rule(wait_ms=st.floats(0, 600))
    def the_machine_is_too_busy(self, wait_ms: float) -> None:
        self.now_ms += wait_ms
        self.line.stall(self.now_ms)

    @rule(part=st.integers(0, 5), p=st.floats(0, 1))
    def opinion_arrives(self, part: int, p: float) -> None:
        opinion = Opinion(part_id=f"P{part}", p_defect=p, latency_ms=1.0, model_sha256="l" * 64)
        self.line.at(self.now_ms, opinion=opinion)

    @invariant()
    def the_promises_hold(self) -> None:
        if hasattr(self, "line"):
            assert_promises(self.line, self.setup)
            latched = self.line.arbiter.latched_by is not None
            assert not (latched and self.line.arbiter.next_wakeup_ns is not None)

    def teardown(self) -> None:
        if hasattr(self, "line"):
            self.line.at(self.now_ms + 2000)
            assert_all_judged_and_replayable(self.line, self.setup, self.parts)


TestAnyLine = AnyLine.TestCase
TestAnyLine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
