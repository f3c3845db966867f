"""Where an OpenAI-compatible server is, and how to come in: address, TLS, credentials."""

import http.client
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from inspector.config import LlmServerConfig
from inspector.errors import ConfigError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Target:
    """`tls` None is plain HTTP."""

    host: str
    port: int | None
    path: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """Return a connection that is not open yet."""
        if self.tls is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s, context=self.tls)


def target(config: LlmServerConfig, environ: Mapping[str, str] | None = None) -> Target:
    """Return where `config` points. Raises ConfigError for a key or a certificate that is not there."""
    parts = urlsplit(config.url)
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"explainer.server.url {config.url}: the port is not a number") from error
    host = parts.hostname or ""
    key = _key(config, os.environ if environ is None else environ)
    secure = parts.scheme == "https"
    if key and not secure and host not in _LOOPBACK:
        raise ConfigError(f"explainer.server: a key would go to {host} in the clear; use https in its url")
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    path = parts.path.rstrip("/") + "/chat/completions"
    return Target(host, port, path, headers, _tls(config) if secure else None)


def _key(config: LlmServerConfig, environ: Mapping[str, str]) -> str:
    if config.api_key_env:
        key = environ.get(config.api_key_env, "").strip()
        if not key:
            raise ConfigError(f"explainer.server.api_key_env: {config.api_key_env} is not set")
        return _printable(key)
    if config.api_key_file:
        try:
            return _printable(config.api_key_file.read_text("ascii").strip())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"explainer.server.api_key_file {config.api_key_file} cannot be read: {error}"
            ) from error
    return ""


def _printable(key: str) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("explainer.server: the key has characters that no HTTP header may have")
    return key


def _tls(config: LlmServerConfig) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=config.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"explainer.server.ca_file {config.ca_file} cannot be used: {error}") from error
