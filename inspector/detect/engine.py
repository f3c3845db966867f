"""What every inference engine offers to the detector service."""

from typing import NewType, Protocol

from inspector.detect.manifest import Manifest
from inspector.types import Frame, FrameResult

Ticket = NewType("Ticket", int)
"""Counts from 0, one up for each frame submitted to an engine."""


class Engine(Protocol):
    """Frames in, results out, several in flight. Driven from one thread.

    The engine calls `on_ready`, given when it was made, when a result may wait: from a thread of
    its own, or from within `submit` for a frame that it refuses. `on_ready` must only wake the
    driver and return.
    """

    @property
    def manifest(self) -> Manifest:
        """The model that is loaded."""
        ...

    @property
    def free_slots(self) -> int:
        """How many frames `submit` takes now."""
        ...

    def submit(self, frame: Frame) -> Ticket:
        """Start inference and return at once. The engine keeps `frame` until it is done.

        A frame that the model cannot take gives a result with INVALID_FRAME, never an exception.
        Raises InvariantError when no slot is free or the engine is closed.
        """
        ...

    def collect(self) -> list[tuple[Ticket, FrameResult]]:
        """All results that are ready, in the order of their tickets. Never waits."""
        ...

    def close(self) -> None:
        """Wait for what is in flight, drop it, release threads and memory. Safe to call twice."""
        ...
