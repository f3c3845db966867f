"""A verdict that a sleeping PLC did not fetch in time expires in the broker (MQTT 5, section 3.3.2.3.3)."""

import json
import time
from pathlib import Path

from brokers import Mosquitto
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from plc_cell import TOPICS, Cell, verdict

from inspector.config import BrokerConfig


class SleepyPlc:
    """A PLC whose session the broker keeps: what comes meanwhile is queued for it."""

    def __init__(self, port: int) -> None:
        self.heard: list[str] = []
        self.subscribed = False
        self._port = port
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="sleepy", protocol=MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe(TOPICS.verdict, 1)
        self._client.on_subscribe = self._on_subscribe

    def wake(self) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 60
        self._client.connect("127.0.0.1", self._port, clean_start=False, properties=properties)
        self._client.loop_start()

    def sleep(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self.subscribed = False

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed = True

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.heard.append(json.loads(message.payload)["verdict_id"])


def test_a_verdict_expires_in_the_broker(mosquitto: Mosquitto, tmp_path: Path) -> None:
    plc = SleepyPlc(mosquitto.port)
    with Cell(BrokerConfig(port=mosquitto.port), tmp_path / "outbox") as cell:
        plc.wake()
        cell.until_connected()
        cell.until(lambda: plc.subscribed, "the subscription")
        plc.sleep()
        cell.link.send_verdict(verdict(1, valid_ms=900), -1.0)
        cell.link.send_verdict(verdict(2, valid_ms=60_000), -1.0)
        cell.until(lambda: cell.states("boot-2") == ["DELIVERED"], "the broker to have both")
        until = time.monotonic() + 2.5  # mosquitto counts whole seconds
        cell.until(lambda: time.monotonic() > until, "the end of the first one's validity")
        plc.wake()
        cell.until(lambda: plc.heard != [], "the valid one")
        cell.for_s(0.2)
        assert plc.heard == ["boot-2"]
    plc.sleep()
