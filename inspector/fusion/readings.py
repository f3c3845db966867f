"""The sensors' latest readings, in order of time, each sensor by itself. Pure.

Each sensor has a bound of its own, so that one gone mad pushes out nobody else's readings.
"""

import bisect

from inspector.types import SensorEvent

_KEPT = 512  # of each sensor


class Readings:
    """What was measured lately. Independent of the order in which readings arrive."""

    def __init__(self) -> None:
        self._at: dict[str, list[tuple[int, int]]] = {}
        self._events: dict[str, list[SensorEvent]] = {}
        self._sensors: list[str] = []  # sorted

    def add(self, event: SensorEvent) -> None:
        """Take one reading; the sensor's oldest goes when there are very many."""
        name = event.sensor_id
        if name not in self._at:
            self._at[name], self._events[name] = [], []
            bisect.insort(self._sensors, name)
        at, events = self._at[name], self._events[name]
        key = (event.observed_ns, event.seq)
        index = bisect.bisect_right(at, key)
        at.insert(index, key)
        events.insert(index, event)
        if len(at) > _KEPT:
            del at[0], events[0]

    def near(self, at_ns: int, max_skew_ns: int) -> tuple[SensorEvent, ...]:
        """Return the readings within `max_skew_ns` of a time, by sensor, time and sequence."""
        found: list[SensorEvent] = []
        for name in self._sensors:
            found += self._of(name, at_ns, max_skew_ns)
        return tuple(found)

    def speaks(self, sensor_id: str, at_ns: int, max_skew_ns: int) -> bool:
        """Whether this sensor has a reading near that says something of a part."""
        if sensor_id not in self._at:
            return False
        return any(event.p_defect is not None for event in self._of(sensor_id, at_ns, max_skew_ns))

    def _of(self, sensor_id: str, at_ns: int, max_skew_ns: int) -> list[SensorEvent]:
        at = self._at[sensor_id]
        first = bisect.bisect_left(at, (at_ns - max_skew_ns, -1))
        end = bisect.bisect_left(at, (at_ns + max_skew_ns + 1, -1))
        return self._events[sensor_id][first:end]
