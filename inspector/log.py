"""Structured logs: one JSON object a line on standard error, with UTC time and the service's name.

Bind `camera_id`, `part_id` or `verdict_id` where they are known. Never log a payload that may
carry a secret.
"""

import logging
import sys
from typing import TextIO, cast

import structlog


class PatientStream:
    """Writes lines to a stream; one that cannot be written (full disk, closed pipe) is counted in `lost`.

    A supervisor must not die of a log line about what died.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self.lost += 1
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self.lost += 1


def configure(service: str, *, human: bool = False) -> None:
    """Set up logging for this process. `human` gives lines for a terminal instead of JSON."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if human
        else structlog.processors.JSONRenderer()
    )
    stream = PatientStream(sys.stderr)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, stream)),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    # Libraries that use the standard logger: their warnings and errors, on the same stream.
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(levelname)s %(name)s: %(message)s")


def get() -> structlog.typing.FilteringBoundLogger:
    """Return the process' logger. Without `configure` it writes readable lines to standard error."""
    if not structlog.is_configured():
        configure("inspector", human=True)
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
