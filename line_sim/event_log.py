"""The event log: one JSON object a line, for people, tests and live views.

Every line has `event` and `at_ns` (CLOCK_MONOTONIC when it was written).
"""

import json
import os
import sys
from typing import TextIO

from inspector.clock import Clock
from inspector.errors import ConfigError, StoreError
from line_sim.plc_outputs import Fields


class EventLog:
    """Writes to stdout ("-"), an open file descriptor (a number) or a file. One thread."""

    def __init__(self, target: str, clock: Clock) -> None:
        self._clock = clock
        self._owned = target != "-"
        try:
            if target == "-":
                self._stream: TextIO = sys.stdout
            elif target.isdigit():
                self._stream = os.fdopen(int(target), "w", encoding="ascii")
            else:
                self._stream = open(target, "w", encoding="ascii")  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise ConfigError(f"--events {target}: {error.strerror}") from error

    def emit(self, event: str, fields: Fields) -> None:
        """Write one line and flush. Raises StoreError when the reader is gone or the disk full."""
        line = json.dumps({"event": event, "at_ns": self._clock.now_ns(), **fields})
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise StoreError(f"the event log cannot be written: {error}") from error

    def close(self) -> None:
        if not self._owned:
            return
        try:
            self._stream.close()
        except OSError as error:
            raise StoreError(f"the event log cannot be written: {error}") from error
