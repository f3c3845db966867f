"""What every inference engine offers to the detector service."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

from inspector.detect.model.manifest import Manifest
from inspector.types import Frame, FrameResult

Ticket = NewType("Ticket", int)
"""Counts from 0, one up for each frame submitted to an engine."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Every submitted frame ends in exactly one of the others, or is still inside."""

    submitted: int = 0
    completed: int = 0
    refused: int = 0  # frames that the model cannot take
    failed: int = 0
    cancelled: int = 0

    @property
    def inside(self) -> int:
        return self.submitted - self.completed - self.refused - self.failed - self.cancelled


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

    @property
    def max_batch(self) -> int:
        """How many frames `submit_batch` takes at once; 1 where a batch gains nothing."""
        ...

    @property
    def counts(self) -> Counts:
        """What became of all frames so far."""
        ...

    def submit(self, frame: Frame) -> Ticket:
        """Start inference and return at once. The engine keeps `frame` until it is done.

        A frame that the model cannot take gives a result with INVALID_FRAME, never an exception.
        Raises InvariantError when no slot is free or the engine is closed.
        """
        ...

    def submit_batch(self, frames: Sequence[Frame]) -> list[Ticket]:
        """`submit` for up to `max_batch` frames that run together, in one slot."""
        ...

    def cancel(self, ticket: Ticket) -> bool:
        """Give a frame up: its result comes at once, in its turn, as DROPPED.

        What computes is not stopped and keeps its slot. False when the result is ready or collected.
        """
        ...

    def collect(self) -> list[tuple[Ticket, FrameResult]]:
        """All results that are ready, in the order of their tickets. Never waits.

        Raises EngineLostError when the engine cannot go on, or has computed one frame for seconds.
        """
        ...

    def close(self) -> None:
        """Wait for what is in flight, drop it, release threads and memory. Safe to call twice.

        Leaves a run that never ends behind: the process is about to end anyway.
        """
        ...
