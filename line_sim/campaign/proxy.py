"""A TCP proxy before the broker, which can break, freeze and slow what passes. One thread."""

import heapq
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Final

from line_sim.scenario import Disturbance

_POLL_S: Final = 0.05
_CHUNK: Final = 65536


@dataclass(order=True, slots=True)
class _Chunk:
    due_s: float
    order: int
    target: socket.socket = field(compare=False)
    data: bytes = field(compare=False)


class BrokerProxy:
    """Listens on a free loopback port and passes everything to the broker's port, at once by default.

    It is the action of `broker_down`, `broker_frozen` and `broker_slow`, from any thread.
    """

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._other: dict[socket.socket, socket.socket] = {}
        self._waiting: list[_Chunk] = []
        self._last_due_s: dict[socket.socket, float] = {}
        self._count = 0
        self._down = self._frozen = False
        self._delay_s = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="broker proxy", daemon=True)
        self._thread.start()

    def begin(self, disturbance: Disturbance) -> None:
        match disturbance.kind:
            case "broker_down":
                self._down = True
            case "broker_frozen":
                self._frozen = True
            case "broker_slow":
                self._delay_s = (disturbance.delay_ms or 0.0) / 1000

    def end(self, disturbance: Disturbance) -> None:
        match disturbance.kind:
            case "broker_down":
                self._down = False
            case "broker_frozen":
                self._frozen = False
            case "broker_slow":
                self._delay_s = 0.0

    def stop(self) -> None:
        """End the thread and all connections."""
        self._stopping = True
        self._thread.join()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        return listener

    # -- the proxy's thread ----------------------------------------------------------------------

    def _run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        listening = True
        while not self._stopping:
            if listening == self._down:
                listening = self._switch(on=not self._down)
            if self._frozen:
                time.sleep(0.005)
                continue
            wait_s = _POLL_S
            if self._waiting:
                wait_s = max(0.0, min(wait_s, self._waiting[0].due_s - time.monotonic()))
            for key, _ in self._selector.select(wait_s):
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._other:
                    self._read(key.fileobj)
            self._pass_on()
        if listening:
            self._switch(on=False)
        self._selector.close()

    def _switch(self, *, on: bool) -> bool:
        """Break all connections and refuse new ones, or listen again."""
        if on:
            self._listener = self._listen(self.port)
            self._selector.register(self._listener, selectors.EVENT_READ)
            return True
        self._selector.unregister(self._listener)
        self._listener.close()
        for sock in list(self._other):
            self._break(sock)
        self._waiting.clear()
        return False

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            broker = socket.create_connection(("127.0.0.1", self._broker_port), timeout=2)
        except OSError:
            client.close()
            return
        for one, other in ((client, broker), (broker, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.settimeout(2)
            self._other[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._break(sock)
            return
        self._count += 1
        target = self._other[sock]
        # Never before what was read before it: it is a stream.
        due_s = max(time.monotonic() + self._delay_s, self._last_due_s.get(target, 0.0))
        self._last_due_s[target] = due_s
        heapq.heappush(self._waiting, _Chunk(due_s, self._count, target, data))

    def _pass_on(self) -> None:
        while self._waiting and self._waiting[0].due_s <= time.monotonic():
            chunk = heapq.heappop(self._waiting)
            if chunk.target not in self._other:
                continue
            try:
                chunk.target.sendall(chunk.data)
            except OSError:
                self._break(chunk.target)

    def _break(self, sock: socket.socket) -> None:
        other = self._other.pop(sock, None)
        if other is None:
            return
        self._other.pop(other, None)
        for each in (sock, other):
            self._last_due_s.pop(each, None)
            self._selector.unregister(each)
            each.close()
