"""A moving test pattern."""

import numpy as np

from line_sim.camera.source import FrameRequest, Image

_ROWS_PER_FRAME = 4


class PatternSource:
    """A diagonal grey ramp that moves up by four rows a frame.

    The frames are windows into one tall picture, so a frame costs nothing.
    """

    def __init__(self) -> None:
        self._key: tuple[int, int] | None = None
        self._tall = np.zeros((0, 0), dtype=np.uint8)

    def frame(self, request: FrameRequest) -> Image:
        key = (request.width, request.height)
        if key != self._key:
            rows = np.arange(request.height + 256, dtype=np.int32)[:, None]
            columns = np.arange(request.width, dtype=np.int32)[None, :]
            self._tall = ((rows + columns) % 256).astype(np.uint8)
            self._key = key
        top = request.frame_id * _ROWS_PER_FRAME % 256
        return self._tall[top : top + request.height]
