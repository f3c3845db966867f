"""Sensor messages to events, or to a reason why not. Pure: time and payload are arguments."""

from collections import Counter
from collections.abc import Mapping

from inspector.clock import NS_PER_MS, NS_PER_S
from inspector.config import SensorConfig
from inspector.errors import DataError
from inspector.flat import RefusedError
from inspector.mqtt_schema import SENSOR, Arrival
from inspector.sensors.curve_message import MAX_BYTES, decode_curve
from inspector.sensors.curve_model import CurveScorer
from inspector.sensors.reading import Reading
from inspector.sensors.rules import judge
from inspector.sensors.sequence import Order, SequenceWindow
from inspector.sensors.silence import Silence
from inspector.sensors.sparkplug_host import SparkplugHost
from inspector.sparkplug_b import MAX_BYTES as SPARKPLUG_MAX_BYTES
from inspector.topics import MqttTopics
from inspector.types import Quality, SensorEvent, Statement

# A reading that waited longer (in a sensor's buffer, or in the broker while we were away) says
# nothing of the line as it is now. It is generous, because an emergency that comes some seconds
# late must still stop the line; which part a reading belongs to, `observed_ns` decides.
MAX_AGE_NS = 10 * NS_PER_S
# Two clocks that are synchronised (NTP) differ by less.
MAX_AHEAD_NS = 1 * NS_PER_S


class SensorIntake:
    """Decodes and judges the readings of the listed sensors.

    `topics` names our own topics, `curves` the models of the sensors that send curves.
    `refused` and `accepted` count by reason and by sensor; they only grow. One thread.
    """

    def __init__(
        self,
        sensors: tuple[SensorConfig, ...],
        topics: MqttTopics,
        *,
        curves: Mapping[str, CurveScorer] | None = None,
        max_age_ns: int = MAX_AGE_NS,
        max_ahead_ns: int = MAX_AHEAD_NS,
    ) -> None:
        self._sensors = {sensor.id: sensor for sensor in sensors}
        self._windows = {sensor.id: SequenceWindow() for sensor in sensors}
        self._curves = dict(curves or {})
        self._sparkplug = SparkplugHost(sensors)
        self._silence = Silence(sensors)
        self._last: dict[str, tuple[int, float]] = {}  # when and what a sensor measured last
        self._prefix, self._curve_prefix = topics.sensor(""), topics.curve("")
        plain = [s.id for s in sensors if s.sparkplug is None and s.id not in self._curves]
        self.topics: Mapping[str, int] = {
            **{topics.sensor(sensor_id): SENSOR.max_bytes for sensor_id in plain},
            **{topics.curve(sensor_id): MAX_BYTES for sensor_id in self._curves},
            **dict.fromkeys(self._sparkplug.topics, SPARKPLUG_MAX_BYTES),
        }
        # The wildcard lets sensors that nobody listed be noticed.
        others = (topic for topic in self.topics if not topic.startswith(self._prefix))
        self.subscriptions = (topics.sensors, *others)
        self._max_age_ns = max_age_ns
        self._max_ahead_ns = max_ahead_ns
        self.refused: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()

    def accept(self, arrival: Arrival) -> list[SensorEvent]:
        """Turn one message into events; a Sparkplug message may hold several.

        Raises `RefusedError` (a DataError), whose text says which sensor and what is wrong, when
        nothing of the message is taken.
        """
        if arrival.topic in self._sparkplug.topics:
            return self._accept_sparkplug(arrival)
        curve = arrival.topic.startswith(self._curve_prefix)
        sensor_id = arrival.topic.removeprefix(self._curve_prefix if curve else self._prefix)
        try:
            sensor = self._sensors.get(sensor_id)
            if sensor is None or arrival.topic not in self.topics:
                raise RefusedError("unlisted", "not listed in the site file on this topic")
            if arrival.retained:
                raise RefusedError("retained", "a retained reading has no known age; publish without retain")
            reading = self._curve(sensor_id, arrival) if curve else _plain(sensor, arrival)
            return [self._judge(reading, arrival)]
        except RefusedError as refused:
            raise self._refuse(refused, sensor_id) from refused

    def hear(
        self, statement: Statement, observed_ns: int, received_ns: int, utc_offset_ns: int
    ) -> SensorEvent:
        """Judge what a plug-in says as a sensor, about the time `observed_ns`. Raises RefusedError."""
        arrival = Arrival("", b"", False, received_ns, utc_offset_ns)
        reading = Reading(
            sensor_id=statement.sensor_id,
            value=statement.value,
            quality=Quality.GOOD,
            seq=statement.seq,
            utc_ns=observed_ns + utc_offset_ns,
        )
        try:
            return self._judge(reading, arrival)
        except RefusedError as refused:
            raise self._refuse(refused, statement.sensor_id) from refused

    def overdue(self, now_ns: int, since_ns: int) -> list[SensorEvent]:
        """Return events of sensors that were not heard for too long; we listen since `since_ns`."""
        return self._silence.overdue(now_ns, since_ns)

    def requests(self, utc_ns: int) -> list[tuple[str, bytes]]:
        """Return what Sparkplug edge nodes are to be asked, topic and payload."""
        return self._sparkplug.requests(utc_ns)

    def _accept_sparkplug(self, arrival: Arrival) -> list[SensorEvent]:
        try:
            taken = self._sparkplug.take(arrival)
        except RefusedError as refused:
            self.refused[refused.reason] += 1
            raise
        for sensor_id in taken.gone:
            self._silence.gone(sensor_id)
        events, refusals = [], []
        for metric in taken.refused:
            self.refused[metric.reason] += 1
            refusals.append(metric)
        for reading in taken.readings:
            try:
                events.append(self._judge(reading, arrival))
            except RefusedError as refused:
                refusals.append(self._refuse(refused, reading.sensor_id))
        if refusals and not events:
            raise refusals[0]
        return events

    def _refuse(self, refused: RefusedError, sensor_id: str) -> RefusedError:
        self.refused[refused.reason] += 1
        return RefusedError(refused.reason, f"sensor {sensor_id[:64]}: {refused}")

    def _curve(self, sensor_id: str, arrival: Arrival) -> Reading:
        message = decode_curve(arrival.payload)
        try:
            deviation = self._curves[sensor_id].deviation(message.x, message.y)
        except DataError as error:
            raise RefusedError("value", str(error)) from error
        return Reading(
            sensor_id=sensor_id,
            value=deviation,
            quality=message.quality,
            seq=message.seq,
            utc_ns=message.utc_ns,
        )

    def _judge(self, reading: Reading, arrival: Arrival) -> SensorEvent:
        """Check a reading against the site file and the clock, and judge it. Raises RefusedError."""
        sensor = self._sensors[reading.sensor_id]
        if not sensor.min_value <= reading.value <= sensor.max_value:
            raise RefusedError(
                "value",
                f"{reading.value:g} {sensor.unit} is outside what it can measure,"
                f" {sensor.min_value:g} to {sensor.max_value:g} {sensor.unit}",
            )
        utc_ns, received_ns, quality = reading.utc_ns, arrival.received_ns, reading.quality
        age_ns = 0 if utc_ns is None else received_ns + arrival.utc_offset_ns - utc_ns
        if age_ns > self._max_age_ns:
            raise RefusedError("stale", f"{age_ns / NS_PER_S:.1f} s old; check its clock and its queue")
        ahead = age_ns < -self._max_ahead_ns
        if ahead and quality is Quality.GOOD:
            # Its clock is wrong, but the reading is here, so it is taken as of now.
            quality = Quality.UNCERTAIN
        if sensor.sparkplug is None:  # there the host of the edge node keeps the order
            self._take(sensor.id, reading.seq, None if ahead else utc_ns)
        observed_ns = received_ns - max(age_ns, 0)  # nothing is measured after it arrived
        urgency, p_defect, abnormal = 0.0, None, None
        if quality is not Quality.BAD:
            rate_per_s = self._rate_per_s(sensor.id, observed_ns, reading.value)
            if sensor.rule is not None:
                judgement = judge(sensor.rule, sensor.kind, reading.value, sensor.unit, rate_per_s)
                urgency, p_defect = judgement.urgency, judgement.p_defect
                abnormal = judgement.abnormal
            if sensor.trust_urgency:
                urgency = max(urgency, reading.urgency)
            self._silence.heard(sensor.id, received_ns)
        self.accepted[sensor.id] += 1
        return SensorEvent(
            sensor_id=sensor.id,
            kind=sensor.kind,
            modality=sensor.modality,
            value=reading.value,
            unit=sensor.unit,
            quality=quality,
            urgency=urgency,
            p_defect=p_defect,
            abnormal=abnormal,
            seq=reading.seq,
            source_utc_ns=utc_ns,
            observed_ns=observed_ns,
            received_ns=received_ns,
        )

    def _rate_per_s(self, sensor_id: str, observed_ns: int, value: float) -> float | None:
        """Return the change since the reading before; None for the first, or one that came late."""
        last = self._last.get(sensor_id)
        if last is not None and observed_ns <= last[0]:
            return None
        self._last[sensor_id] = observed_ns, value
        if last is None:
            return None
        # Two readings in one packet are not a jump: a sensor samples no faster than this.
        elapsed_ns = max(observed_ns - last[0], NS_PER_MS)
        return (value - last[1]) * NS_PER_S / elapsed_ns

    def _take(self, sensor_id: str, seq: int, utc_ns: int | None) -> None:
        order = self._windows[sensor_id].take(seq, utc_ns)
        if order is Order.DUPLICATE:
            raise RefusedError("duplicate", f"seq {seq} was here before")
        if order is Order.REPLAYED:
            raise RefusedError("replayed", f"seq {seq} is far behind and no newer utc_ns says why")


def _plain(sensor: SensorConfig, arrival: Arrival) -> Reading:
    """Decode our own JSON payload. Raises RefusedError."""
    values = SENSOR.decode(arrival.payload)
    kind, unit = str(values["kind"]), str(values["unit"])
    if kind != sensor.kind:
        raise RefusedError("kind", f"kind is {kind!r}, the site file says {sensor.kind!r}")
    if unit != sensor.unit:
        raise RefusedError("unit", f"unit is {unit!r}, the site file says {sensor.unit!r}")
    return Reading(
        sensor_id=sensor.id,
        value=float(values["value"]),
        quality=Quality(str(values.get("quality", Quality.GOOD))),
        seq=int(values["seq"]),
        utc_ns=int(values["utc_ns"]) if "utc_ns" in values else None,
        urgency=float(values.get("urgency", 0.0)),
    )
