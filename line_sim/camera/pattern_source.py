"""A moving test pattern."""

import numpy as np

from line_sim.camera.source import FrameRequest, Image

_ROWS_PER_FRAME = 4


class PatternSource:
    """A diagonal grey ramp that moves up by four rows a frame, brighter with exposure and gain.

    The frames are windows into one tall picture, so a frame costs nothing.
    """

    def __init__(self) -> None:
        self._key: tuple[int, int, float] | None = None
        self._tall = np.zeros((0, 0), dtype=np.uint8)

    def frame(self, request: FrameRequest) -> Image:
        # 1 ms at 0 dB shows the whole ramp; less light shows a darker one.
        brightness = request.exposure_us / 1000.0 * 10 ** (request.gain_db / 20.0)
        key = (request.width, request.height, brightness)
        if key != self._key:
            rows = np.arange(request.height + 256, dtype=np.float32)[:, None]
            columns = np.arange(request.width, dtype=np.float32)[None, :]
            ramp = (rows + columns) % 256
            self._tall = np.minimum(ramp * brightness, 255).astype(np.uint8)
            self._key = key
        top = request.frame_id * _ROWS_PER_FRAME % 256
        return self._tall[top : top + request.height]
