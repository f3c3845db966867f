"""How long this machine itself stood still: a busy machine makes a line look late."""

import threading
import time
from types import TracebackType
from typing import Final, Self

_SLEEP_S: Final = 0.005


class StallWatch:
    """While the context is open, a thread sleeps 5 ms at a time and measures by how much it overslept."""

    def __init__(self) -> None:
        self.worst_ms = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        before_s = time.monotonic()
        while not self._stop.wait(_SLEEP_S):
            now_s = time.monotonic()
            self.worst_ms = max(self.worst_ms, (now_s - before_s - _SLEEP_S) * 1000)
            before_s = now_s
