"""The part in front of the camera as the virtual camera's frame source."""

from inspector.errors import ConfigError, DataError
from line_sim.camera.source import FrameRequest, Image
from line_sim.part_source import PartSource
from line_sim.parts import PlannedPart


class PartFrames:
    """Gives each trigger the picture of the part that it carries.

    A frame without a part (free run, software trigger: someone looks through the camera) shows
    the first part of the run. Called on the camera's acquisition thread.
    """

    def __init__(self, source: PartSource) -> None:
        self._source = source

    def frame(self, request: FrameRequest) -> Image:
        """Return grey (height, width) or RGB. Raises DataError when the picture cannot be had."""
        subject = request.subject
        part = subject if isinstance(subject, PlannedPart) else self._source.parts[0]
        try:
            return self._source.picture(part)
        except ConfigError as error:
            raise DataError(str(error)) from error
