"""The thread that waits for runs, so that the driver never does."""

import queue
import threading
from collections.abc import Callable


class RunWaiter:
    """Waits for runs in the order in which they were started and tells of each.

    A thread of ours and not the library's callbacks: with OpenVINO's, destroying a request soon
    after its run was seen to hang (docs/decisions/004), and CUDA forbids its own API in them.
    """

    def __init__(self, name: str, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready
        self._started: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def watch(self, wait: Callable[[], None]) -> None:
        """Call `wait`, which blocks until a run is over, then `on_ready`."""
        self._started.put(wait)

    def stop(self, timeout_s: float) -> bool:
        """Return when all that is watched is over and the thread has ended; False when it has not in time."""
        self._started.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (wait := self._started.get()) is not None:
            wait()
            del wait  # else the frame is held until the next one comes
            self._on_ready()
