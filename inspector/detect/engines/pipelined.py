"""What engines that run in a slot pipeline have in common: all but their lanes, made and closed by each."""

from collections.abc import Callable, Sequence
from typing import Generic

from inspector.clock import Clock
from inspector.detect.engine import Counts, Ticket
from inspector.detect.engines.outcome import frame_result
from inspector.detect.engines.slots import Lane, P, SlotPipeline
from inspector.detect.engines.stages import Stage
from inspector.detect.model.manifest import Manifest
from inspector.types import Frame, FrameContext, FrameResult


class PipelinedEngine(Generic[P]):
    """The part of an `Engine` that its pipeline answers. See `inspector.detect.engine.Engine`.

    `admit`, `look` and `name` as `SlotPipeline` takes them.
    """

    def __init__(  # noqa: PLR0917 - what a pipeline needs
        self,
        manifest: Manifest,
        lanes: Sequence[Lane[P]],
        admit: Callable[[Frame], P],
        look: Callable[[P], FrameContext | None],
        clock: Clock,
        on_ready: Callable[[], None],
        name: str,
    ) -> None:
        self._manifest = manifest
        self._clock = clock
        self._pipeline = SlotPipeline(
            lanes,
            admit,
            look,
            lambda outcome: frame_result(outcome, manifest.onnx.sha256, clock.now_ns()),
            clock=clock,
            on_ready=on_ready,
            name=name,
        )

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

    def take_stages(self) -> list[Stage]:
        """The stages of the runs since the last call; none where a run is not made of stages."""
        return []
