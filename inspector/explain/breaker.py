"""A circuit breaker: a server that does not answer is left alone for a while. Pure.

Closed: every request goes out. After some failures in a row it opens and none does, for a time that
doubles with each try that fails; then one request goes out as a try (Nygard, Release It!, 2007).
"""

from inspector.clock import NS_PER_S

FAILURES = 3
FIRST_REST_NS = 2 * NS_PER_S
LONGEST_REST_NS = 60 * NS_PER_S


class Breaker:
    """Not for several threads at once: the caller has a lock."""

    def __init__(self) -> None:
        self._failures = 0
        self._rest_ns = FIRST_REST_NS
        self._closed_from_ns = 0
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Whether requests are held back, or one is out as a try."""
        return self._failures >= FAILURES

    def lets(self, now_ns: int) -> bool:
        """Return whether a request may go out now."""
        if not self.is_open:
            return True
        if self._trying or now_ns < self._closed_from_ns:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """A request was answered."""
        self._failures, self._rest_ns, self._trying = 0, FIRST_REST_NS, False

    def given_up(self) -> None:
        """A request was given up before its end, and says nothing of the server: another may be the try."""
        self._trying = False

    def failed(self, now_ns: int) -> None:
        """A request was not answered."""
        self._failures += 1
        self._trying = False
        if self.is_open:
            self._closed_from_ns = now_ns + self._rest_ns
            self._rest_ns = min(2 * self._rest_ns, LONGEST_REST_NS)
