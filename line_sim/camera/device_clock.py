"""The camera's own clock: nanosecond ticks that start at power-up and may run fast or slow."""

import threading

from inspector.clock import Clock, SystemClock

TICK_FREQUENCY_HZ = 1_000_000_000


class DeviceClock:
    """Ticks at 1 GHz since power-up (or since a timestamp reset), off by `drift_ppm`.

    A real camera's crystal is off by up to some 50 ppm, so its time drifts against the host's.
    Thread-safe.
    """

    def __init__(self, clock: Clock | None = None, *, drift_ppm: float = 0.0, start_ticks: int = 0) -> None:
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._drift_ppm = drift_ppm
        self._disciplined = False
        self._start_ticks = start_ticks
        self._epoch_ns = self._clock.now_ns()

    def now_ns(self) -> int:
        """Return the host's CLOCK_MONOTONIC in nanoseconds."""
        return self._clock.now_ns()

    def master_ns(self) -> int:
        """Return the time of the PTP master: UTC of this host in nanoseconds."""
        return self._clock.utc_ns()

    def ticks_at(self, host_ns: int) -> int:
        """Return the device time at a host time; 0 for host times before power-up."""
        with self._lock:
            return self._ticks_at(host_ns)

    def host_ns_at(self, ticks: int) -> int:
        """Return the host time at which the device time is `ticks`."""
        with self._lock:
            return self._epoch_ns + round((ticks - self._start_ticks) / (1 + self._rate_error))

    def ticks(self) -> int:
        return self.ticks_at(self._clock.now_ns())

    def reset(self) -> None:
        """Start again at 0 ticks (GevTimestampControlReset)."""
        with self._lock:
            self._start_ticks = 0
            self._epoch_ns = self._clock.now_ns()

    def jump(self, ns: int) -> None:
        """Step the device time, as a camera does that lost its synchronisation."""
        with self._lock:
            self._rebase()
            self._start_ticks = max(0, self._start_ticks + ns)

    @property
    def drift_ppm(self) -> float:
        return self._drift_ppm

    @drift_ppm.setter
    def drift_ppm(self, ppm: float) -> None:
        """Run faster or slower from now on; the time itself does not step."""
        with self._lock:
            self._rebase()
            self._drift_ppm = ppm

    def discipline(self, master_ns: int) -> None:
        """Take over the master's time now, and its rate."""
        with self._lock:
            self._epoch_ns = self._clock.now_ns()
            self._start_ticks = master_ns
            self._disciplined = True

    def run_free(self) -> None:
        """Go on at the crystal's own rate; the time does not step."""
        with self._lock:
            self._rebase()
            self._disciplined = False

    @property
    def _rate_error(self) -> float:
        return 0.0 if self._disciplined else self._drift_ppm * 1e-6

    def _ticks_at(self, host_ns: int) -> int:
        elapsed = host_ns - self._epoch_ns
        return max(0, self._start_ticks + elapsed + round(elapsed * self._rate_error))

    def _rebase(self) -> None:
        now_ns = self._clock.now_ns()
        self._start_ticks = self._ticks_at(now_ns)
        self._epoch_ns = now_ns
