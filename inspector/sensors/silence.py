"""Sensors that must be heard, and are not. Pure."""

from inspector.clock import NS_PER_S
from inspector.config import SensorConfig
from inspector.types import Quality, SensorEvent


class Silence:
    """Watches the sensors that have a `heartbeat_s`. One thread."""

    def __init__(self, sensors: tuple[SensorConfig, ...]) -> None:
        self._sensors = [sensor for sensor in sensors if sensor.heartbeat_s is not None]
        self._heard_ns: dict[str, int] = {}
        self._told_ns: dict[str, int] = {}
        self._gone: set[str] = set()
        self._seq = 0

    def heard(self, sensor_id: str, received_ns: int) -> None:
        """A valid reading came."""
        self._heard_ns[sensor_id] = received_ns
        self._gone.discard(sensor_id)

    def gone(self, sensor_id: str) -> None:
        """Its edge node said that it is dead: it is overdue at once."""
        self._gone.add(sensor_id)

    def overdue(self, now_ns: int, since_ns: int) -> list[SensorEvent]:
        """Return an event of each silent sensor, one in each `heartbeat_s`.

        We listen since `since_ns`: what was not said while the broker was away is no silence.
        """
        events = []
        for sensor in self._sensors:
            limit_ns = int((sensor.heartbeat_s or 0.0) * NS_PER_S)
            heard_ns = max(self._heard_ns.get(sensor.id, since_ns), since_ns)
            quiet_ns = now_ns - heard_ns
            if quiet_ns <= limit_ns and sensor.id not in self._gone:
                continue
            told_ns = self._told_ns.get(sensor.id)
            if told_ns is not None and told_ns > heard_ns and now_ns - told_ns < limit_ns:
                continue
            self._told_ns[sensor.id] = now_ns
            self._seq += 1
            events.append(_event(sensor, quiet_ns / NS_PER_S, self._seq, now_ns))
        return events


def _event(sensor: SensorConfig, quiet_s: float, seq: int, now_ns: int) -> SensorEvent:
    return SensorEvent(
        sensor_id=sensor.id,
        kind="silence",
        value=round(quiet_s, 3),
        unit="s",
        quality=Quality.UNCERTAIN,
        urgency=sensor.urgency_when_silent,
        abnormal=f"no reading for {quiet_s:.1f} s, at least one in {sensor.heartbeat_s:g} s is due",
        seq=seq,
        observed_ns=now_ns,
        received_ns=now_ns,
    )
