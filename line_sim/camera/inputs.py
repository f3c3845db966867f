"""The camera's inputs: two opto-isolated lines and an encoder."""

import threading

LINES = ("Line0", "Line1")


class Inputs:
    """Thread-safe. Levels are known for any time: pulses may be announced ahead."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = dict.fromkeys(LINES, False)
        self._pulses: dict[str, tuple[int, int]] = dict.fromkeys(LINES, (0, 0))
        self._encoder = 0

    @property
    def encoder(self) -> int:
        return self._encoder

    @encoder.setter
    def encoder(self, ticks: int) -> None:
        self._encoder = ticks

    def pulse(self, line: str, rise_ns: int, fall_ns: int) -> None:
        """Note a pulse: the line is high from `rise_ns` until `fall_ns`, host time."""
        with self._lock:
            self._pulses[line] = (rise_ns, fall_ns)

    def hold(self, line: str, *, high: bool) -> bool:
        """Set the level of a line; return whether it changed."""
        with self._lock:
            changed = self._held[line] != high
            self._held[line] = high
            return changed

    def status_at(self, host_ns: int) -> int:
        """Return LineStatusAll: bit n is the level of line n."""
        with self._lock:
            status = 0
            for bit, line in enumerate(LINES):
                rise_ns, fall_ns = self._pulses[line]
                if self._held[line] or rise_ns <= host_ns < fall_ns:
                    status |= 1 << bit
            return status
