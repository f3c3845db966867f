"""Packets that are held back and sent later, as on a route with a long queue."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable

_NS_PER_S = 1_000_000_000


class DelayLine:
    """Thread-safe. Its thread starts with the first packet; `send` is called on that thread."""

    def __init__(self, send: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._send = send
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, int, bytes, tuple[str, int]]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, packet: bytes, destination: tuple[str, int], delay_ms: float) -> None:
        due_ns = time.monotonic_ns() + round(delay_ms * 1e6)
        with self._changed:
            if self._closed:
                return
            heapq.heappush(self._waiting, (due_ns, next(self._numbers), packet, destination))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="camera delay line", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Forget what is held back and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                if not self._waiting:
                    self._changed.wait()
                    continue
                wait_ns = self._waiting[0][0] - time.monotonic_ns()
                if wait_ns > 0:
                    self._changed.wait(wait_ns / _NS_PER_S)
                    continue
                _, _, packet, destination = heapq.heappop(self._waiting)
            self._send(packet, destination)
