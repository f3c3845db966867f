"""Which part a frame belongs to, by time: the one whose trigger its exposure lies nearest to.

The parts that were judged a short while ago stay in the picture: a frame that comes late is still
theirs and not the next part's. A frame whose time is uncertain belongs to a part only if no time
that it may have been exposed at is another part's.
"""

import bisect
from collections.abc import Iterable

from inspector.types import FrameResult, PartTrigger, SensorEvent

_KEPT = 1024  # parts, open and judged


class Passages:
    """The triggers of the line, in order of time. The oldest go when there are very many."""

    def __init__(self) -> None:
        self._at: list[tuple[int, str]] = []
        self._triggers: list[PartTrigger] = []

    def add(self, trigger: PartTrigger) -> None:
        """Take one more part."""
        key = (trigger.trigger_ns, trigger.part_id)
        index = bisect.bisect_left(self._at, key)
        self._at.insert(index, key)
        self._triggers.insert(index, trigger)
        if len(self._at) > _KEPT:
            del self._at[0], self._triggers[0]

    def candidates(self, at_ns: int, uncertainty_ns: int | None, max_skew_ns: int) -> tuple[PartTrigger, ...]:
        """Return the parts that something at `at_ns` may belong to: none, the one, or several.

        A part counts when its trigger is the nearest for some time within the uncertainty, and lies
        within `max_skew_ns` of that time. With an unknown uncertainty (None) every part within
        `max_skew_ns` counts. Of two at the same distance the earlier part is the nearest.
        """
        off_ns = uncertainty_ns or 0
        reach_ns = max_skew_ns + off_ns
        first = bisect.bisect_left(self._at, (at_ns - reach_ns, ""))
        end = bisect.bisect_left(self._at, (at_ns + reach_ns + 1, ""))
        if uncertainty_ns is not None and end - first > 1:
            first = max(first, self._nearest(at_ns - off_ns))
            end = min(end, self._nearest(at_ns + off_ns) + 1)
        return tuple(self._triggers[first:end])

    def _nearest(self, at_ns: int) -> int:
        """Return the index of the part nearest to a time; there must be one."""
        after = bisect.bisect_left(self._at, (at_ns, ""))
        if after == 0:
            return 0
        before_ns = self._at[after - 1][0]
        if after < len(self._at) and self._at[after][0] - at_ns < at_ns - before_ns:
            return after
        return bisect.bisect_left(self._at, (before_ns, ""))


def skew_ms(results: Iterable[FrameResult], events: Iterable[SensorEvent], trigger_ns: int) -> float:
    """How far, at most, any piece of evidence may lie from the trigger, in ms; 0 without evidence.

    With the uncertainty of the cameras' clocks, where it is known.
    """
    far_ns = [
        abs(result.exposure_start_ns - trigger_ns) + (result.clock_uncertainty_us or 0.0) * 1000.0
        for result in results
    ]
    far_ns += [abs(event.observed_ns - trigger_ns) for event in events]
    return max(far_ns, default=0) / 1e6


def clock_uncertainty_ms(results: Iterable[FrameResult]) -> float | None:
    """The largest uncertainty of the frames' times in ms; None when one is not known."""
    worst_us = 0.0
    for result in results:
        if result.clock_uncertainty_us is None:
            return None
        worst_us = max(worst_us, result.clock_uncertainty_us)
    return worst_us / 1000.0
