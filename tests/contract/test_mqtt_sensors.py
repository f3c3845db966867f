"""Sensors of every kind through a real broker: Sparkplug B nodes, curves, and one that falls silent."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto
from mqtt_rubbish import TORQUE, Fuzzed
from msgspec.structs import replace
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from plc_cell import CLOCK, PATIENCE_S, SENSORS, TOPICS, Cell

from inspector.clock import NS_PER_MS
from inspector.config import BrokerConfig
from inspector.sensors.intake import SensorIntake
from inspector.sparkplug_b import REBIRTH, DataType, Metric, Payload, decode, encode
from inspector.types import SensorEvent


class EdgeNode:
    """A Sparkplug B edge node with one device; born anew when it is asked to be."""

    def __init__(self, port: int) -> None:
        self.rebirths = 0
        self._seq = 0
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="node", protocol=MQTTv5)
        death = encode(Payload(None, None, (Metric("bdSeq", 0, datatype=DataType.INT64),)))
        self._client.will_set("spBv1.0/g/NDEATH/n", death, 1)
        self._client.on_message = self._command
        self._client.on_connect = lambda client, *_: client.subscribe("spBv1.0/g/NCMD/n", 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def birth(self) -> None:
        self._seq = -1
        self._say("NBIRTH/n", Metric("bdSeq", 0, datatype=DataType.INT64))
        self._say("DBIRTH/n/d", Metric("Torque", 1.0, alias=5, datatype=DataType.DOUBLE))

    def torque(self, value: float, *, lost: int = 0) -> None:
        self._seq += lost
        self._say("DDATA/n/d", Metric("", value, alias=5, datatype=DataType.DOUBLE))

    def die(self) -> None:
        """Without a farewell: the broker says the Will."""
        sock = self._client.socket()
        assert sock is not None
        self._client.loop_stop()
        sock.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _say(self, where: str, metric: Metric) -> None:
        self._seq = (self._seq + 1) % 256
        kind, _, rest = where.partition("/")
        payload = encode(Payload(CLOCK.utc_ns() // NS_PER_MS, self._seq, (metric,)))
        self._client.publish(f"spBv1.0/g/{kind}/{rest}", payload, 0)

    def _command(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        (metric,) = decode(bytes(message.payload)).metrics
        if metric.name == REBIRTH and metric.value is True:
            self.rebirths += 1
            self.birth()


def values(cell: Cell) -> list[float]:
    return [e.value for e in cell.incoming if isinstance(e, SensorEvent) and e.kind == "torque"]


@pytest.fixture
def cell(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Cell]:
    torque = replace(TORQUE, heartbeat_s=30.0, urgency_when_silent=0.9)
    sensors = SensorIntake((*SENSORS, torque), TOPICS)
    with Cell(BrokerConfig(port=mosquitto.port), tmp_path / "outbox", sensors=sensors) as cell:
        cell.until_connected()
        cell.until(lambda: cell.link.counters["heartbeats"] > 0, "a beat")
        yield cell


def test_an_edge_node_lives_loses_a_message_and_dies(mosquitto: Mosquitto, cell: Cell) -> None:
    node = EdgeNode(mosquitto.port)
    cell.for_s(0.1)
    node.torque(2.0)  # before its birth was heard
    cell.until(lambda: node.rebirths == 1, "the first rebirth")
    cell.until(lambda: values(cell) == [1.0], "the birth's reading")
    node.torque(2.5)
    cell.until(lambda: values(cell) == [1.0, 2.5], "data by alias")
    node.torque(3.0, lost=3)
    cell.until(lambda: values(cell)[:3] == [1.0, 2.5, 3.0], "data after a gap")
    node.die()
    silence = [e for e in cell.incoming if isinstance(e, SensorEvent) and e.kind == "silence"]
    assert silence == []
    cell.until(lambda: any(getattr(e, "kind", "") == "silence" for e in cell.incoming), "the death")
    assert cell.link.counters["refused_unborn"] == 1


def test_a_curve_and_a_plain_reading_come_side_by_side(mosquitto: Mosquitto, tmp_path: Path) -> None:
    line = Fuzzed(mosquitto.port, tmp_path / "outbox")
    try:
        x = [float(n) for n in range(3000)]
        line.publish(TOPICS.curve("screw"), {"seq": 1, "x": x, "y": [0.5] * 3000})
        line.publish(TOPICS.sensor("vib1"), {"seq": 1, "kind": "vibration", "value": 1.0, "unit": "mm/s"})
        for _ in range(1000):
            line.poll()
            if len(line.incoming) == 2:
                break
        assert {e.sensor_id for e in line.incoming if isinstance(e, SensorEvent)} == {"screw", "vib1"}
    finally:
        line.close()
