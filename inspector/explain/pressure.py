"""Whether the detector needs the machine for itself: its 99th percentile against its budget. Pure."""

from collections import deque

from inspector.types import FrameResult, ResultStatus

WINDOW = 200
LEAST = 20
_NEAR = 0.8
_FAR = 0.6


class Pressure:
    """Latencies of the last WINDOW frames, from arrival to result, against `budget_ns`.

    High from 80 % of the budget, or when a frame was dropped for its age; low again below 60 %.
    """

    def __init__(self, budget_ns: int) -> None:
        self._budget_ns = budget_ns
        self._latencies: deque[int] = deque(maxlen=WINDOW)
        self.is_high = False

    def see(self, result: FrameResult) -> None:
        """Take one result."""
        late = result.status is ResultStatus.DROPPED
        self._latencies.append(self._budget_ns if late else result.finished_ns - result.received_ns)
        if len(self._latencies) >= LEAST:
            limit = _FAR if self.is_high else _NEAR
            self.is_high = self.p99_ns() >= limit * self._budget_ns

    def p99_ns(self) -> int:
        """Return the 99th percentile, 0 before there is any."""
        ordered = sorted(self._latencies)
        return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else 0
