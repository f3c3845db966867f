"""The part in front of the camera as the virtual camera's frame source."""

import threading
from collections.abc import Sequence

from inspector.errors import ConfigError, DataError
from line_sim.camera.camera import VirtualCamera
from line_sim.camera.source import FrameRequest, Image
from line_sim.part_source import PartSource
from line_sim.parts import PlannedPart


class PartFrames:
    """Gives each trigger the picture of the part that it carries, as the camera of `view` sees it.

    A frame without a part (free run, software trigger: someone looks through the camera) shows
    the first part of the run. Called on the camera's acquisition thread; `turn` is shared by the
    cameras of one source, which draws for one at a time.
    """

    def __init__(self, source: PartSource, view: int = 0, turn: "threading.Lock | None" = None) -> None:
        self._source, self._view = source, view
        self._turn = turn or threading.Lock()

    def frame(self, request: FrameRequest) -> Image:
        """Return grey (height, width) or RGB. Raises DataError when the picture cannot be had."""
        subject = request.subject
        part = subject if isinstance(subject, PlannedPart) else self._source.parts[0]
        try:
            with self._turn:
                return self._source.picture(part, self._view)
        except ConfigError as error:
            raise DataError(str(error)) from error


class CamerasOnOneWire:
    """Several cameras whose trigger inputs hang on the same photo-eye: one pulse reaches all."""

    def __init__(self, cameras: Sequence[VirtualCamera]) -> None:
        self._cameras = tuple(cameras)

    def pulse_line(self, line: str, *, subject: object = None) -> bool:
        """Pulse all of them at one instant; return whether each of them will give a frame."""
        at_ns = self._cameras[0].clock.now_ns()
        # All of them, also after one that is off.
        pulsed = [camera.pulse_line(line, at_ns=at_ns, subject=subject) for camera in self._cameras]
        return all(pulsed)
