"""Reads the camera's clock together with ours, which a frame's arrival cannot do as well."""

from dataclasses import dataclass
from typing import Any

from inspector.camera.settings import find_node
from inspector.clock import NS_PER_S, Clock

_PERIOD_NS = 1 * NS_PER_S
# SFNC 2 and 1: the command, the value, and the ticks a second where those are not nanoseconds.
_NAMES = (
    ("TimestampLatch", "TimestampLatchValue", None),
    ("GevTimestampControlLatch", "GevTimestampValue", "GevTimestampTickFrequency"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The camera's clock showed `device_ns` at most `width_ns` before the host's `host_ns`."""

    device_ns: int
    host_ns: int
    width_ns: int


class TimeLatch:
    """Belongs to the thread of the camera. Raises what the producer raises."""

    def __init__(self, command: Any, value: Any, ticks_per_s: int, clock: Clock) -> None:
        self._command = command
        self._value = value
        self._ticks_per_s = ticks_per_s
        self._clock = clock
        self._next_ns = 0

    @staticmethod
    def of(node_map: Any, clock: Clock) -> "TimeLatch | None":
        """Return the latch of a camera that has one."""
        for command_name, value_name, frequency_name in _NAMES:
            command, value = find_node(node_map, command_name), find_node(node_map, value_name)
            frequency = find_node(node_map, frequency_name) if frequency_name else None
            ticks_per_s = int(frequency.value) if frequency is not None else NS_PER_S
            if command is not None and value is not None and ticks_per_s > 0:
                return TimeLatch(command, value, ticks_per_s, clock)
        return None

    def due(self) -> bool:
        """Tell whether it is time to look again."""
        return self._clock.now_ns() >= self._next_ns

    def observe(self) -> Reading:
        """Read the camera's clock."""
        asked_ns = self._clock.now_ns()
        self._command.execute()
        answered_ns = self._clock.now_ns()
        self._next_ns = answered_ns + _PERIOD_NS
        device_ns = int(self._value.value) * NS_PER_S // self._ticks_per_s
        return Reading(device_ns, answered_ns, answered_ns - asked_ns)
