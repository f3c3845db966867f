"""Maps a camera's clock to this host's: a running fit, pure, that states its uncertainty.

Every observation says that something which the camera stamped `device_ns` was seen here at
`host_ns`, so the true host time is at most that. The delay in between is never negative and now
and then small, hence the line under all points that lies closest to them is the clock relation:
the edge of the lower convex hull over the middle of the window (Moon, Skelly and Towsley 1999;
Zhang, Liu and Xia 2002). A delay that every observation has cannot be told from a clock offset:
the observer takes off what it knows of it (`slack_ns`, such as the exposure time).

A reading of the camera's clock by command lies between question and answer: `width_ns` says how
far apart these were. Then the middle is taken, and a clock that was stepped is found at once.
"""

import itertools
from collections import deque
from dataclasses import dataclass

from inspector.clock import NS_PER_MS, NS_PER_S

_BUCKETS = 64  # of the window; each keeps its best observation
_LEAST_BASELINE_NS = 5 * NS_PER_S  # over less, jitter would pass for drift
_LATE_IN_A_ROW = 16  # this many observations far too late: the device clock jumped back
_WANDER_NS = 200_000  # what temperature does to a quartz between two readings, and more


@dataclass(frozen=True, slots=True)
class _Point:
    device_ns: int
    host_ns: int
    half_ns: int = 0  # how far off a two-sided observation may be


class CameraTime:
    """Belongs to one thread. All times are whole nanoseconds.

    `window_ns` is how far back observations count: long enough that some are undelayed, short
    enough that the drift stays the same. `max_skew_ppm` bounds the two clocks' rates: a quartz
    is within 100. `jump_ns` is what no drift or jitter explains.
    """

    def __init__(
        self,
        *,
        window_ns: int = 30 * NS_PER_S,
        max_skew_ppm: float = 300.0,
        jump_ns: int = 20 * NS_PER_MS,
    ) -> None:
        self._window_ns = window_ns
        self._max_skew = max_skew_ppm * 1e-6
        self._jump_ns = jump_ns
        self.jumps = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything: the device was restarted or replaced."""
        self._points: deque[_Point] = deque()
        self._skew = 0.0
        self._anchor: _Point | None = None
        self._spread_ns = 0
        self._half_ns = 0
        self._late = 0
        self._newest_ns = 0

    @property
    def ready(self) -> bool:
        """Whether there was any observation."""
        return self._anchor is not None

    def observe(
        self, device_ns: int, host_ns: int, *, slack_ns: int = 0, width_ns: int | None = None
    ) -> None:
        """Take one observation; `slack_ns` is the least delay that it is known to contain.

        With `width_ns` the delay is known to be at most that.
        """
        half_ns = 0 if width_ns is None else width_ns // 2
        point = _Point(device_ns, host_ns - slack_ns - half_ns, half_ns)
        if self._anchor is not None and (
            self._stepped(point) if width_ns is not None else self._jumped(point)
        ):
            self.jumps += 1
            self.reset()
        self._newest_ns = max(self._newest_ns, device_ns)
        if width_ns is not None and not self._is_worth(point):
            return
        if self._keep(point):
            self._fit()

    def to_host(self, device_ns: int) -> int:
        """Return the host's time of a camera time stamp. Only when `ready`."""
        assert self._anchor is not None
        since = device_ns - self._anchor.device_ns
        return self._anchor.host_ns + since + round(since * self._skew)

    def uncertainty_ns(self, device_ns: int) -> int:
        """Return how far `to_host` may be off, but for a delay that every observation has.

        The jitter that is left in the best observations, plus what the rate may be wrong by,
        over the distance to the nearest observation.
        """
        if self._anchor is None or not self._points:
            return 2**63 - 1
        baseline = self._points[-1].device_ns - self._points[0].device_ns
        rate = self._max_skew
        if baseline >= _LEAST_BASELINE_NS:
            rate = min(rate, (self._spread_ns + 1) / baseline)
        nearest = min(abs(device_ns - point.device_ns) for point in self._points)
        return self._spread_ns + self._half_ns + round(nearest * rate) + 1

    def _stepped(self, point: _Point) -> bool:
        off_ns = abs(point.host_ns - self.to_host(point.device_ns))
        return off_ns > point.half_ns + self.uncertainty_ns(point.device_ns) + _WANDER_NS

    def _jumped(self, point: _Point) -> bool:
        device_ns = point.device_ns
        delay = point.host_ns - self.to_host(device_ns)
        since = abs(device_ns - self._newest_ns)
        if delay < -(self._jump_ns + round(since * self._max_skew)):
            return True  # seen before it happened
        if device_ns + self._jump_ns < self._newest_ns:
            return True  # frames may come out of order, but not by this much
        self._late = self._late + 1 if delay > self._jump_ns + round(since * self._max_skew) else 0
        return self._late >= _LATE_IN_A_ROW

    def _keep(self, point: _Point) -> bool:
        """Keep the best observation of each bucket; return whether the fit must change."""
        oldest = self._newest_ns - self._window_ns
        dropped = False
        while self._points and self._points[0].device_ns < oldest:
            self._points.popleft()
            dropped = True
        width = max(1, self._window_ns // _BUCKETS)
        if self._points and self._points[-1].device_ns // width >= point.device_ns // width:
            last = self._points[-1]
            if self._delay(point) >= self._delay(last):
                return dropped
            self._points[-1] = point
            return True
        self._points.append(point)
        return True

    def _is_worth(self, point: _Point) -> bool:
        """Whether a two-sided observation is about as narrow as the others; wider others are let go.

        A read that was held up (a cable that was out, a lost answer) may be off by half its width
        to either side. Among the undelayed ones it would look like the least delayed of all.
        """
        widths = [other.half_ns for other in self._points if other.half_ns]
        if widths and point.half_ns > 4 * min(widths) + NS_PER_MS:
            return False
        most = 4 * point.half_ns + NS_PER_MS
        self._points = deque(other for other in self._points if other.half_ns <= most)
        return True

    def _delay(self, point: _Point) -> float:
        return point.host_ns - point.device_ns * (1 + self._skew)

    def _fit(self) -> None:
        points = sorted(self._points, key=lambda point: point.device_ns)
        hull: list[_Point] = []
        for point in points:
            while len(hull) > 1 and not _turns_left(hull[-2], hull[-1], point):
                hull.pop()
            hull.append(point)
        middle = sum(point.device_ns for point in points) // len(points)
        left, right = hull[0], hull[0]
        for first, second in itertools.pairwise(hull):
            left, right = first, second
            if second.device_ns >= middle:
                break
        rise = right.device_ns - left.device_ns
        long_enough = points[-1].device_ns - points[0].device_ns >= _LEAST_BASELINE_NS and rise > 0
        skew = (right.host_ns - left.host_ns - rise) / rise if long_enough else self._skew
        self._skew = min(max(skew, -self._max_skew), self._max_skew)
        # A rate at its bound no longer touches both ends: lower the line onto the points.
        base = points[0]
        self._anchor = min(
            points,
            key=lambda point: (
                point.host_ns - base.host_ns - (point.device_ns - base.device_ns) * (1 + self._skew)
            ),
        )
        delays = sorted(point.host_ns - self.to_host(point.device_ns) for point in points)
        self._spread_ns = max(delays[len(delays) // 2], 0)
        self._half_ns = max(left.half_ns, right.half_ns, self._anchor.half_ns)


def _turns_left(a: _Point, b: _Point, c: _Point) -> bool:
    """Whether the way a, b, c bends upwards (exact in integers)."""
    return (b.device_ns - a.device_ns) * (c.host_ns - a.host_ns) > (b.host_ns - a.host_ns) * (
        c.device_ns - a.device_ns
    )
