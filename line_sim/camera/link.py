"""The network cable: in, or out for a while. Nothing of the camera's state depends on it."""

import threading
import time


class Link:
    """Thread-safe. Made with the cable in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._back_ns = 0

    def pull(self, seconds: float) -> None:
        """Take the cable out; it goes in again by itself."""
        with self._lock:
            self._back_ns = time.monotonic_ns() + round(seconds * 1e9)

    @property
    def up(self) -> bool:
        with self._lock:
            return time.monotonic_ns() >= self._back_ns
