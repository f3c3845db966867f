"""The line's connection to the broker: what the PLC and the sensors publish and hear."""

import queue
import socket
import ssl
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from inspector.clock import SystemClock
from inspector.errors import ConfigError, DeliveryError
from inspector.topics import MqttTopics

SESSION_EXPIRY_S: Final = 60  # the broker keeps verdicts so long while we are away
KEEPALIVE_S: Final = 5
MAX_TOPIC_LEVELS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is and who we are to it. `password` is never logged."""

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __repr__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(text: str) -> tuple[str, int]:
    """Read HOST:PORT (or HOST, or [IPv6]:PORT). Raises ConfigError."""
    host, separator, port = text.rpartition(":")
    if not separator or text.endswith("]"):
        host, port = text, "1883"
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ConfigError(f"--broker {text}: give HOST:PORT, for example 127.0.0.1:1883")
    return host, int(port)


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message, stamped in the network thread. `leaf` is the last level of its topic.

    The leaf `_connection` is ours: the payload is b"1" when connected, b"0" when not.
    """

    leaf: str
    payload: bytes
    received_ns: int
    utc_ns: int


def _send_at_once(client: mqtt.Client, userdata: Any, connection: Any) -> None:
    """Turn Nagle's algorithm off: with it, a message after an acknowledgement waits 40 ms."""
    del client, userdata
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class MqttLink:
    """MQTT 5 client. Received messages go to `inbox`; all else is called from one thread."""

    def __init__(self, broker: Broker, base: str, inbox: "queue.SimpleQueue[Inbound]") -> None:
        if len(f"{base}/sensor/x".split("/")) > MAX_TOPIC_LEVELS:
            raise ConfigError(f"--base {base}: a topic may have at most {MAX_TOPIC_LEVELS} levels")
        self._broker = broker
        self.topics = MqttTopics(base)
        self._inbox = inbox
        self._clock = SystemClock()
        self._subscribed = threading.Event()
        self._refused: str | None = None
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"line-sim-{uuid.uuid4().hex[:12]}",
            protocol=mqtt.MQTTv5,
        )
        self._client.reconnect_delay_set(min_delay=1, max_delay=2)
        self._client.max_inflight_messages_set(256)
        if broker.username is not None:
            self._client.username_pw_set(broker.username, broker.password)
        if broker.ca_file is not None:
            self._set_tls(broker)
        self._client.on_socket_open = _send_at_once
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def _set_tls(self, broker: Broker) -> None:
        try:
            self._client.tls_set(
                ca_certs=str(broker.ca_file),
                certfile=None if broker.cert_file is None else str(broker.cert_file),
                keyfile=None if broker.key_file is None else str(broker.key_file),
                tls_version=ssl.PROTOCOL_TLS_CLIENT,
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"TLS: {error}; check --tls-ca, --tls-cert and --tls-key") from error

    def start(self, timeout_s: float) -> None:
        """Connect and subscribe. Raises DeliveryError with what to do."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        try:
            self._client.connect(self._broker.host, self._broker.port, KEEPALIVE_S, properties=properties)
        except (OSError, ValueError) as error:
            raise DeliveryError(
                f"no broker at {self._broker!r}: {error}; start it or correct --broker"
            ) from error
        self._client.loop_start()
        if not self._subscribed.wait(timeout_s) or self._refused is not None:
            self.stop()
            why = self._refused or f"no answer within {timeout_s:g} s"
            raise DeliveryError(f"broker at {self._broker!r}: {why}; check user, password, ACL and TLS")

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1; kept and sent after a reconnect while the broker is away."""
        self._client.publish(topic, payload, qos=1)

    def stop(self) -> None:
        """Disconnect and join the network thread. May be called twice."""
        self._client.disconnect()
        self._client.loop_stop()

    # -- network thread --------------------------------------------------------------------------

    def _put(self, leaf: str, payload: bytes) -> None:
        self._inbox.put(Inbound(leaf, payload, self._clock.now_ns(), self._clock.utc_ns()))

    def _on_connect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        del userdata, flags, properties
        if reason.is_failure:
            self._refused = f"refused: {reason}"
            self._subscribed.set()
            return
        self._refused = None
        t = self.topics
        heard = (t.verdict, t.undelivered, t.explanation, t.fault, t.state, t.availability)
        client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in heard])
        self._put("_connection", b"1")

    def _on_disconnect(
        self, client: mqtt.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        del client, userdata, flags, reason, properties
        self._put("_connection", b"0")

    def _on_subscribe(
        self,
        client: mqtt.Client,
        userdata: Any,
        mid: int,
        reasons: list[ReasonCode],
        properties: Any,
    ) -> None:
        del client, userdata, mid, properties
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._refused = f"subscription refused: {refused[0]}"
        self._subscribed.set()

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        del client, userdata
        self._put(message.topic.rpartition("/")[2], bytes(message.payload))
