"""The link over real brokers, in MQTT 5 and 3.1.1: round trips, presence, storms."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Amqtt, Broker, Mosquitto, mosquitto_binary
from paho.mqtt.client import MQTTv5, MQTTv311
from plc_cell import CLOCK, PATIENCE_S, TOPICS, Cell, Listener, verdict, wait_until

from inspector.config import BrokerConfig
from inspector.mqtt_schema import HEARTBEAT_PB_MAX_BYTES, Heartbeat
from inspector.plc.intake import Acknowledgement
from inspector.types import (
    Command,
    Explanation,
    ExplanationSource,
    Fault,
    PartTrigger,
    SensorEvent,
)

PLC_PROTOCOL = {"mqtt5": MQTTv5, "mqtt311": MQTTv311}


# amqtt speaks MQTT 3.1.1 only.
@pytest.fixture(params=["mosquitto-mqtt5", "mosquitto-mqtt311", "amqtt-mqtt311"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerConfig]:
    name, _, protocol = request.param.partition("-")
    if name == "mosquitto" and mosquitto_binary() is None:
        pytest.skip("needs mosquitto: apt install mosquitto")
    broker: Broker = {"mosquitto": Mosquitto, "amqtt": Amqtt}[name](tmp_path / "broker")
    broker.start()
    yield BrokerConfig(port=broker.port, protocol=protocol)
    broker.kill()


@pytest.fixture
def plc(config: BrokerConfig) -> Iterator[Listener]:
    listener = Listener(config.port, PLC_PROTOCOL[config.protocol])
    yield listener
    listener.close()


@pytest.fixture
def cell(config: BrokerConfig, tmp_path: Path) -> Iterator[Cell]:
    with Cell(config, tmp_path / "outbox") as cell:
        cell.until_connected()
        yield cell


def test_what_the_line_says_arrives_decoded(cell: Cell, plc: Listener) -> None:
    before_ns = CLOCK.now_ns()
    utc_ns = CLOCK.utc_ns()
    cell.until(lambda: plc.leaves("heartbeat") != [], "the subscriptions")
    plc.publish(TOPICS.trigger, {"part_id": "P000123", "seq": 123, "utc_ns": utc_ns})
    reading = {"seq": 7, "kind": "vibration", "value": 7.9, "unit": "mm/s", "utc_ns": utc_ns}
    plc.publish(TOPICS.sensor("vib1"), reading)
    for kind in ("RESET", "START", "STOP"):
        plc.publish(TOPICS.command, {"command": kind, "source": "hmi"})
    cell.until(lambda: len(cell.incoming) == 5, "five messages")
    trigger, event, command, *others = cell.incoming
    assert [o.kind.value for o in others if isinstance(o, Command)] == ["START", "STOP"]
    assert isinstance(trigger, PartTrigger)
    assert trigger.part_id == "P000123"
    assert abs(trigger.trigger_ns - before_ns) < 10**9
    assert before_ns < trigger.received_ns < CLOCK.now_ns()
    assert isinstance(event, SensorEvent)
    assert (event.urgency, event.abnormal) == (
        0.9,
        "vibration 7.9 mm/s, above its alarm limit 7.1 mm/s",
    )
    assert isinstance(command, Command)


def test_a_verdict_reaches_the_plc_and_its_answer_comes_back(cell: Cell, plc: Listener) -> None:
    cell.link.send_verdict(verdict(1), 12.5)
    cell.until(lambda: cell.states("boot-1") == ["DELIVERED"], "delivery")
    cell.until(lambda: plc.leaves("verdict") != [], "the verdict")
    (values,) = plc.leaves("verdict")
    assert (values["part_id"], values["ng"], values["ready"]) == ("P000001", True, True)
    ack = {"verdict_id": "boot-1", "part_id": "P000001", "action": "REJECT", "utc_ns": 1}
    plc.publish(TOPICS.ack, ack)
    cell.until(lambda: cell.states("boot-1") == ["DELIVERED", "ACKNOWLEDGED"], "the ack")
    assert isinstance(cell.incoming[-1], Acknowledgement)
    (latency_ns,) = cell.link.ack_latencies_ns()
    assert 0 < latency_ns < PATIENCE_S * 1e9
    assert cell.link.ack_latencies_ns() == []


def test_order_is_kept_and_nothing_lost(cell: Cell, plc: Listener) -> None:
    for seq in range(1, 201):
        cell.link.send_verdict(verdict(seq), -1.0)
    cell.until(lambda: len(cell.deliveries) == 200, "200 deliveries")
    assert [d.verdict_id for d in cell.deliveries] == [f"boot-{n}" for n in range(1, 201)]
    cell.until(lambda: len(plc.ids("verdict")) == 200, "200 verdicts")
    assert plc.ids("verdict") == [f"boot-{n}" for n in range(1, 201)]


def test_explanations_and_faults(cell: Cell, plc: Listener) -> None:
    cell.link.send_explanation(
        Explanation(
            verdict_id="boot-1",
            part_id="P000001",
            text="A scratch of 4 mm.\nVibration was 7.9 mm/s, 90 °C.",
            cause="worn guide",
            recommended_action="check the guide",
            source=ExplanationSource.LLM,
            cited=(),
            model_sha256="e" * 64,
            latency_ms=5210.0,
        )
    )
    cell.link.send_fault(Fault(service="camera.cam1", code="CAMERA_LOST", text="check the cable", at_ns=1))
    cell.until(lambda: plc.leaves("fault") != [], "the fault")
    cell.until(lambda: plc.leaves("explanation") != [], "the explanation")
    (explanation,) = plc.leaves("explanation")
    assert explanation["text"] == "A scratch of 4 mm. Vibration was 7.9 mm/s, 90 °C."
    (fault,) = plc.leaves("fault")
    assert (fault["code"], fault["text"]) == ("CAMERA_LOST", "check the cable")


def test_presence(config: BrokerConfig, tmp_path: Path) -> None:
    with Cell(config, tmp_path / "outbox") as cell:
        cell.link.set_state("Initialized", emergency_latched=False)
        cell.until_connected()
        early = Listener(config.port, PLC_PROTOCOL[config.protocol])
        cell.link.set_state("ContinuousExecution", emergency_latched=True)
        cell.until(
            lambda: [s["state"] for s in early.leaves("state")][-1:] == ["ContinuousExecution"],
            "the broker to have it",
        )
        early.close()
        late = Listener(
            config.port, PLC_PROTOCOL[config.protocol]
        )  # a PLC that comes later sees how things are
        cell.until(lambda: late.leaves("availability") != [] and late.leaves("state") != [], "both")
        assert late.leaves("availability") == [{"available": True}]
        assert late.leaves("state")[0]["state"] == "ContinuousExecution"
        assert late.leaves("state")[0]["emergency_latched"] is True
        assert all(h.retained for h in late.heard if h.leaf in ("availability", "state"))
        cell.until(lambda: len(late.leaves("heartbeat")) >= 2, "two beats")
    first, second = [beat["count"] for beat in late.leaves("heartbeat")][:2]
    assert second == first + 1
    assert all(len(beat) <= HEARTBEAT_PB_MAX_BYTES for beat in late.short_beats)
    assert Heartbeat.FromString(late.short_beats[0]).emergency_latched is True
    wait_until(lambda: late.leaves("availability")[-1] == {"available": False}, "the farewell")
    wait_until(lambda: late.leaves("state")[-1]["state"] == "Halted", "the last state")
    late.close()


def test_a_retained_emergency_or_reset_of_yesterday_does_nothing(
    config: BrokerConfig, tmp_path: Path, plc: Listener
) -> None:
    stop = {"seq": 1, "kind": "emergency_stop", "value": 1, "unit": "", "urgency": 1.0}
    plc.publish(TOPICS.sensor("estop"), stop, retain=True)
    plc.publish(TOPICS.command, {"command": "RESET", "source": "hmi"}, retain=True)
    with Cell(config, tmp_path / "outbox") as cell:
        cell.until_connected()
        cell.until(lambda: plc.leaves("heartbeat") != [], "a beat")
        plc.publish(TOPICS.trigger, {"part_id": "P1", "seq": 1, "utc_ns": CLOCK.utc_ns()})
        cell.until(lambda: cell.incoming != [], "the trigger")
    assert [type(message) for message in cell.incoming] == [PartTrigger]


def test_a_storm_of_rubbish_hides_no_emergency_and_is_told_once(cell: Cell, plc: Listener) -> None:
    cell.until(lambda: plc.leaves("heartbeat") != [], "the subscriptions")
    rubbish = [b"", b"{", b"[" * 900, b"\xff" * 20, b"x" * 70_000, b'{"seq":1}', b"null"]
    for n in range(150):
        topic = (TOPICS.sensor("vib1"), TOPICS.sensor(f"ghost{n}"), TOPICS.trigger)[n % 3]
        plc.publish(topic, rubbish[n % len(rubbish)])
    stop = {"seq": 1, "kind": "emergency_stop", "value": 1, "unit": "", "urgency": 1.0}
    plc.publish(TOPICS.sensor("estop"), stop)
    cell.until(lambda: cell.incoming != [], "the emergency")
    (event,) = cell.incoming
    assert isinstance(event, SensorEvent)
    assert (event.sensor_id, event.urgency) == ("estop", 1.0)
    told = [f for f in cell.faults if f.code == "MESSAGE_REFUSED"]
    assert 1 <= len(told) <= 3, "at a bounded rate"
    counters = cell.link.counters
    counted = sum(n for name, n in counters.items() if name.startswith(("refused_", "dropped_")))
    assert counted >= 40  # the broker itself holds back what is over our packet limit


def test_the_plc_clock_that_runs_ahead_is_told(cell: Cell, plc: Listener) -> None:
    cell.until(lambda: plc.leaves("heartbeat") != [], "the subscriptions")
    in_an_hour = CLOCK.utc_ns() + 3600 * 10**9
    payload = json.dumps({"part_id": "P1", "seq": 1, "utc_ns": in_an_hour}).encode()
    plc.publish(TOPICS.trigger, payload)
    cell.until(lambda: cell.faults != [], "the fault")
    assert [f.code for f in cell.faults] == ["PLC_CLOCK_AHEAD"]
    assert [type(message) for message in cell.incoming] == [PartTrigger]
