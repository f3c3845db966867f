"""When several cameras' frames go through the network together.

A batch forms only of frames that are waiting anyway: nothing is held back to fill one. Free slots
come first, as overlapping runs cost a frame nothing; what is left over is put together as far as
the earliest deadline in the batch allows.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from inspector.detect.engine import Engine, Ticket
from inspector.types import Frame, FrameResult, ResultStatus

_LEARNING: Final = 0.2  # weight of the newest run
_MARGIN: Final = 1.25  # of the estimate, as runs vary


class RunTimes:
    """How long a run over so many frames takes, learnt from the runs."""

    def __init__(self) -> None:
        self._mean_ns: dict[int, float] = {}

    def learn(self, size: int, duration_ns: int) -> None:
        """Take in one run; an exponential mean forgets what was true before the machine warmed up."""
        known = self._mean_ns.get(size, float(duration_ns))
        self._mean_ns[size] = known + _LEARNING * (duration_ns - known)

    def estimate_ns(self, size: int) -> int:
        """Of a size never run: in proportion to the nearest smaller one, the worst case; else 0."""
        smaller = [known for known in self._mean_ns if known <= size]
        if not smaller:
            return 0
        nearest = max(smaller)
        return int(self._mean_ns[nearest] * size / nearest * _MARGIN)


def batch_size(
    deadlines_ns: Sequence[int], *, now_ns: int, free_slots: int, max_batch: int, times: RunTimes
) -> int:
    """How many of the frames that wait, oldest first, to submit together now.

    `deadlines_ns` is when each one's result is needed. 0 only when none waits or no slot is free; a
    frame that is late whatever is done does not keep the others from going with it.
    """
    if not deadlines_ns or free_slots < 1:
        return 0
    alone_ns = now_ns + times.estimate_ns(1)
    size = min(max_batch, -(-len(deadlines_ns) // free_slots))
    while size > 1:
        ends_ns = now_ns + times.estimate_ns(size)
        if all(ends_ns <= deadline for deadline in deadlines_ns[:size] if alone_ns <= deadline):
            break
        size -= 1
    return size


class Feeder:
    """Feeds an engine from a queue of frames by `batch_size`, and learns from its results."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._times = RunTimes()
        self._sizes: dict[Ticket, int] = {}  # of the run that a frame went with

    def feed(self, waiting: deque[Frame], deadline_ns: Callable[[Frame], int], now_ns: int) -> None:
        """Submit from the left of `waiting` until it is empty or no slot is free."""
        while waiting and (free_slots := self._engine.free_slots):
            size = batch_size(
                [deadline_ns(frame) for frame in waiting],
                now_ns=now_ns,
                free_slots=free_slots,
                max_batch=self._engine.max_batch,
                times=self._times,
            )
            frames = [waiting.popleft() for _ in range(size)]
            tickets = self._engine.submit_batch(frames)
            self._sizes.update(dict.fromkeys(tickets, size))

    def collect(self) -> list[FrameResult]:
        """The engine's results, in order."""
        results = []
        for ticket, result in self._engine.collect():
            size = self._sizes.pop(ticket, 1)
            if result.status is ResultStatus.OK:
                self._times.learn(size, result.finished_ns - result.started_ns)
            results.append(result)
        return results
