"""Duplicates, replays, late readings and restarts of a sensor."""

from hypothesis import given
from hypothesis import strategies as st

from inspector.sensors.sequence import WINDOW, Order, SequenceWindow


def orders(*readings: tuple[int, int | None]) -> list[Order]:
    window = SequenceWindow()
    return [window.take(seq, utc_ns) for seq, utc_ns in readings]


def test_a_repeated_reading_is_told() -> None:
    assert orders((1, 10), (2, 20), (2, 20), (1, 10)) == [
        Order.NEW,
        Order.NEW,
        Order.DUPLICATE,
        Order.DUPLICATE,
    ]


def test_a_late_reading_is_new_once() -> None:
    assert orders((1, 10), (3, 30), (2, 20), (2, 20)) == [
        Order.NEW,
        Order.NEW,
        Order.NEW,
        Order.DUPLICATE,
    ]


def test_a_restart_needs_a_newer_time() -> None:
    assert orders((500, 1000), (0, 1001), (1, 1002)) == [
        Order.NEW,
        Order.RESTARTED,
        Order.NEW,
    ]
    assert orders((500, 1000), (0, 999))[-1] is Order.REPLAYED


def test_a_restart_soon_after_the_start_is_told_from_a_duplicate_by_its_time() -> None:
    assert orders((0, 1), (1, 2), (2, 3), (0, 10), (1, 11), (2, 12))[3:] == [
        Order.RESTARTED,
        Order.NEW,
        Order.NEW,
    ]


def test_a_restart_whose_first_readings_were_lost() -> None:
    assert orders((500, 1000), (57, 2000))[-1] is Order.RESTARTED


def test_without_time_only_a_start_from_the_beginning_far_behind_is_a_restart() -> None:
    assert orders((500, None), (1, None))[-1] is Order.RESTARTED
    assert orders((500, None), (57, None))[-1] is Order.REPLAYED
    assert orders((5, None), (1, None), (1, None))[1:] == [Order.NEW, Order.DUPLICATE]


def test_a_counter_of_16_bits_may_wrap() -> None:
    assert orders((65534, 1), (65535, 2), (0, 3), (1, 4))[2:] == [Order.RESTARTED, Order.NEW]


@given(st.lists(st.integers(0, 300), max_size=80))
def test_no_reading_is_taken_twice(seqs: list[int]) -> None:
    window = SequenceWindow()
    taken: set[int] = set()
    for seq in seqs:
        order = window.take(seq, 1000 + seq)
        if order is Order.NEW:
            assert seq not in taken
            taken.add(seq)
        else:
            assert order is not Order.RESTARTED
            assert seq in taken or max(taken) - seq >= WINDOW


@given(st.permutations(range(WINDOW)))
def test_any_order_within_the_window_is_taken(seqs: list[int]) -> None:
    window = SequenceWindow()
    assert all(window.take(seq, 1000 + seq) is Order.NEW for seq in seqs)
