"""The proxy before the broker: passes all, breaks, freezes, slows, and comes back."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from inspector.strict_data import check
from line_sim.campaign.proxy import BrokerProxy
from line_sim.scenario import Disturbance


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    accepting.join(5)


@pytest.fixture
def proxy(echo: int) -> Iterator[BrokerProxy]:
    proxy = BrokerProxy(echo)
    yield proxy
    proxy.stop()


def connect(proxy: BrokerProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def trouble(kind: str, **about: float) -> Disturbance:
    return check({"kind": kind, "part": 1, **about}, Disturbance)


def test_everything_passes_in_order(proxy: BrokerProxy) -> None:
    data = bytes(range(256)) * 2000
    with connect(proxy) as client:
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        got = b""
        while len(got) < len(data):
            got += client.recv(65536)
    assert got == data


def test_down_breaks_connections_and_refuses_new_ones_until_it_is_over(proxy: BrokerProxy) -> None:
    down = trouble("broker_down")
    with connect(proxy) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        proxy.begin(down)
        assert client.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        connect(proxy)
    proxy.end(down)
    for _ in range(100):
        try:
            with connect(proxy) as client:
                client.sendall(b"y")
                assert client.recv(1) == b"y"
                return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("it did not listen again")


def test_frozen_keeps_connections_and_loses_nothing(proxy: BrokerProxy) -> None:
    frozen = trouble("broker_frozen")
    with connect(proxy) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        proxy.begin(frozen)
        time.sleep(0.2)  # it looks at this between two waits
        client.sendall(b"y")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.end(frozen)
        client.settimeout(10)
        assert client.recv(1) == b"y"


def test_slow_delays_both_ways(proxy: BrokerProxy) -> None:
    with connect(proxy) as client:
        proxy.begin(trouble("broker_slow", delay_ms=60))
        begin_s = time.monotonic()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert time.monotonic() - begin_s >= 0.12


def test_nothing_overtakes_when_it_is_quick_again(proxy: BrokerProxy) -> None:
    slow = trouble("broker_slow", delay_ms=300)
    with connect(proxy) as client:
        proxy.begin(slow)
        client.sendall(b"first ")
        time.sleep(0.1)  # read by now, and on its way
        proxy.end(slow)
        client.sendall(b"second")
        got = b""
        while len(got) < 12:
            got += client.recv(12)
    assert got == b"first second"
