"""Finds out within a second that a camera is gone, for producers that do not tell.

Our own producer watches its cameras itself. Others may take many seconds to notice, or never
do, and a register access to a dead camera blocks for as long. So a thread reads one register
again and again, and a read that fails or does not come back means that the camera is gone.
"""

import threading
from collections.abc import Callable

from inspector.camera.gentl_errors import GENTL_ERRORS, reason
from inspector.clock import NS_PER_MS, Clock

_PERIOD_S = 0.2
_PATIENCE_NS = 700 * NS_PER_MS
_FAILURES = 2


class Liveness:
    """`problem` may be asked from every thread; it is "" while all is well."""

    def __init__(self, read: Callable[[], object], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._started_ns: int | None = None
        self._problem = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera liveness", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        """Say why the camera must be gone."""
        started_ns = self._started_ns
        if started_ns is not None and self._clock.now_ns() - started_ns > _PATIENCE_NS:
            return "a register read does not come back"
        return self._problem

    def close(self) -> None:
        """End the thread; does not wait for a read that hangs."""
        self._stop.set()
        self._thread.join(_PERIOD_S)

    def _run(self) -> None:
        failures = 0
        while not self._stop.wait(_PERIOD_S):
            self._started_ns = self._clock.now_ns()
            try:
                self._read()
                failures = 0
            except GENTL_ERRORS as error:
                failures += 1
                if failures >= _FAILURES:
                    self._problem = reason(error)
                    return
            finally:
                self._started_ns = None
