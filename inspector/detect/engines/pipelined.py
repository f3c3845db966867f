"""What engines that run in a slot pipeline have in common: all but how they are set up, timed and closed."""

from collections.abc import Sequence
from typing import Generic

from inspector.detect.engine import Counts, Ticket
from inspector.detect.engines.slots import P, SlotPipeline
from inspector.detect.model.manifest import Manifest
from inspector.types import Frame, FrameResult


class PipelinedEngine(Generic[P]):
    """The part of an `Engine` that its pipeline answers. See `inspector.detect.engine.Engine`."""

    _manifest: Manifest
    _pipeline: SlotPipeline[P]

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def free_slots(self) -> int:
        return self._pipeline.free_slots

    @property
    def counts(self) -> Counts:
        return self._pipeline.counts

    def submit(self, frame: Frame) -> Ticket:
        return self._pipeline.submit((frame,))[0]

    def submit_batch(self, frames: Sequence[Frame]) -> list[Ticket]:
        return self._pipeline.submit(frames)

    def cancel(self, ticket: Ticket) -> bool:
        return self._pipeline.cancel(ticket)

    def collect(self) -> list[tuple[Ticket, FrameResult]]:
        return self._pipeline.collect()
