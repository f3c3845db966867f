"""Builds the paho client for a broker from its configuration: protocol, credentials, TLS, Will.

A client serves one connection and is thrown away with it, so that nothing waits in its queues
to be resent after an outage.
"""

import os
import socket
import ssl
from dataclasses import dataclass
from typing import cast

from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from inspector.config import BrokerConfig
from inspector.errors import ConfigError, InvariantError
from inspector.plc.login_errors import HungUpError
from inspector.plc.packet_stream import MAX_PACKET_BYTES
from inspector.plc.stream_socket import StreamSocket

PROTOCOLS = {"mqtt5": MQTTv5, "mqtt311": MQTTv311}
CONNECT_TIMEOUT_S = 2.0
SESSION_EXPIRY_S = 60  # how long the broker keeps triggers and emergencies for us while we are away
RECEIVE_MAXIMUM = 256
# The kernel gives up on a connection whose data stays unacknowledged for so long. Without it a
# pulled cable is noticed after two keepalives at best, and what was written in the meantime
# comes out when the cable is back.
TCP_USER_TIMEOUT_MS = 2000


class StreamClient(Client):
    """paho's client, which reads and writes by a `StreamSocket`."""

    def _create_socket(self) -> StreamSocket:
        wire = cast("socket.socket", super()._create_socket())
        return StreamSocket(wire, five=self.protocol == MQTTv5)


@dataclass(frozen=True, slots=True)
class Access:
    """Secrets and certificates, read once from where the configuration says they are."""

    password: str | None
    tls: ssl.SSLContext | None


def read_access(config: BrokerConfig) -> Access:
    """Read password and certificates. Raises ConfigError, one line that names what is missing."""
    return Access(password=_password(config), tls=_tls_context(config))


def _password(config: BrokerConfig) -> str | None:
    if config.password_env:
        password = os.environ.get(config.password_env)
        if password is None:
            raise ConfigError(f"broker password: environment variable {config.password_env} is not set")
        return password
    if config.password_file:
        try:
            return config.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigError(
                f"broker password: cannot read {config.password_file}: {error.strerror}"
            ) from error
    return None


def _tls_context(config: BrokerConfig) -> ssl.SSLContext | None:
    tls = config.tls
    if tls is None:
        return None
    try:
        context = ssl.create_default_context(cafile=str(tls.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"broker TLS: cannot use ca_file {tls.ca_file}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(str(tls.cert_file), str(tls.key_file) if tls.key_file else None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"broker TLS: cannot use cert_file {tls.cert_file} with its key_file: {error}"
            ) from error
    return context


def build_client(
    config: BrokerConfig,
    access: Access,
    protocol: MQTTProtocolVersion,
    client_id: str,
    *,
    persistent: bool,
) -> StreamClient:
    """Return an unconnected client without callbacks. It is driven by hand: no paho thread.

    `persistent` asks the broker to keep the session (MQTT 3.1.1; in 5 the expiry says so).
    What comes in a persistent session is acknowledged by hand, when it is safe here.
    """
    five = protocol == MQTTv5
    client = StreamClient(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if five else not persistent,
        protocol=protocol,
        reconnect_on_failure=False,
        manual_ack=persistent,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages_set(0)  # the outbox keeps the window; paho must queue nothing
    if config.username is not None:
        client.username_pw_set(config.username, access.password)
    if access.tls is not None:
        client.tls_set_context(access.tls)
    return client


def new_properties(packet_type: int, **values: int) -> Properties:
    """Return MQTT 5 properties by their names in the standard."""
    properties = Properties(packet_type)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def socket_of(client: Client) -> StreamSocket | None:
    """Return the socket of a client that `build_client` made. Raises InvariantError when paho made it."""
    sock: object = client.socket()
    if sock is not None and not isinstance(sock, StreamSocket):
        raise InvariantError("this version of paho-mqtt makes its sockets otherwise; install 2.1 or 2.2")
    return sock


def open_connection(client: Client, config: BrokerConfig, *, session_expiry_s: int) -> None:
    """Connect TCP and TLS and send CONNECT; blocks for up to a few seconds. Raises OSError."""
    if client.protocol == MQTTv5:
        properties = new_properties(
            PacketTypes.CONNECT,
            SessionExpiryInterval=session_expiry_s,
            MaximumPacketSize=MAX_PACKET_BYTES,
            ReceiveMaximum=RECEIVE_MAXIMUM,
        )
        client.connect(
            config.host,
            config.port,
            config.keepalive_s,
            clean_start=session_expiry_s == 0,
            properties=properties,
        )
    else:
        client.connect(config.host, config.port, config.keepalive_s)
    stream = socket_of(client)
    if stream is None:
        raise HungUpError
    sock = stream.wire
    # Small messages must leave at once and not wait for the previous one's acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
