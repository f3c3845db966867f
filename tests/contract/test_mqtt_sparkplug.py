"""The Sparkplug B bridge over a real broker: births, data, rebirth on command, deaths."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from brokers import Mosquitto, mosquitto_binary
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from plc_cell import CLOCK, PATIENCE_S, verdict, wait_until
from sparkplug_rules import StrictHost, read_payload

from inspector.config import BrokerConfig, SparkplugDevice
from inspector.plc.sparkplug_bridge import SparkplugBridge
from inspector.sparkplug_b import DataType, Metric, Payload, encode
from inspector.types import Fault

PLACE = SparkplugDevice(group_id="plant", edge_node_id="cell1", device_id="inspection")
NCMD = "spBv1.0/plant/NCMD/cell1"


class Host:
    """Subscribed to the group; keeps what came, as it came."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, int, bool]] = []
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="host", protocol=MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._ready: list[bool] = []
        self._client.on_subscribe = lambda *_: self._ready.append(True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(lambda: bool(self._ready), "the subscription")

    def kinds(self) -> list[str]:
        return [topic.split("/")[2] for topic, *_ in list(self.heard) if "NCMD" not in topic]

    def command(self, name: str) -> None:
        payload = encode(Payload(1, None, (Metric(name, True, datatype=DataType.BOOLEAN),)))
        self._client.publish(NCMD, payload, 0)

    def judge(self) -> StrictHost:
        """What a strict host makes of all that came."""
        strict = StrictHost("plant", "cell1", "inspection")
        for topic, payload, qos, retained in list(self.heard):
            if topic != NCMD:
                strict.hear(topic, payload, qos=qos, retained=retained)
        return strict

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self,
        client: Client,
        _data: object,
        _flags: ConnectFlags,
        _reason: ReasonCode,
        _props: Properties | None,
    ) -> None:
        client.subscribe("spBv1.0/plant/#", 1)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload), message.qos, message.retain))


@pytest.fixture(params=["mqtt5", "mqtt311"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerConfig]:
    if mosquitto_binary() is None:
        pytest.skip("needs mosquitto: apt install mosquitto")
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    yield BrokerConfig(port=broker.port, protocol=request.param)
    broker.kill()


@pytest.fixture
def host(config: BrokerConfig) -> Iterator[Host]:
    host = Host(config.port)
    yield host
    host.close()


def poll_until(bridge: SparkplugBridge, condition: Callable[[], bool], what: str) -> list[Fault]:
    faults: list[Fault] = []
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        faults += bridge.poll()
        time.sleep(0.005)
    return faults


def started(config: BrokerConfig, folder: Path) -> SparkplugBridge:
    bridge = SparkplugBridge(config, PLACE, folder, CLOCK, lambda: None, recipe="flange_b")
    bridge.start()
    return bridge


def test_births_data_rebirth_on_command_and_a_death_at_the_end(
    config: BrokerConfig, host: Host, tmp_path: Path
) -> None:
    bridge = started(config, tmp_path)
    bridge.verdict(verdict(1))  # before the connection: it is in the birth
    poll_until(bridge, lambda: "DBIRTH" in host.kinds(), "the births")
    bridge.state("ContinuousExecution", emergency_latched=False)
    bridge.state("ContinuousExecution", emergency_latched=False)
    bridge.verdict(verdict(2))
    poll_until(bridge, lambda: host.kinds().count("DDATA") >= 2, "two data")
    values = host.judge().values
    assert (values["State"], values["Recipe"]) == ("ContinuousExecution", "flange_b")
    assert values["Verdict/Id"] == "boot-2"
    assert values["Counters/REJECT"] == 2
    host.command("Node Control/Reboot")
    host.command("Node Control/Rebirth")
    faults = poll_until(bridge, lambda: host.kinds().count("DBIRTH") >= 2, "the rebirth")
    assert [fault.code for fault in faults] == ["SPARKPLUG_COMMAND_REFUSED"]
    bridge.close()
    wait_until(lambda: "NDEATH" in host.kinds(), "the death")
    strict = host.judge()
    assert strict.kinds == ["NBIRTH", "DBIRTH", "DDATA", "DDATA", "NBIRTH", "DBIRTH", "NDEATH"]
    assert not strict.born


def test_the_broker_tells_of_the_death_of_one_that_was_cut_off_and_it_is_born_again(
    config: BrokerConfig, host: Host, tmp_path: Path
) -> None:
    bridge = started(config, tmp_path)
    poll_until(bridge, lambda: "DBIRTH" in host.kinds(), "the births")
    thief = Client(CallbackAPIVersion.VERSION2, client_id="inspector-sparkplug", protocol=MQTTv5)
    thief.connect("127.0.0.1", config.port)
    thief.loop_start()
    poll_until(bridge, lambda: host.kinds().count("NBIRTH") >= 2, "the next birth")
    thief.disconnect()
    thief.loop_stop()
    bridge.verdict(verdict(1))
    poll_until(bridge, lambda: "boot-1" in said_ids(host), "the verdict")
    bridge.close()
    wait_until(lambda: host.kinds()[-1] == "NDEATH", "the death")
    strict = host.judge()
    assert "NDEATH" in strict.kinds[:-1]


def said_ids(host: Host) -> list[object]:
    payloads = [read_payload(payload) for topic, payload, *_ in list(host.heard) if topic != NCMD]
    return [each.metrics["Verdict/Id"].value for each in payloads if "Verdict/Id" in each.metrics]


def test_births_are_counted_over_restarts(config: BrokerConfig, host: Host, tmp_path: Path) -> None:
    for lives in (1, 2, 3):
        bridge = started(config, tmp_path)
        poll_until(bridge, lambda lives=lives: host.kinds().count("DBIRTH") >= lives, "a birth")  # type: ignore[misc]
        bridge.close()
        wait_until(lambda lives=lives: host.kinds().count("NDEATH") >= lives, "a death")  # type: ignore[misc]
    births = [
        read_payload(payload).metrics["bdSeq"].value
        for topic, payload, *_ in list(host.heard)
        if "/NBIRTH/" in topic
    ]
    numbers = [number for number in births if isinstance(number, int)]
    assert len(numbers) == len(births) >= 3
    assert all(before < after for before, after in pairwise(numbers))  # an attempt in vain counts too
