"""The bounded pipeline that every engine runs in: frames in, results out, in order, N slots.

An engine brings `Lane`s, which know how to compute; order, back-pressure, cancellation, failure and
shutdown are decided here, once, so that the CPU engine tests them for the GPU engine too.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from inspector.clock import NS_PER_MS, Clock
from inspector.detect.engine import Counts, Ticket
from inspector.detect.engines.engine_errors import EngineLostError, RunError
from inspector.detect.engines.outcome import Outcome
from inspector.detect.engines.run_waiter import RunWaiter
from inspector.detect.model.decode import Decoded
from inspector.errors import DataError, InvariantError, ModelError
from inspector.types import Frame, FrameContext, FrameResult, ResultStatus

STUCK_AFTER_NS: Final = 10_000 * NS_PER_MS
"""A run that takes this long never ends: frames take milliseconds, and the first has been run already."""
_LONGEST_LOOK_NS: Final = 250 * NS_PER_MS  # time between two calls of collect that counts as watched


P = TypeVar("P")
Q_contra = TypeVar("Q_contra", contravariant=True)


class Lane(Protocol[Q_contra]):
    """What one slot computes with. `start` and `read` are called by the driver, `wait` by the waiter."""

    def start(self, inputs: Sequence[Q_contra]) -> None:
        """Begin a run over a batch and return at once. Keeps what it reads of `inputs` alive.

        Raises RunError or EngineLostError.
        """
        ...

    def wait(self) -> None:
        """Block until the run is over, without Python's lock. Raises RunError or EngineLostError."""
        ...

    def read(self) -> list[Decoded]:
        """Return the decoded outputs of the run that is over, one for each input."""
        ...


class _Run(Generic[P]):
    """One use of a lane. It holds the lane until it is over and its results are collected."""

    def __init__(self, lane: Lane[P], frames: list[Frame]) -> None:
        self.lane = lane
        self.frames = frames  # a cancelled frame's memory is still being read
        self.uncollected = len(frames)
        self.over = threading.Event()
        self.error: ModelError | None = None
        self.answers: list[Decoded] | None = None

    def wait(self) -> None:
        try:
            self.lane.wait()
        except (RunError, EngineLostError) as error:
            self.error = error
        self.over.set()


@dataclass(slots=True)
class _Job(Generic[P]):
    """One frame on its way. `run` is None for a frame that was refused."""

    ticket: Ticket
    frame: Frame
    started_ns: int
    run: _Run[P] | None = None
    place: int = 0  # within the run's batch
    reason: str = ""  # why it was refused
    context: FrameContext | None = None
    cancelled: bool = False

    @property
    def ready(self) -> bool:
        return self.cancelled or self.run is None or self.run.over.is_set()

    @property
    def lost(self) -> bool:
        return self.run is not None and isinstance(self.run.error, EngineLostError)


_COUNTED_AS: Final = {
    ResultStatus.OK: "completed",
    ResultStatus.INVALID_FRAME: "refused",
    ResultStatus.ENGINE_ERROR: "failed",
    ResultStatus.DROPPED: "cancelled",
}


class SlotPipeline(Generic[P]):
    """Driven from one thread; `on_ready` is called from the waiter's, or from within `submit`.

    `admit` turns a frame into what lanes take and raises DataError for one that the model cannot
    take; `look` measures the picture while the lane computes, so that it costs no time. A slot is
    held from `submit` until its results are collected: no more frames than slots times batch are inside.
    """

    def __init__(
        self,
        lanes: Sequence[Lane[P]],
        admit: Callable[[Frame], P],
        look: Callable[[P], FrameContext | None],
        to_result: Callable[[Outcome], FrameResult],
        *,
        clock: Clock,
        on_ready: Callable[[], None],
        name: str,
        stuck_after_ns: int = STUCK_AFTER_NS,
    ) -> None:
        self._admit = admit
        self._look = look
        self._to_result = to_result
        self._clock = clock
        self._on_ready = on_ready
        self._name = name
        self._slots = len(lanes)
        self._idle: list[Lane[P]] = list(lanes)
        self._runs: deque[_Run[P]] = deque()
        self._jobs: deque[_Job[P]] = deque()
        self._next = 0
        self._closed = False
        self._lost: EngineLostError | None = None
        self._tally: Counter[str] = Counter()
        self._stuck_after_ns = stuck_after_ns
        self._watched_ns, self._looked_ns = 0, clock.now_ns()
        self._waiter = RunWaiter(f"{name}-wait", on_ready)

    @property
    def free_slots(self) -> int:
        """How many calls of `submit` are taken now."""
        refused = sum(job.run is None for job in self._jobs)
        return 0 if self._closed else max(0, len(self._idle) - refused)

    @property
    def counts(self) -> Counts:
        return Counts(**self._tally)

    def submit(self, frames: Sequence[Frame]) -> list[Ticket]:
        """Start one run over a batch of frames; returns their tickets at once.

        Raises InvariantError when no slot is free or the pipeline is closed, EngineLostError when the
        engine is gone. A batch of frames of which some are refused runs with the others.
        """
        if self._closed or not self.free_slots:
            raise InvariantError("submit: the engine is closed or has no free slot")
        self._raise_if_lost()
        now_ns = self._clock.now_ns()
        jobs: list[_Job[P]] = []
        inputs: list[P] = []
        taken: list[_Job[P]] = []
        for frame in frames:
            job: _Job[P] = _Job(Ticket(self._next), frame, now_ns)
            self._next += 1
            jobs.append(job)
            try:
                inputs.append(self._admit(frame))
            except DataError as error:
                job.reason = str(error)
                continue
            taken.append(job)
        self._jobs.extend(jobs)
        self._tally["submitted"] += len(jobs)
        if taken:
            self._start(taken, inputs)
        if len(taken) < len(jobs):
            self._on_ready()
        return [job.ticket for job in jobs]

    def _start(self, jobs: list[_Job[P]], inputs: list[P]) -> None:
        run = _Run(self._idle.pop(), [job.frame for job in jobs])
        for place, job in enumerate(jobs):
            job.run, job.place = run, place
        self._runs.append(run)
        try:
            run.lane.start(inputs)
        except (RunError, EngineLostError) as error:
            run.error = error
            run.over.set()
            self._on_ready()
        else:
            self._waiter.watch(run.wait)
            for job, given in zip(jobs, inputs, strict=True):
                job.context = self._look(given)

    def cancel(self, ticket: Ticket) -> bool:
        """Give a frame up: its result comes at once as DROPPED, in its turn.

        What computes is not stopped, and its slot stays taken until it ends. Returns False when the
        result is there already, or was collected.
        """
        for job in self._jobs:
            if job.ticket == ticket and not job.ready:
                job.cancelled = True
                self._on_ready()
                return True
        return False

    def collect(self) -> list[tuple[Ticket, FrameResult]]:
        """All results that are ready, in the order of their tickets. Never waits.

        Raises EngineLostError when the engine is gone or stuck and what was ready before is collected.
        """
        if self._closed:
            return []
        results = []
        while self._jobs and self._jobs[0].ready and not self._jobs[0].lost:
            job = self._jobs.popleft()
            results.append((job.ticket, self._result(job)))
        while self._runs and self._runs[0].over.is_set() and not self._runs[0].uncollected:
            run = self._runs.popleft()
            run.frames.clear()
            self._idle.append(run.lane)
            self._watched_ns = 0
        if not results:
            self._raise_if_lost()
            self._watch()
        return results

    def close(self) -> bool:
        """Wait for what runs, drop it, end the waiter. A stuck run is left behind. Safe to call twice.

        Returns whether all ended well, so that what lanes hold may be given free.
        """
        if self._closed:
            return self._lost is None
        self._closed = True
        ended = self._waiter.stop(0.0 if self._lost else self._stuck_after_ns / 1e9)
        self._tally["cancelled"] += len(self._jobs)
        self._jobs.clear()
        self._runs.clear()
        self._idle.clear()
        return ended and self._lost is None

    def _result(self, job: _Job[P]) -> FrameResult:
        status, reason, decoded = ResultStatus.INVALID_FRAME, job.reason, None
        if job.run is not None:
            job.run.uncollected -= 1
        if job.cancelled:
            status, reason = ResultStatus.DROPPED, "cancelled"
        elif job.run is not None:
            status, reason, decoded = self._answer(job.run, job.place)
        self._tally[_COUNTED_AS[status]] += 1
        return self._to_result(Outcome(job.frame, status, reason, decoded, job.context, job.started_ns))

    def _answer(self, run: _Run[P], place: int) -> tuple[ResultStatus, str, Decoded | None]:
        if run.error is None and run.answers is None:
            try:
                run.answers = run.lane.read()
            except RunError as error:
                run.error = error
        if run.answers is None:
            return ResultStatus.ENGINE_ERROR, str(run.error), None
        return ResultStatus.OK, "", run.answers[place]

    def _watch(self) -> None:
        """Notice a run that never ends. Time in which nobody looked (a stopped process) is not counted."""
        now_ns = self._clock.now_ns()
        self._watched_ns += min(now_ns - self._looked_ns, _LONGEST_LOOK_NS) if self._runs else 0
        self._looked_ns = now_ns
        if not self._runs:
            self._watched_ns = 0
        elif self._watched_ns > self._stuck_after_ns:
            seconds = self._watched_ns / 1e9
            self._lost = EngineLostError(f"{self._name}: a frame has been computing for {seconds:.0f} s")
            raise self._lost

    def _raise_if_lost(self) -> None:
        if self._lost is None:
            errors = (run.error for run in self._runs)
            self._lost = next((error for error in errors if isinstance(error, EngineLostError)), None)
        if self._lost is not None:
            raise self._lost
