"""Copies hidden: the share of copy time in which another slot's kernels run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.detect.engines.stages import (
    COPIES,
    COPY_IN,
    COPY_OUT,
    DECODING,
    NETWORK,
    PREPARATION,
    Stage,
    copies_hidden,
)

NAMES = (COPY_IN, PREPARATION, NETWORK, DECODING, COPY_OUT)


@st.composite
def runs(draw: st.DrawFn) -> list[Stage]:
    """Stages of up to three slots; within a slot one after the other, as a stream runs them."""
    stages = []
    for slot in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, 20))
        for name in draw(st.lists(st.sampled_from(NAMES), max_size=8)):
            start = at + draw(st.integers(0, 4))
            at = start + draw(st.integers(0, 6))
            stages.append(Stage(slot, name, start, at))
    return stages


def tick_by_tick(stages: list[Stage]) -> float | None:
    """The same by counting whole nanoseconds."""
    copying = hidden = 0
    for copy in stages:
        if copy.name not in COPIES:
            continue
        for tick in range(copy.start_ns, copy.end_ns):
            copying += 1
            hidden += any(
                other.start_ns <= tick < other.end_ns
                for other in stages
                if other.slot != copy.slot and other.name not in COPIES
            )
    return hidden / copying if copying else None


@given(runs())
def test_as_counted_tick_by_tick(stages: list[Stage]) -> None:
    assert copies_hidden(stages) == tick_by_tick(stages)


@given(runs(), st.integers(0, 10**15), st.permutations([0, 1, 2]), st.randoms(use_true_random=False))
def test_neither_the_clock_nor_the_slots_numbers_nor_the_order_matter(
    stages: list[Stage], later_ns: int, slots: list[int], random: object
) -> None:
    other = [Stage(slots[s.slot], s.name, s.start_ns + later_ns, s.end_ns + later_ns) for s in stages]
    random.shuffle(other)  # type: ignore[attr-defined]  # hypothesis' Random
    assert copies_hidden(other) == copies_hidden(stages)


@given(runs())
def test_a_slot_alone_hides_nothing_and_one_that_always_computes_hides_all(stages: list[Stage]) -> None:
    alone = copies_hidden([stage for stage in stages if stage.slot == 0])
    assert not alone
    busy = copies_hidden([*stages, Stage(9, NETWORK, 0, 1000)])
    assert busy in {None, 1.0}


def test_half_a_copy_behind_another_slots_network() -> None:
    stages = [Stage(0, COPY_IN, 0, 10), Stage(0, NETWORK, 10, 50), Stage(1, COPY_IN, 5, 15)]
    assert copies_hidden(stages) == pytest.approx(5 / 20)  # the second's second half
    assert copies_hidden([Stage(0, NETWORK, 0, 10)]) is None
    assert copies_hidden([]) is None
