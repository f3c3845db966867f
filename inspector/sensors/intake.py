"""Sensor messages to events, or to a reason why not. Pure: time and payload are arguments."""

from collections import Counter

from inspector.clock import NS_PER_S
from inspector.config import SensorConfig
from inspector.flat import RefusedError
from inspector.mqtt_schema import SENSOR
from inspector.sensors.rules import judge
from inspector.sensors.sequence import Order, SequenceWindow
from inspector.types import Quality, SensorEvent

# A reading that waited longer (in a sensor's buffer, or in the broker while we were away) says
# nothing of the line as it is now. It is generous, because an emergency that comes some seconds
# late must still stop the line; which part a reading belongs to, `observed_ns` decides.
MAX_AGE_NS = 10 * NS_PER_S
# Two clocks that are synchronised (NTP) differ by less.
MAX_AHEAD_NS = 1 * NS_PER_S


class SensorIntake:
    """Decodes and judges the readings of the listed sensors.

    `refused` and `accepted` count by reason and by sensor; they only grow. One thread.
    """

    def __init__(
        self,
        sensors: tuple[SensorConfig, ...],
        *,
        max_age_ns: int = MAX_AGE_NS,
        max_ahead_ns: int = MAX_AHEAD_NS,
    ) -> None:
        self._sensors = {sensor.id: sensor for sensor in sensors}
        self._windows = {sensor.id: SequenceWindow() for sensor in sensors}
        self._max_age_ns = max_age_ns
        self._max_ahead_ns = max_ahead_ns
        self.refused: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()

    @property
    def sensor_ids(self) -> tuple[str, ...]:
        """The sensors that are listened to."""
        return tuple(self._sensors)

    def accept(
        self,
        sensor_id: str,
        payload: bytes,
        *,
        retained: bool,
        received_ns: int,
        utc_offset_ns: int,
    ) -> SensorEvent:
        """Turn one message into an event.

        `received_ns` is CLOCK_MONOTONIC at arrival, `utc_offset_ns` is UTC minus CLOCK_MONOTONIC.
        Raises `RefusedError` (a DataError), whose text names the sensor and says what is wrong.
        """
        try:
            event = self._accept(sensor_id, payload, retained, received_ns, utc_offset_ns)
        except RefusedError as refused:
            self.refused[refused.reason] += 1
            raise RefusedError(refused.reason, f"sensor {sensor_id[:64]}: {refused}") from refused
        self.accepted[sensor_id] += 1
        return event

    def _accept(
        self,
        sensor_id: str,
        payload: bytes,
        retained: bool,
        received_ns: int,
        utc_offset_ns: int,
    ) -> SensorEvent:
        sensor = self._sensors.get(sensor_id)
        if sensor is None:
            raise RefusedError("unlisted", "not listed in the site file")
        if retained:
            raise RefusedError("retained", "a retained reading has no known age; publish without retain")
        values = SENSOR.decode(payload)
        kind, unit = str(values["kind"]), str(values["unit"])
        value, seq = float(values["value"]), int(values["seq"])
        _check_site(sensor, kind, unit, value)
        quality = Quality(str(values.get("quality", Quality.GOOD)))
        utc_ns = int(values["utc_ns"]) if "utc_ns" in values else None
        age_ns = 0 if utc_ns is None else received_ns + utc_offset_ns - utc_ns
        if age_ns > self._max_age_ns:
            raise RefusedError("stale", f"{age_ns / NS_PER_S:.1f} s old; check its clock and its queue")
        ahead = age_ns < -self._max_ahead_ns
        if ahead and quality is Quality.GOOD:
            # Its clock is wrong, but the reading is here, so it is taken as of now.
            quality = Quality.UNCERTAIN
        self._take(sensor_id, seq, None if ahead else utc_ns)
        urgency, p_defect, abnormal = 0.0, None, None
        if quality is not Quality.BAD:
            if sensor.rule is not None:
                judgement = judge(sensor.rule, kind, value, unit)
                urgency, p_defect = judgement.urgency, judgement.p_defect
                abnormal = judgement.abnormal
            if sensor.trust_urgency:
                urgency = max(urgency, float(values.get("urgency", 0.0)))
        return SensorEvent(
            sensor_id=sensor_id,
            kind=kind,
            value=value,
            unit=unit,
            quality=quality,
            urgency=urgency,
            p_defect=p_defect,
            abnormal=abnormal,
            seq=seq,
            source_utc_ns=utc_ns,
            observed_ns=received_ns - max(age_ns, 0),  # nothing is measured after it arrived
            received_ns=received_ns,
        )

    def _take(self, sensor_id: str, seq: int, utc_ns: int | None) -> None:
        order = self._windows[sensor_id].take(seq, utc_ns)
        if order is Order.DUPLICATE:
            raise RefusedError("duplicate", f"seq {seq} was here before")
        if order is Order.REPLAYED:
            raise RefusedError("replayed", f"seq {seq} is far behind and no newer utc_ns says why")


def _check_site(sensor: SensorConfig, kind: str, unit: str, value: float) -> None:
    if kind != sensor.kind:
        raise RefusedError("kind", f"kind is {kind!r}, the site file says {sensor.kind!r}")
    if unit != sensor.unit:
        raise RefusedError("unit", f"unit is {unit!r}, the site file says {sensor.unit!r}")
    if not sensor.min_value <= value <= sensor.max_value:
        raise RefusedError(
            "value",
            f"{value:g} {unit} is outside what it can measure,"
            f" {sensor.min_value:g} to {sensor.max_value:g} {unit}",
        )
