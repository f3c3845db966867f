"""Batches form of waiting frames only, and never make a frame late that would have been in time."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from tiny_model import tiny_frame

from inspector.detect.engine import Ticket
from inspector.detect.engines.batching import Feeder, RunTimes, batch_size
from inspector.detect.engines.outcome import Outcome, frame_result
from inspector.types import Frame, FrameResult, ResultStatus

MS = 1_000_000


def times(one_ms: float = 4.0, four_ms: float = 6.0) -> RunTimes:
    learnt = RunTimes()
    learnt.learn(1, int(one_ms * MS))
    learnt.learn(4, int(four_ms * MS))
    return learnt


def size(deadlines_ms: list[float], free_slots: int = 1, max_batch: int = 4, now_ms: float = 0) -> int:
    return batch_size(
        [int(deadline * MS) for deadline in deadlines_ms],
        now_ns=int(now_ms * MS),
        free_slots=free_slots,
        max_batch=max_batch,
        times=times(),
    )


def test_one_frame_goes_at_once_and_alone() -> None:
    assert size([100]) == 1
    assert size([100], free_slots=3) == 1


def test_frames_spread_over_free_slots_before_they_share_one() -> None:
    assert size([100, 100, 100], free_slots=3) == 1
    assert size([100, 100, 100, 100], free_slots=2) == 2
    assert size([100] * 9, free_slots=1) == 4


def test_the_earliest_deadline_bounds_the_batch() -> None:
    assert size([100, 100, 100, 100]) == 4
    assert size([5.5, 100, 100, 100]) == 1  # alone it takes 5 ms with the margin, four take 7.5
    assert size([100, 100, 100, 5.5]) == 3


def test_a_frame_that_is_late_anyway_goes_with_the_others() -> None:
    assert size([1, 100, 100, 100]) == 4


def test_nothing_is_submitted_without_a_frame_or_a_slot() -> None:
    assert size([]) == 0
    assert size([100], free_slots=0) == 0


def test_before_anything_is_known_frames_that_wait_go_together() -> None:
    assert batch_size([1, 1], now_ns=0, free_slots=1, max_batch=4, times=RunTimes()) == 2


def test_the_estimate_follows_the_machine() -> None:
    learnt = RunTimes()
    for _ in range(40):
        learnt.learn(1, 10 * MS)
    for _ in range(40):
        learnt.learn(1, 2 * MS)
    assert learnt.estimate_ns(1) < 3 * MS
    assert learnt.estimate_ns(3) == 3 * learnt.estimate_ns(1)


@given(
    deadlines=st.lists(st.floats(0, 50), min_size=1, max_size=12),
    free_slots=st.integers(1, 4),
    max_batch=st.integers(1, 8),
)
def test_never_late_because_of_a_batch(deadlines: list[float], free_slots: int, max_batch: int) -> None:
    chosen = size(deadlines, free_slots, max_batch)
    assert 1 <= chosen <= min(max_batch, len(deadlines))
    ends = times().estimate_ns(chosen) / MS
    alone = times().estimate_ns(1) / MS
    if chosen > 1:
        assert all(ends <= deadline + 1e-5 for deadline in deadlines[:chosen] if alone <= deadline)


@given(
    deadlines=st.lists(st.floats(0, 50), max_size=12),
    free_slots=st.integers(0, 4),
    max_batch=st.integers(1, 8),
)
def test_a_batch_forms_of_what_the_free_slots_do_not_take_anyway(
    deadlines: list[float], free_slots: int, max_batch: int
) -> None:
    chosen = size(deadlines, free_slots, max_batch)
    if chosen > 1:
        assert len(deadlines) > free_slots
        assert (chosen - 1) * free_slots < len(deadlines)  # no larger than an equal share
    assert bool(chosen) == bool(deadlines and free_slots)  # what waits goes, and at once


@dataclass
class Line:
    """A stand-in for an engine: `slots` runs of at most `max_batch` frames, each ended by `end`."""

    slots: int
    max_batch: int
    running: deque[list[tuple[Ticket, Frame]]] = field(default_factory=deque)
    ended: list[tuple[Ticket, FrameResult]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    submitted: int = 0

    @property
    def free_slots(self) -> int:
        return self.slots - len(self.running)

    def submit_batch(self, frames: Sequence[Frame]) -> list[Ticket]:
        assert self.free_slots
        assert 1 <= len(frames) <= self.max_batch
        tickets = [Ticket(self.submitted + place) for place in range(len(frames))]
        self.submitted += len(frames)
        self.batches.append(len(frames))
        self.running.append(list(zip(tickets, frames, strict=True)))
        return tickets

    def end(self, now_ns: int) -> None:
        """The oldest run ends; it has taken 4 ms and 1 ms for each frame more."""
        if self.running:
            run = self.running.popleft()
            started_ns = now_ns - (3 + len(run)) * MS
            for ticket, frame in run:
                outcome = Outcome(frame, ResultStatus.OK, "", None, None, started_ns)
                self.ended.append((ticket, frame_result(outcome, "", now_ns)))

    def collect(self) -> list[tuple[Ticket, FrameResult]]:
        ended, self.ended = self.ended, []
        return ended


@given(
    slots=st.integers(1, 3),
    max_batch=st.integers(1, 4),
    steps=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(1, 20)), max_size=40),
)
def test_a_feeder_holds_nothing_back_and_keeps_the_order(
    slots: int, max_batch: int, steps: list[tuple[int, bool, int]]
) -> None:
    line = Line(slots, max_batch)
    feeder = Feeder(line)  # type: ignore[arg-type]  # the part of an engine that it uses
    waiting: deque[Frame] = deque()
    results: list[FrameResult] = []
    arrived = now_ns = 0
    for new, ends, later_ms in [*steps, *[(0, True, 1)] * 200]:
        now_ns += later_ms * MS
        waiting += [tiny_frame(arrived + index, received_ns=now_ns) for index in range(new)]
        arrived += new
        before, free, runs = len(waiting), line.free_slots, len(line.batches)
        feeder.feed(waiting, lambda frame: frame.meta.received_ns + 30 * MS, now_ns)
        assert not waiting or not line.free_slots
        if before <= free:
            assert line.batches[runs:] == [1] * before
        if ends:
            line.end(now_ns)
        results += feeder.collect()
    assert [result.frame_id for result in results] == list(range(arrived))
