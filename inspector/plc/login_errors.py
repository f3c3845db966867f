"""Why a broker did not let us in, in one line that says what to do."""

import functools
import socket
import ssl

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from inspector.config import BrokerConfig


class HungUpError(OSError):
    """The broker closed the connection during the login, without a word."""


def explain_hang_up(config: BrokerConfig) -> str:
    """Say in one line what a broker may mean that closes the connection during the login."""
    where = f"broker {config.host}:{config.port}: closes the connection during the login"
    if config.tls is None:
        return f"{where}; check broker.port and whether it wants TLS"
    if config.tls.cert_file is None:
        return f"{where}; it may want a client certificate: set tls.cert_file and tls.key_file"
    return f"{where}; check that it trusts the certificate of tls.cert_file"


def explain_connect_error(error: OSError, config: BrokerConfig) -> str:
    """Say in one line why no connection came about, and what to do."""
    if isinstance(error, HungUpError | ConnectionResetError | BrokenPipeError):
        return explain_hang_up(config)
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted ({error.verify_message}); check tls.ca_file"
    elif isinstance(error, ssl.SSLError):
        why = f"TLS failed ({error.reason or error}); check the port and the tls section"
    elif isinstance(error, socket.gaierror):
        why = "the name is not known; check broker.host and the DNS of this machine"
    elif isinstance(error, ConnectionRefusedError):
        why = "nothing listens there; start the broker or correct broker.port"
    elif isinstance(error, TimeoutError):
        why = "no answer; check the cable, the address and the firewall"
    else:
        why = f"{error.strerror or error}; check the network"
    return f"broker {config.host}:{config.port}: {why}"


def explain_refusal(reason: ReasonCode, config: BrokerConfig) -> str:
    """Say in one line why the broker refused us, and what to do."""
    where = f"broker {config.host}:{config.port}"
    name = str(reason)
    if name in ("Bad user name or password", "Not authorized"):
        user = config.username or "without a user name"
        return (
            f"{where}: refuses the login {user!r} ({name}); check username and password"
            if config.username
            else f"{where}: refuses a login {user} ({name}); set broker.username and its password"
        )
    if name == "Unsupported protocol version":
        return f"{where}: does not speak {config.protocol}; set broker.protocol"
    if name == "Client identifier not valid":
        return f"{where}: refuses client_id {config.client_id!r}; set another broker.client_id"
    return f"{where}: refuses the connection ({name})"


def explain_flapping(config: BrokerConfig) -> str:
    """Say why connections end again and again; not every broker says that two clients share an id."""
    hint = f"does another client use client_id {config.client_id!r}?"
    return f"the broker ends every connection soon after the login; {hint}"


@functools.lru_cache(maxsize=64)
def explain_answer(code: int) -> tuple[bool, str]:
    """Return whether the broker took a message, and its reason code in the standard's words."""
    try:
        reason = str(ReasonCode(PacketTypes.PUBACK, identifier=code))
    except (KeyError, ValueError):  # no packet's code, or another packet's
        reason = f"reason code {code:#04x}"
    return code < 0x80, reason
