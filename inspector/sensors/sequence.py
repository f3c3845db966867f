"""Tells a new reading of one sensor from one that was here before. Pure."""

from enum import Enum, auto

WINDOW = 64  # QoS 1 repeats what was in flight, so a duplicate is never far behind


class Order(Enum):
    NEW = auto()
    RESTARTED = auto()  # new, and the sensor counts from the start again
    DUPLICATE = auto()
    REPLAYED = auto()  # from far back, and nothing says that it is new


class SequenceWindow:
    """The last `WINDOW` sequence numbers of one sensor, as a bitmap, and its newest UTC.

    Numbers may come late and out of order within the window. A number that is not new is a
    restart of the sensor when its UTC is newer than any before (a repeated message keeps its
    UTC), or, without UTC, when it is 0 or 1 and far behind.
    """

    def __init__(self) -> None:
        self._highest = -1
        self._seen = 0  # bit n: highest - n was seen
        self._newest_utc_ns = -1

    def order(self, seq: int, utc_ns: int | None) -> Order:
        """Say what a reading would be. Changes nothing."""
        behind = self._highest - seq
        if behind < 0:
            return Order.NEW
        if utc_ns is not None and utc_ns > self._newest_utc_ns:
            late = behind < WINDOW and not self._seen >> behind & 1
            return Order.NEW if late else Order.RESTARTED
        if behind < WINDOW:
            return Order.DUPLICATE if self._seen >> behind & 1 else Order.NEW
        if utc_ns is None and seq <= 1:
            return Order.RESTARTED
        return Order.REPLAYED

    def take(self, seq: int, utc_ns: int | None) -> Order:
        """Say what a reading is, and remember it if it is new."""
        order = self.order(seq, utc_ns)
        if order is Order.RESTARTED:
            self._highest, self._seen = seq, 1
        elif order is Order.NEW:
            ahead = seq - self._highest
            if ahead > 0:
                self._seen = (self._seen << min(ahead, WINDOW) | 1) & (1 << WINDOW) - 1
                self._highest = seq
            else:
                self._seen |= 1 << -ahead
        if order in (Order.NEW, Order.RESTARTED) and utc_ns is not None:
            self._newest_utc_ns = max(self._newest_utc_ns, utc_ns)
        return order
