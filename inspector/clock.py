"""The only place that reads the machine's clocks.

`*_ns` is CLOCK_MONOTONIC of this host, one time base for all processes. UTC is for the edges
(MQTT payloads, file names, logs) alone, because it may be stepped while we run.
"""

import time
from typing import Protocol

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Time as our code sees it; tests bring a manual one."""

    def now_ns(self) -> int:
        """Return CLOCK_MONOTONIC in nanoseconds."""
        ...

    def utc_ns(self) -> int:
        """Return nanoseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The host's clocks. Safe from every thread."""

    def now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def utc_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_REALTIME)
