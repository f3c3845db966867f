"""Structured logs: one JSON object a line on standard error, with UTC time and the service's name.

Bind `camera_id`, `part_id` or `verdict_id` where they are known. Never log a payload that may
carry a secret. Our own few lines, as every service imports them when it starts (docs/decisions/051).
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime


class PatientStderr:
    """Standard error; text that cannot be written (full disk, closed pipe, none at all) is counted in `lost`.

    A supervisor must not die of a log line about what died.
    """

    def __init__(self) -> None:
        self.lost = 0

    def write(self, text: str) -> int:
        if sys.stderr is None or sys.stderr.closed:  # None where the process was started with it closed
            self.lost += 1
            return len(text)
        try:
            return sys.stderr.write(text)
        except OSError:
            self.lost += 1
            return len(text)

    def flush(self) -> None:
        if sys.stderr is None or sys.stderr.closed:
            return
        try:
            sys.stderr.flush()
        except OSError:
            self.lost += 1


def _json(line: Mapping[str, object]) -> str:
    try:
        return json.dumps(line, default=str)
    except (TypeError, ValueError):  # such as keys that are no text, or what holds itself
        return json.dumps({key: str(value) for key, value in line.items()})


def _for_people(line: Mapping[str, object]) -> str:
    said = " ".join(f"{key}={value}" for key, value in line.items() if key not in _SHOWN_APART)
    text = f"{line['timestamp']} [{line['level']}] {line['event']}  {said}".rstrip()
    return f"{text}\n{line['exception']}" if "exception" in line else text


_SHOWN_APART = {"timestamp", "level", "event", "exception"}


@dataclass(slots=True)
class _Output:
    """Where all loggers of a process write, and how."""

    stream: PatientStderr = field(default_factory=PatientStderr)
    service: str = "inspector"
    render: Callable[[Mapping[str, object]], str] = _for_people

    def write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        line = {**fields, "service": self.service, "event": event, "level": level, "timestamp": stamp}
        self.stream.write(self.render(line) + "\n")  # one call, so that lines of several threads stay whole
        self.stream.flush()


_output = _Output()


@dataclass(frozen=True, slots=True)
class Logger:
    """Writes events, each with the `fields` that are bound. Any thread."""

    fields: Mapping[str, object] = field(default_factory=dict)

    def bind(self, **fields: object) -> "Logger":
        """A logger that adds `fields` to all that it writes."""
        return Logger({**self.fields, **fields})

    def info(self, event: str, **fields: object) -> None:
        _output.write("info", event, {**self.fields, **fields})

    def warning(self, event: str, **fields: object) -> None:
        _output.write("warning", event, {**self.fields, **fields})

    def error(self, event: str, **fields: object) -> None:
        _output.write("error", event, {**self.fields, **fields})

    def exception(self, event: str, **fields: object) -> None:
        """An error with the traceback of the exception that is being handled."""
        self.error(event, exception=traceback.format_exc().rstrip(), **fields)


def configure(service: str, *, human: bool = False) -> None:
    """Set up logging for this process. `human` gives lines for a terminal instead of JSON."""
    _output.service = service
    _output.render = _for_people if human else _json
    # Libraries that use the standard logger: their warnings and errors, on the same stream.
    logging.basicConfig(
        level=logging.WARNING, stream=_output.stream, format="%(levelname)s %(name)s: %(message)s"
    )


def get() -> Logger:
    """The process' logger. Without `configure` it writes readable lines to standard error."""
    return Logger()
