"""Which power mode to run in. Pure: latencies and time in, a mode out.

Up at once when results come near their limit, to the highest mode and not the next: a part waits.
Down one mode after a calm while; a mode that proved too slow is left alone for twice as long each
time, so that the line is not made late again and again to learn the same.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from inspector.clock import NS_PER_S

_NEAR: Final = 0.8  # of the limit, at the 99th percentile: go up
_CALM: Final = 0.5  # below this, for CALM_NS: go down
CALM_NS: Final = 30 * NS_PER_S
_LONGEST_NS: Final = 3600 * NS_PER_S
_ENOUGH: Final = 10  # results that tell something


class PowerPolicy:
    """Modes are numbered from the lowest power, 0, to the highest. Starts in the highest."""

    def __init__(self, modes: int, limit_ns: int, now_ns: int) -> None:
        self._highest = modes - 1
        self._limit_ns = limit_ns
        self._mode = self._highest
        self._calm_since_ns = now_ns
        self._banned_until_ns = [now_ns] * modes
        self._ban_ns = [2 * CALM_NS] * modes

    @property
    def mode(self) -> int:
        return self._mode

    def observe(self, latencies_ns: Sequence[int], late: int, now_ns: int) -> int:
        """Take in the latencies since the last call and how many frames were dropped; returns the mode.

        With too few results nothing changes, but a dropped frame always counts as too slow.
        """
        if late or (len(latencies_ns) and self._p99(latencies_ns) > _NEAR * self._limit_ns):
            self._go_up(now_ns)
        elif len(latencies_ns) >= _ENOUGH:
            if self._p99(latencies_ns) > _CALM * self._limit_ns:
                self._calm_since_ns = now_ns
            elif now_ns - self._calm_since_ns >= CALM_NS:
                self._go_down(now_ns)
        return self._mode

    def _go_up(self, now_ns: int) -> None:
        self._calm_since_ns = now_ns
        if self._mode == self._highest:
            return
        for mode in range(self._mode + 1):  # what is lower still is no faster
            self._banned_until_ns[mode] = now_ns + self._ban_ns[mode]
            self._ban_ns[mode] = min(2 * self._ban_ns[mode], _LONGEST_NS)
        self._mode = self._highest

    def _go_down(self, now_ns: int) -> None:
        self._calm_since_ns = now_ns
        lower = self._mode - 1
        if lower >= 0 and now_ns >= self._banned_until_ns[lower]:
            self._mode = lower

    @staticmethod
    def _p99(latencies_ns: Sequence[int]) -> float:
        return float(np.percentile(np.asarray(latencies_ns, dtype=np.float64), 99))
