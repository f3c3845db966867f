"""The shipped broker configuration keeps intruders out: real mosquitto, TLS, certificates, ACL."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto, mosquitto_binary
from certificates import make_certificate
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from plc_cell import CLOCK, PATIENCE_S, TOPICS, Cell, verdict

from inspector.config import BrokerConfig, SensorConfig, TlsConfig
from inspector.errors import ConfigError
from inspector.plc.check import check_broker
from inspector.sensors.curve_model import CurveScorer, teach
from inspector.sensors.intake import SensorIntake

DEPLOY = Path(__file__).parents[2] / "deploy" / "mosquitto"
BASE = "acme/plant1/hall1/line1/cell1"  # of the shipped ACL; the tests' cell has another one
CLIENTS = (
    "inspector.cell1",
    "plc.cell1",
    "hmi.cell1",
    "viewer.cell1",
    "check.cell1",
    "vib1",
    "estop",
    "screw",
)
TRIGGER = {"part_id": "P1", "seq": 1, "utc_ns": 1}
STOP = {"seq": 1, "kind": "emergency_stop", "value": 1, "unit": "", "urgency": 1.0}
RESET = {"command": "RESET", "source": "intruder"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    make_certificate(directory, "ca", None, "")
    make_certificate(directory, "server", "ca", "subjectAltName=IP:127.0.0.1")
    for name in CLIENTS:
        make_certificate(directory, name, "ca", "extendedKeyUsage=clientAuth")
    # One that calls itself the PLC, by an authority of its own.
    make_certificate(directory, "rogue-ca", None, "")
    (directory / "rogue").mkdir()
    for suffix in ("crt", "key"):
        (directory / "rogue" / f"rogue-ca.{suffix}").symlink_to(directory / f"rogue-ca.{suffix}")
    make_certificate(directory / "rogue", "plc.cell1", "rogue-ca", "extendedKeyUsage=clientAuth")
    return directory


@pytest.fixture
def broker(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    if mosquitto_binary() is None:
        pytest.skip("needs mosquitto: apt install mosquitto")
    directory = tmp_path_factory.mktemp("broker")
    acl = directory / "inspector.acl"
    acl.write_text((DEPLOY / "inspector.acl").read_text().replace(BASE, TOPICS.base))
    acl.chmod(0o600)
    broker = Mosquitto(directory)
    shipped = (DEPLOY / "mosquitto.conf").read_text()
    broker.config = (
        shipped.replace("listener 8883", f"listener {broker.port} 127.0.0.1")
        .replace("/etc/mosquitto/certs", str(keys))
        .replace("/etc/mosquitto/inspector.acl", str(acl))
    )
    broker.start()
    yield broker
    broker.kill()


def cell_config(broker: Mosquitto, keys: Path, user: str = "inspector.cell1") -> BrokerConfig:
    name = keys / user
    cert, key = Path(f"{name}.crt"), Path(f"{name}.key")
    check = keys / "check.cell1"
    tls = TlsConfig(
        ca_file=keys / "ca.crt",
        cert_file=cert,
        key_file=key,
        check_cert_file=Path(f"{check}.crt"),
        check_key_file=Path(f"{check}.key"),
    )
    return BrokerConfig(port=broker.port, tls=tls)


class Peer:
    """A client with the certificate of `name`; it subscribes to everything that there is."""

    def __init__(self, broker: Mosquitto, keys: Path, name: str, client_id: str = "") -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[int, ReasonCode] = {}
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id or name, protocol=MQTTv5)
        context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
        context.load_cert_chain(str(keys / f"{name}.crt"), str(keys / f"{name}.key"))
        self._client.tls_set_context(context)
        self._client.on_message = self._hear
        self._client.on_publish = self._answer
        self._client.on_connect = lambda client, *_: client.subscribe([("#", 1), (f"{TOPICS.base}/#", 1)])
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def leaves(self) -> set[str]:
        return {topic.removeprefix(TOPICS.base + "/") for topic, _ in list(self.heard)}

    def may_publish(self, topic: str, values: dict[str, Any], *, retain: bool = False) -> bool:
        """Publish, and return whether the broker took it."""
        info = self._client.publish(topic, json.dumps(values), 1, retain)
        deadline = time.monotonic() + PATIENCE_S
        while info.mid not in self.answers:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return not self.answers[info.mid].is_failure

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        values = {} if message.topic == TOPICS.heartbeat_pb else json.loads(message.payload)
        self.heard.append((message.topic, values))

    def _answer(self, _c: Client, _u: object, mid: int, reason: ReasonCode, _p: object) -> None:
        self.answers[mid] = reason


def test_the_cell_and_its_plc_work_through_the_acl(broker: Mosquitto, keys: Path, tmp_path: Path) -> None:
    plc, hmi = Peer(broker, keys, "plc.cell1"), Peer(broker, keys, "hmi.cell1")
    sensor = Peer(broker, keys, "vib1")
    with Cell(cell_config(broker, keys), tmp_path / "outbox") as cell:
        cell.link.set_state("ContinuousExecution", emergency_latched=False)
        cell.until_connected()
        cell.until(lambda: "heartbeat" in plc.leaves(), "the subscriptions")
        utc_ns = CLOCK.utc_ns()
        assert plc.may_publish(TOPICS.trigger, TRIGGER | {"utc_ns": utc_ns})
        assert sensor.may_publish(
            TOPICS.sensor("vib1"), {"seq": 1, "kind": "vibration", "value": 1.0, "unit": "mm/s"}
        )
        assert hmi.may_publish(TOPICS.command, {"command": "RESET", "source": "hmi"})
        cell.until(lambda: len(cell.incoming) == 3, "trigger, reading and command")
        cell.link.send_verdict(verdict(1), -1.0)
        cell.until(lambda: "verdict" in plc.leaves(), "the verdict")
        cell.until(lambda: cell.states("boot-1") == ["DELIVERED"], "delivery")
        assert cell.faults == []
    for peer in (plc, hmi, sensor):
        peer.close()


def test_a_sensor_can_neither_read_nor_speak_for_others(
    broker: Mosquitto, keys: Path, tmp_path: Path
) -> None:
    intruder = Peer(broker, keys, "vib1")  # a valid certificate, of somebody else
    viewer = Peer(broker, keys, "viewer.cell1")
    with Cell(cell_config(broker, keys), tmp_path / "outbox") as cell:
        cell.until_connected()
        cell.link.set_state("ContinuousExecution", emergency_latched=False)
        cell.until(lambda: "heartbeat" in viewer.leaves(), "the subscriptions")
        forged = {"verdict_id": "x", "part_id": "P1", "action": "PASS", "utc_ns": 1}
        for peer in (intruder, viewer):
            assert not peer.may_publish(TOPICS.sensor("estop"), STOP)
            assert not peer.may_publish(TOPICS.command, RESET)
            assert not peer.may_publish(TOPICS.trigger, TRIGGER)
            assert not peer.may_publish(TOPICS.ack, forged)
            assert not peer.may_publish(TOPICS.verdict, forged)
            assert not peer.may_publish(TOPICS.availability, {"available": True}, retain=True)
        assert not intruder.may_publish(TOPICS.sensor("vib1/x"), STOP)
        cell.link.send_verdict(verdict(2), -1.0)
        cell.until(lambda: "verdict" in viewer.leaves(), "the verdict, to those who may")
        cell.for_s(0.2)
        assert cell.incoming == []
        assert sum(n for name, n in cell.link.counters.items() if name.startswith("refused")) == 0
        assert viewer.leaves() >= {"verdict", "state", "availability", "heartbeat"}
        assert intruder.heard == []
    intruder.close()
    viewer.close()


def test_the_largest_curve_gets_through_and_only_under_its_own_name(
    broker: Mosquitto, keys: Path, tmp_path: Path
) -> None:
    x = [float(n) for n in range(40)]
    good = [(x, [(n * (k + 5)) % 11 / 10 for n in range(40)]) for k in range(40)]
    config = SensorConfig(id="screw", kind="curve", unit="", min_value=0, max_value=1000)
    intake = SensorIntake((config,), TOPICS, curves={"screw": CurveScorer(teach(good))})
    screw, viewer = Peer(broker, keys, "screw"), Peer(broker, keys, "viewer.cell1")
    with Cell(cell_config(broker, keys), tmp_path / "outbox", intake) as cell:
        cell.until_connected()
        cell.until(lambda: "heartbeat" in viewer.leaves(), "the subscriptions")
        curve = {"seq": 1, "x": [float(n) for n in range(4000)], "y": [0.1234] * 4000}
        assert 60_000 < len(json.dumps(curve)) <= 65_000
        assert screw.may_publish(TOPICS.curve("screw"), curve)
        assert not screw.may_publish(TOPICS.curve("vib1"), curve)
        cell.until(lambda: len(cell.incoming) == 1, "the curve")
        assert cell.faults == []
    screw.close()
    viewer.close()


def test_neither_another_certificate_nor_a_check_throws_a_running_cell_out(
    broker: Mosquitto, keys: Path, tmp_path: Path
) -> None:
    config = cell_config(broker, keys)
    with Cell(config, tmp_path / "outbox") as cell:
        cell.until_connected()
        for client_id in (config.client_id, "inspector.cell1"):
            Peer(broker, keys, "vib1", client_id).close()
        assert check_broker(config) == "MQTT 5"
        cell.for_s(0.3)
        # The session of the cell lives on between tests: an old message may come, and be refused.
        assert [fault for fault in cell.faults if fault.code != "MESSAGE_REFUSED"] == []
        assert cell.link.connected


def test_a_cell_that_may_not_tell_its_state_says_so(broker: Mosquitto, keys: Path, tmp_path: Path) -> None:
    with Cell(cell_config(broker, keys, "plc.cell1"), tmp_path / "outbox") as cell:
        cell.link.set_state("ContinuousExecution", emergency_latched=False)
        cell.until(lambda: bool(cell.faults), "the fault")
        fault = cell.faults[0]
        assert fault.code == "PUBLISH_REFUSED"
        assert TOPICS.state in fault.text or TOPICS.availability in fault.text


def test_a_plc_cannot_command_or_play_a_sensor(broker: Mosquitto, keys: Path) -> None:
    plc = Peer(broker, keys, "plc.cell1")
    assert not plc.may_publish(TOPICS.command, RESET)
    assert not plc.may_publish(TOPICS.sensor("estop"), STOP)
    assert not plc.may_publish(TOPICS.verdict, {})
    plc.close()


@pytest.mark.parametrize("certificate", [None, "rogue/plc.cell1"])
def test_who_has_no_certificate_of_ours_does_not_get_in(
    broker: Mosquitto, keys: Path, certificate: str | None
) -> None:
    config = BrokerConfig(
        port=broker.port,
        username="plc.cell1",  # a name alone is worth nothing
        tls=TlsConfig(
            ca_file=keys / "ca.crt",
            cert_file=keys / f"{certificate}.crt" if certificate else None,
            key_file=keys / f"{certificate}.key" if certificate else None,
        ),
    )
    with pytest.raises(ConfigError, match=r"certificate|TLS"):
        check_broker(config)
    with pytest.raises(ConfigError):
        check_broker(BrokerConfig(port=broker.port, username="plc.cell1"))
