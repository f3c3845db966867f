"""Faults that were told while the arbiter, which passes them on to MQTT, was not there to hear them. Pure.

The bus keeps nothing for who comes later. The supervisor is there from the first to the last moment, so it
remembers the last faults and tells them to an arbiter that has come up.
"""

from collections import deque

from inspector.types import Fault, ServiceState

UP = {ServiceState.READY, ServiceState.DEGRADED}
_REMEMBERED = 64


class MissedFaults:
    """Belongs to the supervisor's thread."""

    def __init__(self) -> None:
        self._faults: deque[Fault] = deque(maxlen=_REMEMBERED)
        self._up = False
        self._heard_ns = 0  # when the arbiter was last known to be there

    def note(self, fault: Fault) -> None:
        """A fault was told on the bus."""
        self._faults.append(fault)

    def arbiter(self, state: ServiceState, now_ns: int) -> bool:
        """The arbiter is in this state. Returns whether it has just come up: call `take` then."""
        was_up, self._up = self._up, state in UP
        if self._up and was_up:
            self._heard_ns = now_ns
        return self._up and not was_up

    def take(self, now_ns: int) -> list[Fault]:
        """Return what was told since an arbiter was last known to be there, in order.

        One that came between that and its end, and that it has passed on, is told again.
        """
        missed = [fault for fault in self._faults if fault.at_ns >= self._heard_ns]
        self._heard_ns = now_ns
        return missed
