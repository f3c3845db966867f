"""Both ends of the MQTT interface for tests: a PLC that listens, and a cell that polls."""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from inspector.clock import NS_PER_MS, SystemClock
from inspector.config import BrokerConfig, LimitRule, SensorConfig
from inspector.plc.incoming import Incoming
from inspector.plc.link import PlcLink
from inspector.sensors.intake import SensorIntake
from inspector.topics import MqttTopics
from inspector.types import Action, Decision, Delivery, Fault, Verdict
from inspector.types import ReasonCode as Reason

CLOCK = SystemClock()
TOPICS = MqttTopics("acme/site/area/line/cell")
SENSORS = (
    SensorConfig(
        id="vib1",
        kind="vibration",
        unit="mm/s",
        min_value=0.0,
        max_value=50.0,
        rule=LimitRule(warn_high=4.5, alarm_high=7.1, urgency_at_alarm=0.9),
    ),
    SensorConfig(id="estop", kind="emergency_stop", unit="", min_value=0.0, max_value=1.0),
)
PATIENCE_S = 20.0


def verdict(seq: int, *, valid_ms: int = 60_000, emergency: bool = False) -> Verdict:
    """A verdict that is decided now."""
    now_ns = CLOCK.now_ns()
    return Verdict(
        verdict_id=f"boot-{seq}",
        part_id=f"P{seq:06d}",
        seq=seq,
        decision=Decision.EMERGENCY_BRAKE if emergency else Decision.CONFIRMED_ACTION,
        action=Action.STOP if emergency else Action.REJECT,
        reason_code=Reason.EMERGENCY if emergency else Reason.DEFECT,
        confidence=0.9,
        p_defect=0.95,
        weights={"vision": 1.0},
        skew_ms=1.5,
        modalities=("vision",),
        missing=(),
        cause="scratch",
        trigger_ns=now_ns,
        decided_ns=now_ns,
        deadline_ns=now_ns,
        valid_until_ns=now_ns + valid_ms * NS_PER_MS,
        failsafe=False,
        config_sha256="c" * 64,
        model_sha256="d" * 64,
    )


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition, not for a time; fail clearly if it never comes."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.005)


@dataclass(frozen=True)
class Heard:
    """One message as the PLC got it, with its time on this host's monotonic clock."""

    leaf: str
    values: dict[str, Any]
    retained: bool
    at_ns: int


def _send_at_once(_client: Client, _userdata: object, sock: object) -> None:
    assert isinstance(sock, socket.socket)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Listener:
    """A PLC: subscribed to all of the cell, reconnects at once, can publish."""

    def __init__(self, port: int, protocol: MQTTProtocolVersion = MQTTv5) -> None:
        self.heard: list[Heard] = []
        self.short_beats: list[bytes] = []
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="plc", protocol=protocol)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_socket_open = _send_at_once
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def leaves(self, leaf: str) -> list[dict[str, Any]]:
        """What was heard on one topic, in order."""
        return [heard.values for heard in list(self.heard) if heard.leaf == leaf]

    def ids(self, leaf: str) -> list[str]:
        """The verdict ids heard on one topic, in order."""
        return [values["verdict_id"] for values in self.leaves(leaf)]

    def publish(self, topic: str, payload: bytes | dict[str, Any], *, retain: bool = False) -> None:
        """Publish at QoS 1, and wait until the broker has it."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, data, 1, retain).wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        client.subscribe(f"{TOPICS.base}/#", 1)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        at_ns = CLOCK.now_ns()
        leaf = message.topic.removeprefix(TOPICS.base + "/")
        if leaf == "heartbeat/pb":
            self.short_beats.append(bytes(message.payload))
        elif not leaf.startswith(("sensor/", "trigger", "command", "ack", "curve/")):
            values = json.loads(message.payload)
            self.heard.append(Heard(leaf, values, message.retain, at_ns))


class Cell:
    """A `PlcLink` that is polled as the arbiter polls it: when woken, and every 100 ms."""

    def __init__(self, broker: BrokerConfig, outbox: Path, sensors: SensorIntake | None = None) -> None:
        self._wake = threading.Event()
        intake = sensors or SensorIntake(SENSORS, TOPICS)
        self.link = PlcLink(broker, TOPICS, outbox, CLOCK, self._wake.set, sensors=intake)
        self.incoming: list[Incoming] = []
        self.deliveries: list[Delivery] = []
        self.faults: list[Fault] = []
        self.slowest_ns = 0

    def __enter__(self) -> Self:
        self.link.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.link.close()

    def once(self, wait_s: float = 0.1) -> None:
        """Wait for a wake-up, and poll."""
        self._wake.wait(wait_s)
        self._wake.clear()
        self.incoming += self.link.poll()
        self.deliveries += self.link.deliveries()
        self.faults += self.link.faults()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Poll until a condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"still waiting for {what}: {self.faults}"
            self.once(0.01)

    def until_connected(self) -> None:
        """Poll until the broker is there."""
        self.until(lambda: self.link.connected, "the connection")
        self.once(0)

    def for_s(self, seconds: float) -> None:
        """Poll for a while: for what must not happen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.once(0.01)

    def states(self, verdict_id: str) -> list[str]:
        """What became of one verdict, in order."""
        return [d.state.value for d in self.deliveries if d.verdict_id == verdict_id]
