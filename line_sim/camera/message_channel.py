"""The message channel: sends events to the application, again until they are acknowledged.

GigE Vision 2.0, chapter 17: each message waits MCTT milliseconds for its acknowledge and is sent
again MCRC times. Messages leave one after the other.
"""

import heapq
import itertools
import selectors
import socket
import threading
from collections.abc import Callable

from line_sim.camera.device_clock import DeviceClock
from line_sim.camera.gvcp_messages import EventMessage, acknowledges, event_command
from line_sim.camera.link import Link
from line_sim.camera.settings import MessageSettings
from line_sim.camera.statistics import Counters

_QUEUE = 1024
_NS_PER_S = 1_000_000_000
_RECEIVE_BYTES = 1024


class MessageChannel:
    """Thread-safe; `run` belongs to a thread of its own. Raises OSError when made."""

    def __init__(
        self,
        address: str,
        settings: Callable[[], MessageSettings],
        clock: DeviceClock,
        link: Link,
        counters: Counters,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._link = link
        self._counters = counters
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, int, EventMessage]] = []
        self._numbers = itertools.count()
        self._closed = False
        self._request_id = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._wake_reader, self._wake_writer = socket.socketpair()
        try:
            self._socket.bind((address, 0))
        except OSError:
            self.close()
            raise
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)

    @property
    def source_port(self) -> int:
        return int(self._socket.getsockname()[1])

    def post(self, event: EventMessage, due_ns: int) -> None:
        """Send an event at that host time."""
        with self._changed:
            if len(self._waiting) >= _QUEUE:
                self._counters.add("events_lost")
                return
            heapq.heappush(self._waiting, (due_ns, next(self._numbers), event))
            self._changed.notify_all()

    def run(self) -> None:
        """Send until stopped."""
        while (event := self._next()) is not None:
            settings = self._settings()
            if settings.host_port:
                self._deliver(event, settings)

    def stop(self) -> None:
        """End `run`, from another thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._wake_writer.send(b"\0")

    def close(self) -> None:
        """Close the sockets; `run` must have ended."""
        for sock in (self._socket, self._wake_reader, self._wake_writer):
            sock.close()

    def _next(self) -> EventMessage | None:
        with self._changed:
            while not self._closed:
                wait_ns = self._waiting[0][0] - self._clock.now_ns() if self._waiting else None
                if wait_ns is not None and wait_ns <= 0:
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(None if wait_ns is None else wait_ns / _NS_PER_S)
            return None

    def _deliver(self, event: EventMessage, settings: MessageSettings) -> None:
        self._request_id = self._request_id % 0xFFFF + 1
        wants_ack = settings.timeout_ms > 0
        packet = event_command(event, self._request_id, extended=settings.extended_ids, ack=wants_ack)
        for attempt in range(settings.retries + 1 if wants_ack else 1):
            self._counters.add("events_resent" if attempt else "events_sent")
            self._send(packet, (settings.address, settings.host_port))
            if not wants_ack or self._acknowledged(settings) or self._closed:
                return
        self._counters.add("events_lost")

    def _send(self, packet: bytes, destination: tuple[str, int]) -> None:
        if not self._link.up:
            return
        try:
            self._socket.sendto(packet, destination)
        except OSError:
            self._counters.add("send_errors")

    def _acknowledged(self, settings: MessageSettings) -> bool:
        deadline_ns = self._clock.now_ns() + settings.timeout_ms * 1_000_000
        while (left_ns := deadline_ns - self._clock.now_ns()) > 0:
            for key, _ in self._selector.select(left_ns / _NS_PER_S):
                if key.fileobj is self._wake_reader:
                    return False
                try:
                    datagram, (host, _port) = self._socket.recvfrom(_RECEIVE_BYTES)
                except OSError:
                    continue  # an ICMP error of an earlier send: nobody listens there
                if self._link.up and host == settings.address and acknowledges(datagram, self._request_id):
                    return True
        return False
