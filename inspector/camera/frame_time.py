"""When a frame was exposed, on this host's clock, and how well that is known.

The camera stamps the start of exposure with its own clock. PTP maps that stamp where it is
verified, else the running fit. Each frame's transit is compared with that of the frames before:
a stamp that came too early or too late for it means that the camera's clock was stepped since it
was last read, so it is read again at once: a camera that has just sent a frame answers quickly, while
one that has died meanwhile would keep us waiting.
"""

from collections.abc import Callable
from typing import Protocol

from inspector.clock import NS_PER_MS, NS_PER_S, Clock

_ODD_NS = 5 * NS_PER_MS  # a transit that differs by more is worth a reading
_VAGUE_NS = 500_000  # after a long wait for a trigger the fit is stale; the frame itself is not
_LONGEST_NS = 1 * NS_PER_S  # no frame is under way for longer
_ODD_AGAIN_NS = 20 * NS_PER_MS  # between two readings for the one reason and the other
_VAGUE_AGAIN_NS = 200 * NS_PER_MS
_SMOOTHING = 16


class Fit(Protocol):
    """`CameraTime`."""

    jumps: int

    @property
    def ready(self) -> bool: ...
    def to_host(self, device_ns: int) -> int: ...
    def uncertainty_ns(self, device_ns: int) -> int: ...


class Ptp(Protocol):
    """`PtpCheck`."""

    @property
    def verified(self) -> bool: ...
    def to_host(self, device_ns: int) -> int: ...
    def uncertainty_ns(self) -> int: ...


class FrameTime:
    """Belongs to the camera's thread. `read_clock` feeds `fit` and `ptp`; None: it cannot be read.

    Without `read_clock` the fit rests on arrivals, which have a delay that it cannot know.
    """

    def __init__(self, fit: Fit, ptp: Ptp, read_clock: Callable[[], None] | None, clock: Clock) -> None:
        self._fit = fit
        self._ptp = ptp
        self._read_clock = read_clock
        self._clock = clock
        self._transit_ns: float | None = None
        self._read_ns = -_VAGUE_AGAIN_NS

    def start_of(self, stamp_ns: int, latest_ns: int) -> tuple[int, int | None]:
        """Map a stamp; `latest_ns` is when exposure began if the frame took no time to come.

        Returns host time and its uncertainty in ns, None where it is not known.
        """
        if not self._fit.ready:
            return latest_ns, None
        jumps = self._fit.jumps
        start_ns, off_ns = self._map(stamp_ns)
        odd = self._is_odd(latest_ns - start_ns, off_ns)
        if (odd and self._look_again(_ODD_AGAIN_NS)) or (
            off_ns > _VAGUE_NS and self._look_again(_VAGUE_AGAIN_NS)
        ):
            start_ns, off_ns = self._map(stamp_ns)
        transit_ns = latest_ns - start_ns
        stepped = self._fit.jumps != jumps
        if transit_ns < -off_ns or transit_ns > _LONGEST_NS or (stepped and self._is_odd(transit_ns, off_ns)):
            # Stamped before the step and read after it, or the other way round.
            return latest_ns - round(self._transit_ns or 0), None
        if self._transit_ns is None or stepped:
            self._transit_ns = transit_ns
        self._transit_ns += (transit_ns - self._transit_ns) / _SMOOTHING
        if self._read_clock is None:
            off_ns += max(0, round(self._transit_ns)) + NS_PER_MS
        return min(start_ns, latest_ns), off_ns

    def _map(self, stamp_ns: int) -> tuple[int, int]:
        if self._ptp.verified:
            return self._ptp.to_host(stamp_ns), self._ptp.uncertainty_ns()
        return self._fit.to_host(stamp_ns), self._fit.uncertainty_ns(stamp_ns)

    def _is_odd(self, transit_ns: int, off_ns: int) -> bool:
        usual_ns = self._transit_ns
        if transit_ns < -off_ns or transit_ns > _LONGEST_NS:
            return True
        return usual_ns is not None and abs(transit_ns - usual_ns) > _ODD_NS + off_ns

    def _look_again(self, pause_ns: int) -> bool:
        if self._read_clock is None or self._clock.now_ns() - self._read_ns < pause_ns:
            return False
        self._read_ns = self._clock.now_ns()
        self._read_clock()
        return True
