"""Batches form of waiting frames only, and never make a frame late that would have been in time."""

from hypothesis import given
from hypothesis import strategies as st

from inspector.detect.engines.batching import RunTimes, batch_size

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
