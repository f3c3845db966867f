"""Is the broker there, and does it take us? For `inspector check`, before a run."""

import os
import select
import threading
import time

from msgspec.structs import replace
from paho.mqtt.client import Client, ConnectFlags, MQTTv5
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from inspector.config import BrokerConfig
from inspector.errors import ConfigError
from inspector.plc.client import (
    PROTOCOLS,
    Access,
    build_client,
    open_connection,
    read_access,
    socket_of,
)
from inspector.plc.login_errors import (
    explain_connect_error,
    explain_hang_up,
    explain_refusal,
)

WITHIN_S = 3.0
ANSWER_S = 2.5  # for the broker to answer; the rest is for us to say that it did not


def check_broker(config: BrokerConfig) -> str:
    """Log in and out once, under a client id of its own; return what was agreed, in words.

    With `tls.check_cert_file` the login is by that certificate; the cell's own is only read.
    Raises ConfigError within 3 s, one line that names host, port and what to do.
    """
    access = read_access(config)
    tls = config.tls
    if tls is not None and tls.check_cert_file is not None:
        tls = replace(tls, cert_file=tls.check_cert_file, key_file=tls.check_key_file)
        config = replace(config, tls=tls)
        access = read_access(config)
    answers: list[str | ConfigError] = []

    def ask() -> None:
        try:
            answers.append(_log_in(config, access, PROTOCOLS[config.protocol]))
        except ConfigError as error:
            answers.append(error)

    # In a thread, because the name service may hang for longer than anybody wants to wait.
    thread = threading.Thread(target=ask, name="broker-check", daemon=True)
    thread.start()
    thread.join(WITHIN_S)
    if not answers:
        raise ConfigError(
            f"broker {config.host}:{config.port}: no answer within {WITHIN_S:g} s;"
            " check the address, the DNS and the firewall"
        )
    if isinstance(answers[0], ConfigError):
        raise answers[0]
    return answers[0]


def _log_in(config: BrokerConfig, access: Access, protocol: MQTTProtocolVersion) -> str:
    deadline = time.monotonic() + ANSWER_S
    outcome: list[ReasonCode] = []

    def on_connect(
        _client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        outcome.append(reason)

    five = protocol == MQTTv5
    # Under the cell's own id the broker would throw a running inspector out.
    client_id = f"{config.client_id}-check-{os.getpid()}"
    client = build_client(config, access, protocol, client_id, persistent=False)
    client.on_connect = on_connect
    try:
        open_connection(client, config, session_expiry_s=0)
    except OSError as error:
        raise ConfigError(explain_connect_error(error, config)) from error
    while not outcome and (sock := socket_of(client)) is not None:
        poller = select.poll()
        poller.register(sock, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not poller.poll(left_s * 1000):
            break
        client.loop_write()
        client.loop_read()
    if outcome and not outcome[0].is_failure:
        client.disconnect()
        return "MQTT 5" if five else "MQTT 3.1.1"
    sock = socket_of(client)
    hung_up = sock is None
    if sock is not None:
        sock.close()
    if outcome and str(outcome[0]) != "Unsupported protocol version":
        raise ConfigError(explain_refusal(outcome[0], config))
    if five and (outcome or hung_up):
        return _log_in(config, access, PROTOCOLS["mqtt311"])
    if outcome:
        raise ConfigError(explain_refusal(outcome[0], config))
    if hung_up:
        raise ConfigError(explain_hang_up(config))
    raise ConfigError(
        f"broker {config.host}:{config.port}: accepts the connection but does not answer as an"
        " MQTT broker; check broker.port and whether it wants TLS"
    )
