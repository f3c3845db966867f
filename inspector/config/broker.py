"""The MQTT broker."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from inspector.config.values import Name
from inspector.strict_data import Strict


class TlsConfig(Strict, frozen=True, kw_only=True):
    """`check_cert_file` is what `inspector check` logs in with, where the broker takes the name in the
    certificate as the client id: with the cell's own it would throw a running cell out.
    """

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None
    check_cert_file: Path | None = None
    check_key_file: Path | None = None

    def __post_init__(self) -> None:
        if self.check_key_file and not self.check_cert_file:
            raise ValueError("check_key_file needs check_cert_file")


class BrokerConfig(Strict, frozen=True, kw_only=True):
    """`password_env` and `password_file` name where the password is, never the password."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535)] = 1883
    protocol: Literal["mqtt5", "mqtt311"] = "mqtt5"
    client_id: Name = "inspector"
    username: str | None = None
    password_env: str | None = None
    password_file: Path | None = None
    tls: TlsConfig | None = None
    keepalive_s: Annotated[int, Meta(ge=1)] = 5

    def __post_init__(self) -> None:
        if self.password_env and self.password_file:
            raise ValueError("give password_env or password_file, not both")
