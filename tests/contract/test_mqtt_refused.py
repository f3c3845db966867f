"""A broker that takes a login and then refuses what is published, or has too little room for it."""

import socket
import ssl
import threading
from pathlib import Path

import pytest
from brokers import Mosquitto, mosquitto_binary
from certificates import make_certificate
from plc_cell import Cell

from inspector.config import BrokerConfig
from inspector.plc.stream_socket import StreamSocket
from inspector.types import Explanation, ExplanationSource


def test_a_message_that_is_too_large_for_the_broker_is_told_and_the_cell_goes_on(tmp_path: Path) -> None:
    if mosquitto_binary() is None:
        pytest.skip("needs mosquitto: apt install mosquitto")
    broker = Mosquitto(tmp_path / "broker", options=("message_size_limit 1000",))
    broker.start()
    with Cell(BrokerConfig(port=broker.port), tmp_path / "outbox") as cell:
        cell.until_connected()
        cell.link.send_explanation(
            Explanation(
                verdict_id="boot-1",
                part_id="P000001",
                text="A long explanation. " * 100,
                cause="",
                recommended_action="",
                source=ExplanationSource.LLM,
                cited=(),
                model_sha256="",
                latency_ms=1.0,
            )
        )
        cell.until(lambda: cell.faults != [], "the fault")
        (fault,) = cell.faults
        assert fault.code == "PUBLISH_REFUSED"
        assert "explanation" in fault.text
        assert cell.link.connected
    broker.kill()


def test_over_tls_our_packets_wait_for_one_of_paho_that_found_no_room(tmp_path: Path) -> None:
    make_certificate(tmp_path, "broker", None, "")
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "broker.crt", tmp_path / "broker.key")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(tmp_path / "broker.crt")
    accepted: list[ssl.SSLSocket] = []
    greeting = threading.Thread(target=lambda: accepted.append(server.wrap_socket(far, server_side=True)))
    greeting.start()
    with client.wrap_socket(near) as wire:
        greeting.join()
        with accepted[0] as peer:
            wire.setblocking(False)
            peer.setblocking(False)
            shared, taken = StreamSocket(wire, five=True), 0
            try:
                while True:
                    taken += shared.send(b"p" * 50)
            except (BlockingIOError, ssl.SSLWantWriteError):
                assert taken > 0
            shared.write(b"o" * 200)
            heard, again = b"", False
            while len(heard) < taken + 250:
                try:
                    heard += peer.recv(65_536)
                except ssl.SSLWantReadError:
                    if not again:
                        again = shared.send(b"p" * 50) == 50  # as paho does when there is room
                    shared.flush()
            assert heard == b"p" * (taken + 50) + b"o" * 200
