"""Getting in: TLS with client certificates, passwords, and what the user reads when it fails."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from brokers import Mosquitto, free_port, mosquitto_binary
from certificates import make_certificate
from plc_cell import Cell, verdict

from inspector.config import BrokerConfig, TlsConfig
from inspector.errors import ConfigError
from inspector.plc.check import check_broker
from inspector.plc.client import read_access


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    make_certificate(directory, "ca", None, "")
    make_certificate(directory, "other-ca", None, "")
    make_certificate(directory, "server", "ca", "subjectAltName=IP:127.0.0.1")
    make_certificate(directory, "wrong-host", "ca", "subjectAltName=DNS:elsewhere.example")
    make_certificate(directory, "cell", "ca", "extendedKeyUsage=clientAuth")
    return directory


def broker_with(directory: Path, *options: str) -> Iterator[Mosquitto]:
    if mosquitto_binary() is None:
        pytest.skip("needs mosquitto: apt install mosquitto")
    broker = Mosquitto(directory, options=options)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def tls_broker(keys: Path, tmp_path: Path) -> Iterator[Mosquitto]:
    yield from broker_with(
        tmp_path / "tls",
        f"cafile {keys}/ca.crt",
        f"certfile {keys}/server.crt",
        f"keyfile {keys}/server.key",
        "require_certificate true",
    )


@pytest.fixture
def password_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "cell", "s3cret"], check=True)
    yield from broker_with(tmp_path / "passwords-broker", f"password_file {passwords}")


def tls(keys: Path, *, ca: str = "ca", cert: str | None = "cell") -> TlsConfig:
    return TlsConfig(
        ca_file=keys / f"{ca}.crt",
        cert_file=keys / f"{cert}.crt" if cert else None,
        key_file=keys / f"{cert}.key" if cert else None,
    )


def complaint(config: BrokerConfig) -> str:
    with pytest.raises(ConfigError) as error:
        check_broker(config)
    text = str(error.value)
    assert "\n" not in text
    assert f"{config.host}:{config.port}" in text
    return text


def test_tls_with_client_certificate(tls_broker: Mosquitto, keys: Path, tmp_path: Path) -> None:
    config = BrokerConfig(port=tls_broker.port, tls=tls(keys))
    assert check_broker(config) == "MQTT 5"
    with Cell(config, tmp_path / "outbox") as cell:
        cell.until_connected()
        for seq in range(1, 51):
            cell.link.send_verdict(verdict(seq), -1.0)
        cell.until(lambda: cell.link.counters["verdict_unheard"] > 0, "the broker's answer")


def test_tls_complaints_say_what_to_do(tls_broker: Mosquitto, keys: Path) -> None:
    port = tls_broker.port
    untrusted = complaint(BrokerConfig(port=port, tls=tls(keys, ca="other-ca")))
    assert "its certificate is not trusted" in untrusted
    assert "check tls.ca_file" in untrusted
    without = complaint(BrokerConfig(port=port, tls=tls(keys, cert=None)))
    assert "set tls.cert_file" in without
    plain = complaint(BrokerConfig(port=port))
    assert "whether it wants TLS" in plain


def test_a_certificate_for_another_host_is_not_accepted(keys: Path, tmp_path: Path) -> None:
    options = (f"certfile {keys}/wrong-host.crt", f"keyfile {keys}/wrong-host.key")
    for broker in broker_with(tmp_path / "wrong", *options):
        config = BrokerConfig(port=broker.port, tls=tls(keys, cert=None))
        assert "not trusted (IP address mismatch" in complaint(config)


def test_password_from_environment_and_file(
    password_broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELL_PASSWORD", "s3cret")
    port = password_broker.port
    config = BrokerConfig(port=port, username="cell", password_env="CELL_PASSWORD")
    assert check_broker(config) == "MQTT 5"
    (tmp_path / "password").write_text("s3cret\n")
    config = BrokerConfig(port=port, username="cell", password_file=tmp_path / "password")
    assert check_broker(config) == "MQTT 5"
    with Cell(config, tmp_path / "outbox") as cell:
        cell.until_connected()


def test_a_wrong_password_is_one_clear_line_and_retried(
    password_broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELL_PASSWORD", "wrong")
    port = password_broker.port
    config = BrokerConfig(port=port, username="cell", password_env="CELL_PASSWORD")
    text = complaint(config)
    assert "refuses the login 'cell'" in text
    assert "check username and password" in text
    assert "wrong" not in text, "a password is never shown"
    assert "set broker.username" in complaint(BrokerConfig(port=port))
    with Cell(config, tmp_path / "outbox") as cell:
        cell.until(lambda: cell.faults != [], "the fault")
        assert "check username and password" in cell.faults[0].text
        assert not cell.link.connected


def test_secrets_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELL_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match="environment variable CELL_PASSWORD is not set"):
        check_broker(BrokerConfig(username="cell", password_env="CELL_PASSWORD"))
    with pytest.raises(ConfigError, match=r"cannot read .*absent"):
        check_broker(BrokerConfig(username="cell", password_file=tmp_path / "absent"))
    with pytest.raises(ConfigError, match=r"cannot use ca_file .*absent"):
        check_broker(BrokerConfig(tls=TlsConfig(ca_file=tmp_path / "absent")))


def test_nothing_there() -> None:
    port = free_port()
    assert "nothing listens there; start the broker" in complaint(BrokerConfig(port=port))
    unknown = BrokerConfig(host="no-such-host.invalid")
    assert "name is not known" in complaint(unknown) or "no answer" in complaint(unknown)


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_something_else_listens_there(silent_server: int, tmp_path: Path) -> None:
    assert "does not answer as an MQTT broker" in complaint(BrokerConfig(port=silent_server))
    with Cell(BrokerConfig(port=silent_server), tmp_path / "outbox") as cell:
        cell.until(lambda: cell.faults != [], "the fault")
        assert "check that it is an MQTT broker" in cell.faults[0].text


class OldBroker:
    """In front of a real broker: refuses MQTT 5 as a broker of 3.1.1 does, and passes on the rest.

    `silent` hangs up without an answer, as some do; otherwise CONNACK 1, as the standard says.
    """

    def __init__(self, port: int, *, silent: bool) -> None:
        self._behind = port
        self._silent = silent
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            connect = client.recv(4096)
            level = connect[connect.index(b"MQTT") + 4]
            if level == 5:
                client.sendall(b"" if self._silent else b"\x20\x02\x00\x01")
                client.close()
                continue
            broker = socket.create_connection(("127.0.0.1", self._behind))
            broker.sendall(connect)
            for source, target in ((client, broker), (broker, client)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        target.close()


@pytest.mark.parametrize("silent", [False, True])
def test_a_broker_of_mqtt_3_1_1_is_found_out(mosquitto: Mosquitto, tmp_path: Path, silent: bool) -> None:
    old = OldBroker(mosquitto.port, silent=silent)
    config = BrokerConfig(port=old.port)
    assert check_broker(config) == "MQTT 3.1.1"
    with Cell(config, tmp_path / "outbox") as cell:
        cell.until_connected()
        cell.link.send_verdict(verdict(1), -1.0)
        cell.until(lambda: cell.states("boot-1") == ["DELIVERED"], "delivery")
    old.close()


def test_a_broker_that_talks_nonsense_does_no_harm(tmp_path: Path) -> None:
    random = Random(5)
    talked: list[socket.socket] = []

    def talk(server: socket.socket) -> None:
        while len(talked) < 5:
            client, _ = server.accept()
            client.recv(4096)
            client.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK, accepted
            with suppress(OSError):  # the link has had enough
                for _ in range(20):
                    body = random.randbytes(random.randrange(20))
                    client.sendall(bytes([random.randrange(256), len(body)]) + body)
            talked.append(client)

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Cell(BrokerConfig(port=server.getsockname()[1]), tmp_path / "outbox") as cell,
    ):
        thread = threading.Thread(target=talk, args=(server,))
        thread.start()
        cell.until(lambda: len(talked) == 5, "five connections")
        thread.join()
        cell.link.send_verdict(verdict(1, valid_ms=0), -1.0)
        cell.until(lambda: cell.states("boot-1") == ["UNDELIVERED"], "the verdict's end")
    for client in talked:
        client.close()


def test_two_cells_with_one_client_id_are_told(mosquitto: Mosquitto, tmp_path: Path) -> None:
    config = BrokerConfig(port=mosquitto.port)
    with Cell(config, tmp_path / "a") as first, Cell(config, tmp_path / "b") as second:
        first.until(lambda: "BROKER_FLAPS" in [f.code for f in first.faults], "the quarrel")
        second.once()
        assert "does another client use client_id 'inspector'?" in first.faults[-1].text


def test_a_topic_that_the_broker_refuses_is_told(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read #\ntopic write acme/site/area/line/cell/fault\n")
    for broker in broker_with(tmp_path / "acl-broker", f"acl_file {acl}"):
        with Cell(BrokerConfig(port=broker.port), tmp_path / "outbox") as cell:
            cell.until_connected()
            cell.link.send_verdict(verdict(1), -1.0)
            cell.until(lambda: cell.states("boot-1") == ["UNDELIVERED"], "the refusal")
            cell.until(lambda: cell.faults != [], "the fault")
            assert "check its ACL" in cell.faults[0].text


def test_the_context_trusts_nothing_old(keys: Path) -> None:
    access = read_access(BrokerConfig(tls=tls(keys)))
    assert access.tls is not None
    assert access.tls.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert access.tls.check_hostname
