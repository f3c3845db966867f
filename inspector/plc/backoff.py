"""How long to wait before the next attempt to connect. Pure but for its random source."""

from random import Random

FIRST_S = 0.05
LAST_S = 2.0  # a line stands still while its broker is away, so we never wait long


class Backoff:
    """Doubles from `FIRST_S` to `LAST_S`; each wait is drawn from its upper half (jitter)."""

    def __init__(self, random: Random | None = None) -> None:
        self._random = random or Random()
        self._ceiling_s = FIRST_S

    def reset(self) -> None:
        """A connection was made and held."""
        self._ceiling_s = FIRST_S

    def next_s(self) -> float:
        """Return the wait before the next attempt."""
        wait_s = self._random.uniform(self._ceiling_s / 2, self._ceiling_s)
        self._ceiling_s = min(2 * self._ceiling_s, LAST_S)
        return wait_s
