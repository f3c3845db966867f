"""Where the simulated world meets the real one: MQTT, the camera's trigger input, the event log."""

import heapq
from dataclasses import dataclass, field
from typing import Protocol

from inspector.clock import Clock
from inspector.topics import MqttTopics
from line_sim.disturb import Disturber
from line_sim.events import PartAtEye, Reading
from line_sim.faults import FaultPlan, Outgoing, encode, reading_payload
from line_sim.plc_outputs import Acknowledge, Fields

TRIGGER_LINE = "Line1"
SOURCE_NAME = "line-sim"


class Link(Protocol):
    """What the line needs of its broker connection."""

    @property
    def topics(self) -> MqttTopics: ...

    def publish(self, topic: str, payload: bytes) -> None: ...


class TriggeredCamera(Protocol):
    """What the line needs of its camera. True: a frame will come of the pulse."""

    def pulse_line(self, line: str, *, subject: object = None) -> bool: ...


class Log(Protocol):
    def emit(self, event: str, fields: Fields) -> None: ...


@dataclass(order=True, slots=True)
class _Delayed:
    due_ns: int
    order: int
    topic: str = field(compare=False)
    payload: bytes = field(compare=False)


class Edge:
    """Publishes what the line says and pulses the camera. One thread; nothing here blocks."""

    def __init__(
        self,
        link: Link,
        camera: TriggeredCamera | None,
        log: Log,
        faults: FaultPlan,
        clock: Clock,
        *,
        disturber: Disturber | None = None,
    ) -> None:
        self._disturber = disturber
        self._link, self._camera, self._log = link, camera, log
        self._faults, self._clock = faults, clock
        self._delayed: list[_Delayed] = []
        self._count = 0
        self._reset_count = 0

    def part_at_eye(self, event: PartAtEye, now_ns: int, lag_ms: float) -> None:
        """Pulse the camera and publish the trigger, of one instant."""
        part, utc_ns = event.part, self._clock.utc_ns()
        if self._disturber is not None:
            self._disturber.part_at_eye(part.number)
        frame = False
        if self._camera is not None and not self._faults.has("no_frame", part.number):
            frame = self._camera.pulse_line(TRIGGER_LINE, subject=part)
        payload = encode({"part_id": part.part_id, "seq": part.number, "utc_ns": utc_ns})
        self._publish(self._link.topics.trigger, self._faults.trigger(part.number, payload))
        fields: Fields = {
            "part_id": part.part_id,
            "number": part.number,
            "defect": part.defect,
            "picture": part.picture,
            "frame": frame,
            "trigger_ns": now_ns,
            "trigger_utc_ns": utc_ns,
            "encoder_ticks": event.encoder_ticks,
            "lag_ms": round(lag_ms, 3),
        }
        self._log.emit("trigger", fields)

    def reading(self, reading: Reading) -> None:
        """Publish a reading; what is abnormal goes to the log too."""
        payload = reading_payload(reading, self._clock.utc_ns())
        topic = self._link.topics.sensor(reading.sensor_id)
        self._publish(topic, self._faults.reading(reading, payload))
        if reading.abnormal:
            fields: Fields = {
                "sensor": reading.sensor_id,
                "value": reading.value,
                "unit": reading.unit,
                "urgency": reading.urgency,
                "seq": reading.seq,
                "part_number": reading.part_number,
            }
            self._log.emit("anomaly", fields)

    def acknowledge(self, ack: Acknowledge) -> None:
        """Tell the cell what became of a verdict."""
        if ack.part_number is not None and self._faults.has("no_ack", ack.part_number):
            return
        fields: dict[str, str | int | float | bool] = {
            "verdict_id": ack.verdict_id,
            "part_id": ack.part_id,
            "action": ack.action,
        }
        self._log.emit("ack", dict(fields))
        payload = encode({**fields, "utc_ns": self._clock.utc_ns()})
        self._link.publish(self._link.topics.ack, payload)

    def reset(self) -> None:
        """Publish the operator's reset."""
        self._reset_count += 1
        self._log.emit("reset", {"source": SOURCE_NAME, "attempt": self._reset_count})
        payload = encode({"command": "RESET", "source": SOURCE_NAME})
        self._link.publish(self._link.topics.command, payload)

    def publish_due(self, now_ns: int) -> None:
        """Publish the delayed messages whose time has come, end the disturbances that have lasted."""
        if self._disturber is not None:
            self._disturber.tick(now_ns)
        while self._delayed and self._delayed[0].due_ns <= now_ns:
            message = heapq.heappop(self._delayed)
            self._link.publish(message.topic, message.payload)

    def next_due_ns(self) -> int | None:
        times = [self._delayed[0].due_ns] if self._delayed else []
        if self._disturber is not None and (end_ns := self._disturber.next_due_ns()) is not None:
            times.append(end_ns)
        return min(times, default=None)

    def _publish(self, topic: str, messages: list[Outgoing]) -> None:
        for message in messages:
            if message.delay_ns == 0:
                self._link.publish(topic, message.payload)
                continue
            self._count += 1
            due_ns = self._clock.now_ns() + message.delay_ns
            heapq.heappush(self._delayed, _Delayed(due_ns, self._count, topic, message.payload))
