"""The running line: one thread that steps the world, hears the cell and does what the PLC says."""

import queue
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inspector.clock import NS_PER_MS, NS_PER_S, Clock
from inspector.errors import DeviceError
from line_sim.edge import Edge, Log
from line_sim.events import (
    BeltMoves,
    Event,
    Lane,
    LineEmpty,
    PartAtEye,
    PartLeft,
    Reading,
    ResetPressed,
    SetLane,
    StartBelt,
    StopBelt,
)
from line_sim.mqtt_link import Inbound
from line_sim.parts import PlannedPart
from line_sim.plc import Plc
from line_sim.plc_checks import EXPLANATION_MAX_BYTES, read_flat
from line_sim.plc_outputs import Acknowledge, Act, Brake, Fields, Note, PlcOutput
from line_sim.scenario import Scenario
from line_sim.score import PartOutcome, Score, score_line
from line_sim.simtime import Happening, LockStep, Pacer, Realtime, Scheduler
from line_sim.world import BELT, REJECTOR, build_world

URGENT_ABOVE: Final = 0.8
RESET_RETRY_NS: Final = NS_PER_S
RESET_ATTEMPTS: Final = 5
MAX_WAIT_NS: Final = 200 * NS_PER_MS
STOP: Final = Inbound("_stop", b"", 0, 0)
"""Put this into the inbox to end the run early; safe from a signal handler."""

_LANES: Final = {"PASS": Lane.PASS, "REJECT": Lane.REJECT, "HOLD": Lane.HOLD, "STOP": Lane.HOLD}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """`gap_ms` is the least wall time between two parts in lock-step (`fast`).

    Readings of a part lie within the cell's `max_skew_ms` of its trigger; a gap above that keeps
    them from being taken for the next part's.
    """

    seed: int
    deadline_ms: float = 250.0
    fast: bool = False
    gap_ms: float = 60.0
    linger_s: float = 30.0
    start_timeout_s: float = 60.0


class Interrupted(Exception):  # noqa: N818 - a control flow signal, not an error
    """The user asked the run to end."""


class Line:
    """One run. All methods on one thread; other threads reach it through `inbox`."""

    def __init__(
        self,
        scenario: Scenario,
        parts: Sequence[PlannedPart],
        settings: RunSettings,
        *,
        edge: Edge,
        log: Log,
        inbox: "queue.SimpleQueue[Inbound]",
        clock: Clock,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._edge, self._log, self._inbox = edge, log, inbox
        self._world: Scheduler[Event] = build_world(scenario, settings.seed, parts)
        self._held = {sensor.id for sensor in scenario.sensors if sensor.holds}
        self._plc = Plc(settings.deadline_ms)
        self._pacer: Pacer = LockStep()
        self._running = self._empty = False
        self._gap_until_ns = 0
        self._reset_retry_ns: int | None = None
        self._reset_attempts = 0

    def run(self) -> tuple[Score, bool]:
        """Wait for the cell, run all parts, wait for explanations. Return (score, interrupted).

        Raises DeviceError when the cell never gets ready.
        """
        interrupted = False
        try:
            self._await_cell()
            self._play()
            self._linger()
        except Interrupted:
            interrupted = True
        score = score_line(self._plc.outcomes(), self._plc.counts())
        return score, interrupted

    def outcomes(self) -> list[PartOutcome]:
        """What became of every part so far."""
        return self._plc.outcomes()

    # -- phases ----------------------------------------------------------------------------------

    def _await_cell(self) -> None:
        """Wait for ContinuousExecution on the retained state; reset an emergency left over."""
        limit_ns = self._clock.now_ns() + round(self._settings.start_timeout_s * NS_PER_S)
        state, available = "", True
        while state != "ContinuousExecution" or not available or self._plc.latched:
            left_ns = limit_ns - self._clock.now_ns()
            if left_ns <= 0:
                seen = f"state is {state!r}" if state else "nothing on the state topic"
                seen = seen if available else "it says that it is not available"
                raise DeviceError(
                    f"the cell was not ready within {self._settings.start_timeout_s:g} s ({seen}): "
                    "start the inspector with the same broker and base topic"
                )
            message = self._take(left_ns)
            if message is None or message.leaf not in {"state", "availability"}:
                continue
            data, _ = read_flat(message.payload, EXPLANATION_MAX_BYTES, EXPLANATION_MAX_BYTES)
            if data is not None and message.leaf == "availability":
                available = data.get("available") is True
            elif data is not None:
                state = str(data.get("state", ""))
                if self._plc.latched and self._reset_attempts == 0:
                    self._reset_attempts = 1
                    self._edge.reset()
        self._reset_attempts = 0
        self._log.emit("start", {})

    def _play(self) -> None:
        start_ns = self._clock.now_ns()
        self._pacer = LockStep() if self._settings.fast else Realtime(start_ns)
        self._inject(BELT, StartBelt())
        while not self._empty or self._plc.undecided():
            now_ns = self._clock.now_ns()
            self._housekeeping(now_ns)
            if (message := self._poll()) is not None:
                self._hear(message)
                continue
            next_ns = self._world.next_ns
            wait_ns = MAX_WAIT_NS
            if next_ns is not None:
                wait_ns = self._pacer.wait_ns(next_ns, now_ns, self._hold_until_ns(now_ns))
            if wait_ns <= 0:
                self._handle(self._world.step())
            else:
                self._take(min(wait_ns, self._until_housekeeping(now_ns)))

    def _linger(self) -> None:
        """Wait for late verdicts and for explanations, not longer than was asked for."""
        limit_ns = self._clock.now_ns() + round(self._settings.linger_s * NS_PER_S)
        while self._plc.missing_explanations() or self._plc.unanswered():
            now_ns = self._clock.now_ns()
            if now_ns >= limit_ns:
                return
            self._housekeeping(now_ns)
            self._take(min(limit_ns - now_ns, self._until_housekeeping(now_ns)))

    # -- time ------------------------------------------------------------------------------------

    def _hold_until_ns(self, now_ns: int) -> int | None:
        """Until when simulated time stands still in lock-step; None: it may go on."""
        times = [self._plc.hold_until_ns(), self._reset_retry_ns]
        if self._gap_until_ns > now_ns:
            times.append(self._gap_until_ns)
        return max((t for t in times if t is not None), default=None)

    def _until_housekeeping(self, now_ns: int) -> int:
        times = [self._plc.next_deadline_ns(), self._edge.next_due_ns(), self._reset_retry_ns]
        nearest = min((t for t in times if t is not None), default=now_ns + MAX_WAIT_NS)
        return min(max(0, nearest - now_ns), MAX_WAIT_NS)

    def _housekeeping(self, now_ns: int) -> None:
        self._do(self._plc.tick(now_ns))
        self._edge.publish_due(now_ns)
        if self._reset_retry_ns is not None and now_ns >= self._reset_retry_ns:
            if self._reset_attempts >= RESET_ATTEMPTS:
                self._log.emit("reset_unanswered", {"attempts": self._reset_attempts})
                self._restart()
            else:
                self._press_reset()

    # -- messages from the cell ------------------------------------------------------------------

    def _poll(self) -> Inbound | None:
        try:
            return self._inbox.get_nowait()
        except queue.Empty:
            return None

    def _take(self, wait_ns: int) -> Inbound | None:
        """Wait for one message and handle it. Return it, or None."""
        try:
            message = self._inbox.get(timeout=min(wait_ns, MAX_WAIT_NS) / NS_PER_S)
        except queue.Empty:
            return None
        self._hear(message)
        return message

    def _hear(self, message: Inbound) -> None:
        payload, at_ns = message.payload, message.received_ns
        match message.leaf:
            case "_stop":
                raise Interrupted
            case "_connection":
                self._log.emit("connection", {"connected": payload == b"1"})
            case "verdict":
                # What was due before this came is due now: a late verdict must not look timely.
                self._do(self._plc.tick(at_ns))
                self._do(self._plc.verdict(payload, at_ns, message.utc_ns))
            case "undelivered":
                self._do(self._plc.undelivered(payload, at_ns))
            case "explanation":
                self._do(self._plc.explanation(payload, at_ns))
            case leaf:
                self._do(self._plc.notice(leaf, payload, at_ns))
        if self._reset_retry_ns is not None and self._plc.latched is False:
            self._restart()

    def _do(self, outputs: Sequence[PlcOutput]) -> None:
        for output in outputs:
            match output:
                case Note(event, fields):
                    self._log.emit(event, fields)
                case Act(number, action):
                    self._inject(REJECTOR, SetLane(number, _LANES[action]))
                case Brake():
                    self._inject(BELT, StopBelt())
                case Acknowledge():
                    self._edge.acknowledge(output)

    def _press_reset(self) -> None:
        self._plc.latched = None  # what the cell says from now on counts
        self._reset_attempts += 1
        self._reset_retry_ns = self._clock.now_ns() + RESET_RETRY_NS
        self._edge.reset()

    def _restart(self) -> None:
        self._reset_retry_ns, self._reset_attempts = None, 0
        self._inject(BELT, StartBelt())

    # -- the world -------------------------------------------------------------------------------

    def _inject(self, device: str, event: Event) -> None:
        at_ns = self._pacer.sim_ns(self._world.now_ns, self._clock.now_ns())
        while (due_ns := self._world.next_ns) is not None and due_ns < at_ns:
            self._handle(self._world.step())
        self._handle(self._world.inject(at_ns, {device: [event]}))

    def _handle(self, happenings: Sequence[Happening[Event]]) -> None:
        for happening in happenings:
            now_ns = self._clock.now_ns()
            match happening.event:
                case PartAtEye() as event:
                    self._plc.trigger(event.part, now_ns)
                    lag_ns = -self._pacer.wait_ns(happening.at_ns, now_ns, None)
                    self._edge.part_at_eye(event, now_ns, lag_ns / NS_PER_MS)
                    self._gap_until_ns = now_ns + round(self._settings.gap_ms * NS_PER_MS)
                case Reading() as event:
                    if self._running and self._is_urgent(event):
                        self._plc.urgent(now_ns)
                    self._edge.reading(event)
                case PartLeft(part, lane, told):
                    fields: Fields = {"part_id": part.part_id, "defect": part.defect}
                    self._log.emit("left", {**fields, "lane": str(lane), "told": told})
                case BeltMoves(running, ticks):
                    self._running = running
                    self._log.emit("belt", {"running": running, "encoder_ticks": ticks})
                case ResetPressed():
                    self._press_reset()
                case LineEmpty():
                    self._empty = True
                case _:
                    pass

    def _is_urgent(self, reading: Reading) -> bool:
        if (reading.urgency or 0.0) > URGENT_ABOVE:
            return True
        return reading.abnormal and reading.sensor_id in self._held
