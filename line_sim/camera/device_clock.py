"""The camera's own clock: nanosecond ticks that start at power-up and may run fast or slow."""

from inspector.clock import Clock, SystemClock

TICK_FREQUENCY_HZ = 1_000_000_000


class DeviceClock:
    """Ticks at 1 GHz since power-up (or since a timestamp reset), off by `drift_ppm`.

    A real camera's crystal is off by up to some 50 ppm, so its time drifts against the host's.
    """

    def __init__(self, clock: Clock | None = None, *, drift_ppm: float = 0.0, start_ticks: int = 0) -> None:
        self._clock: Clock = clock or SystemClock()
        self._drift_ppm = drift_ppm
        self._start_ticks = start_ticks
        self._epoch_ns = self._clock.now_ns()

    def now_ns(self) -> int:
        """Return the host's CLOCK_MONOTONIC in nanoseconds."""
        return self._clock.now_ns()

    def ticks_at(self, host_ns: int) -> int:
        """Return the device time at a host time; 0 for host times before power-up."""
        elapsed = host_ns - self._epoch_ns
        return max(0, self._start_ticks + elapsed + round(elapsed * self._drift_ppm * 1e-6))

    def ticks(self) -> int:
        return self.ticks_at(self._clock.now_ns())

    def reset(self) -> None:
        """Start again at 0 ticks (GevTimestampControlReset)."""
        self._start_ticks = 0
        self._epoch_ns = self._clock.now_ns()
