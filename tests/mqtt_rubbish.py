"""Malformed messages for every topic that the cell subscribes to, sent through a real broker."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from plc_cell import CLOCK, PATIENCE_S, SENSORS, TOPICS

from inspector.clock import SystemClock
from inspector.config import BrokerConfig, SensorConfig, SparkplugSource
from inspector.plc.incoming import Incoming
from inspector.plc.link import PlcLink
from inspector.sensors.curve_model import CurveScorer, teach
from inspector.sensors.intake import SensorIntake
from inspector.sparkplug_b import DataType, Metric, Payload, encode
from inspector.types import Fault

CURVE = SensorConfig(id="screw", kind="curve", unit="", min_value=0, max_value=1000)
TORQUE = SensorConfig(
    id="torque1",
    kind="torque",
    unit="Nm",
    min_value=0,
    max_value=10,
    sparkplug=SparkplugSource(group_id="g", edge_node_id="n", device_id="d", metric="Torque"),
)
NODE = ("spBv1.0/g/NBIRTH/n", "spBv1.0/g/NDATA/n", "spBv1.0/g/DDATA/n/d", "spBv1.0/g/NDEATH/n")
GOOD: dict[str, dict[str, Any]] = {
    TOPICS.trigger: {"part_id": "P1", "seq": 1, "utc_ns": 1},
    TOPICS.command: {"command": "RESET", "source": "x"},
    TOPICS.ack: {"verdict_id": "v", "part_id": "P1", "action": "PASS", "utc_ns": 1},
    TOPICS.sensor("vib1"): {"seq": 1, "kind": "vibration", "value": 1.0, "unit": "mm/s"},
    TOPICS.sensor("estop"): {"seq": 1, "kind": "emergency_stop", "value": 1, "unit": ""},
    TOPICS.curve("screw"): {"seq": 1, "x": list(range(9)), "y": [0.5] * 9},
}
TOPICS_TO_FUZZ = (*GOOD, TOPICS.sensor("ghost"), *NODE)


def rubbish(random: Random, topic: str) -> bytes:
    """One message that must be refused on its topic, whatever came before it."""
    if topic in NODE:
        return _sparkplug(random)
    good = GOOD.get(topic, GOOD[TOPICS.sensor("vib1")])
    text = json.dumps(good).encode()
    key = random.choice(list(good))
    wrong: tuple[Callable[[], bytes], ...] = (
        lambda: text[: random.randrange(len(text))],
        lambda: b"\xff" + random.randbytes(random.randrange(200)),
        lambda: b"[" * random.randrange(1, 1000),
        lambda: json.dumps(good | {key: [None, {}, [[]], True][random.randrange(3)]}).encode(),
        lambda: json.dumps(good | {"note": 1}).encode(),
        lambda: json.dumps({k: v for k, v in good.items() if k != key}).encode(),
        lambda: json.dumps(good | {"seq": float("nan"), "source": 1, "utc_ns": -1}).encode(),
        lambda: text[:-1] + b',"utc_ns":1e999,"source":"","seq":-1}',
        lambda: text + b" " * random.randrange(65_001, 65_100),
        lambda: b"",
    )
    return random.choice(wrong)()


def _sparkplug(random: Random) -> bytes:
    torque = Metric("Torque", random.uniform(-1e308, 1e308), datatype=DataType.DOUBLE)
    wrong: tuple[Callable[[], bytes], ...] = (
        lambda: b"\x07" + random.randbytes(random.randrange(200)),  # wire type 7 does not exist
        lambda: encode(Payload(random.randrange(2**63), random.randrange(256, 2**40), (torque,))),
        lambda: encode(Payload(None, random.randrange(256), (torque,))),
        lambda: encode(Payload(1, None, (torque,))),
        lambda: b"",
    )
    return random.choice(wrong)()


class Fuzzed:
    """A cell with every kind of topic; a publisher; and what came of it."""

    def __init__(self, port: int, outbox: Path) -> None:
        self._wake = threading.Event()
        x = [float(n) for n in range(30)]
        curves = [(x, [((n + 3) * (k + 5)) % 11 / 10 for n in range(30)]) for k in range(40)]
        self.sensors = SensorIntake(
            (*SENSORS, CURVE, TORQUE), TOPICS, curves={"screw": CurveScorer(teach(curves))}
        )
        clock = SystemClock()
        config = BrokerConfig(port=port)
        self.link = PlcLink(config, TOPICS, outbox, clock, self._wake.set, sensors=self.sensors)
        self.incoming: list[Incoming] = []
        self.faults: Counter[str] = Counter()
        self.fault_texts: list[str] = []
        self.link.start()
        self._until(lambda: self.link.connected, "the connection")
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="fuzzer", protocol=MQTTv5)
        self._client.max_queued_messages_set(0)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._settle()

    def counted(self) -> int:
        """How many messages were refused, for any reason, or dropped because they came too fast."""
        counters = self.link.counters
        return sum(n for name, n in counters.items() if name.startswith(("refused_", "dropped_")))

    def run(self, runs: int, seed: int, *, on_progress: Callable[[int], None] = lambda _: None) -> None:
        """Send `runs` malformed messages, and wait until each is counted."""
        random = Random(seed)
        before = self.counted()
        for n in range(runs):
            topic = TOPICS_TO_FUZZ[n % len(TOPICS_TO_FUZZ)]
            payload = rubbish(random, topic)
            # The broker itself holds back what is over the packet limit that we told it.
            self._client.publish(topic, payload[:65_200], 1)
            if n % 100 == 99:
                self._until(lambda sent=n: self.counted() - before > sent - 200, "the count")  # type: ignore[misc]
                on_progress(n + 1)
        self._until(lambda: self.counted() - before >= runs, "the last of them")

    def close(self) -> None:
        """Disconnect both."""
        self._client.disconnect()
        self._client.loop_stop()
        self.link.close()

    def poll(self) -> None:
        """Wait for a wake-up, and poll."""
        self._wake.wait(0.02)
        self._wake.clear()
        self.incoming += self.link.poll()
        told: list[Fault] = self.link.faults()
        self.faults.update(fault.code for fault in told)
        self.fault_texts += [fault.text for fault in told]

    def publish(self, topic: str, values: dict[str, Any]) -> None:
        """Send one message of our own."""
        self._client.publish(topic, json.dumps(values), 1)

    def _settle(self) -> None:
        """Until the subscriptions hold: send one good message, and wait for it."""
        trigger = {"part_id": "settle", "seq": 0, "utc_ns": CLOCK.utc_ns()}
        deadline = time.monotonic() + PATIENCE_S
        while not self.incoming:
            assert time.monotonic() < deadline
            self.publish(TOPICS.trigger, trigger)
            self.poll()
            time.sleep(0.05)
        for _ in range(10):
            self.poll()
        self.incoming.clear()

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"still waiting for {what}: {self.counted()} counted"
            self.poll()
