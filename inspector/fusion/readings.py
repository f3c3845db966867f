"""The sensors' latest readings, in order of time, each sensor by itself. Pure.

Each sensor has a bound of its own, so that one gone mad pushes out nobody else's readings. A reading
that an open part may need is not pushed out by newer ones either: a fast sensor would push out its own
alarm.
"""

import bisect

from inspector.types import SensorEvent

_KEPT = 512  # of each sensor, however old
_AT_MOST = 4096  # of each sensor, however new


class Readings:
    """What was measured lately. Independent of the order in which readings arrive.

    What is less than `needed_ns` old is kept. Where that is too much, the less suspicious one of each
    two neighbours goes, and `thinned` counts it.
    """

    def __init__(self, needed_ns: int) -> None:
        self._needed_ns = needed_ns
        self.thinned = 0
        self._at: dict[str, list[tuple[int, int]]] = {}
        self._events: dict[str, list[SensorEvent]] = {}
        self._sensors: list[str] = []  # sorted

    def add(self, event: SensorEvent, now_ns: int) -> None:
        """Take one reading. When there are many, the sensor's old ones go."""
        name = event.sensor_id
        if name not in self._at:
            self._at[name], self._events[name] = [], []
            bisect.insort(self._sensors, name)
        at, events = self._at[name], self._events[name]
        key = (event.observed_ns, event.seq)
        index = bisect.bisect_right(at, key)
        at.insert(index, key)
        events.insert(index, event)
        old = bisect.bisect_left(at, (now_ns - self._needed_ns, -1))
        spare = min(old, len(at) - _KEPT)
        if spare > 0:
            del at[:spare], events[:spare]
        if len(at) > _AT_MOST:
            self._thin(name)

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

    def _thin(self, name: str) -> None:
        before = self._events[name]
        kept = [max(before[i : i + 2], key=_suspicion) for i in range(0, len(before), 2)]
        self.thinned += len(before) - len(kept)
        self._events[name] = kept
        self._at[name] = [(event.observed_ns, event.seq) for event in kept]


def _suspicion(event: SensorEvent) -> float:
    return -1.0 if event.p_defect is None else event.p_defect
