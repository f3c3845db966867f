"""Drives an engine as the detector does, and notes when each frame came, ran and was collected."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from inspector.clock import NS_PER_S, Clock
from inspector.detect.engine import Engine
from inspector.detect.engines.stages import Stage, copies_hidden
from inspector.errors import ModelError
from inspector.types import Frame, ResultStatus

_LONGEST_WAIT_S = 30.0


class MeasuredEngine(Engine, Protocol):
    """An engine that can also run its network alone."""

    def time_alone(self, runs: int) -> list[int]:
        """Nanoseconds of `runs` runs of the network by itself: no preparation, copies or decoding.

        Only while nothing is in flight.
        """
        ...

    def take_stages(self) -> list[Stage]:
        """The stages of the runs since the last call, of an engine whose runs have some. Only while idle."""
        ...


@dataclass(frozen=True, slots=True)
class Passage:
    """One frame's way. It was there at `ready_ns`, submitted, and its result collected."""

    number: int
    ready_ns: int
    submitted_ns: int
    collected_ns: int

    @property
    def latency_ns(self) -> int:
        return self.collected_ns - self.ready_ns


def drive(
    engine: Engine,
    woken: threading.Event,
    frames: Sequence[Frame],
    clock: Clock,
    *,
    due_ns: Callable[[int], int] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Passage]:
    """Put `frames` through, as fast as slots free up, or each when it is due.

    `due_ns` gives the moment at which frame i is there; `woken` is set by the engine's on_ready. Raises
    ModelError when a frame gives no probability.
    """
    waiting = deque(enumerate(frames))
    inside: deque[tuple[int, int, int]] = deque()
    passages: list[Passage] = []
    while len(passages) < len(frames):
        woken.clear()
        for _, result in engine.collect():
            if result.status is not ResultStatus.OK:
                raise ModelError(f"frame {result.frame_id} gave {result.status}: {result.reason}")
            passages.append(Passage(*inside.popleft(), clock.now_ns()))
            progress(len(passages))
        timeout_s = _LONGEST_WAIT_S
        while waiting and engine.free_slots:
            number, frame = waiting[0]
            now_ns = clock.now_ns()
            ready_ns = due_ns(number) if due_ns else now_ns
            if ready_ns > now_ns:
                timeout_s = (ready_ns - now_ns) / NS_PER_S
                break
            waiting.popleft()
            inside.append((number, ready_ns, now_ns))
            engine.submit(frame)
        if len(passages) < len(frames):
            woken.wait(timeout_s)
    return passages


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds and frames a second. `overlap` is how many frames were inside at a time, on average;
    `copies_hidden` the share of copy time behind other slots' kernels, None where nothing is copied.
    """

    alone_p50_ms: float
    alone_fps: float
    full_fps: float
    overlap: float
    copies_hidden: float | None
    one_p50_ms: float
    paced_fps: float
    paced_p50_ms: float
    paced_p99_ms: float

    @property
    def of_alone(self) -> float:
        """The pipeline's rate as a share of the network's alone; over 1 where runs overlap well."""
        return self.full_fps / self.alone_fps

    @property
    def overhead_ms(self) -> float:
        """What a single frame takes beyond the network."""
        return self.one_p50_ms - self.alone_p50_ms


def figures(
    alone_ns: Sequence[int],
    full: Sequence[Passage],
    one_by_one: Sequence[Passage],
    paced: Sequence[Passage],
    paced_fps: float,
    *,
    stages: Sequence[Stage] = (),
) -> Figures:
    """Reduce what was measured. `stages` are of the runs of `full`. Pure."""
    alone = np.array(alone_ns, dtype=np.float64) / 1e6
    wall_ns = full[-1].collected_ns - full[0].submitted_ns
    inside_ns = sum(passage.collected_ns - passage.submitted_ns for passage in full)
    one, slow = (np.array([p.latency_ns for p in some]) / 1e6 for some in (one_by_one, paced))
    return Figures(
        alone_p50_ms=float(np.median(alone)),
        alone_fps=1e3 / float(np.mean(alone)),
        full_fps=len(full) * 1e9 / wall_ns,
        overlap=inside_ns / wall_ns,
        copies_hidden=copies_hidden(stages),
        one_p50_ms=float(np.median(one)),
        paced_fps=paced_fps,
        paced_p50_ms=float(np.median(slow)),
        paced_p99_ms=float(np.percentile(slow, 99)),
    )
