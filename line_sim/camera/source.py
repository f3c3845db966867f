"""Where the pictures come from: the interface between the camera and what it looks at."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Picture = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRequest:
    """One exposure. `width` and `height` are those of the whole sensor; the camera cuts the region.

    `frame_id` counts from 1 within one acquisition, `exposure_start_ns` is CLOCK_MONOTONIC,
    `pixel_format` the SFNC name. `subject` is what the trigger carried (the part in front of the
    camera), None in free run and for triggers that carry nothing.
    """

    frame_id: int
    exposure_start_ns: int
    exposure_us: float
    gain_db: float
    width: int
    height: int
    pixel_format: str
    subject: object = None


class FrameSource(Protocol):
    """Called on the camera's acquisition thread, one frame after the other."""

    def frame(self, request: FrameRequest) -> Picture:
        """Return (height, width), grey or a raw mosaic, or (height, width, 3) RGB.

        uint8 or uint16, full scale is the largest value of the type. RGB becomes what the sensor
        sees: a Bayer mosaic, or grey. Exposure and gain are applied by the camera afterwards: at
        1 ms and 0 dB the picture is sent as it is. The array must not change
        afterwards, for the packets are sent from it. Raises DataError where there is no picture;
        the frame is then left out and counted.
        """
        ...


@runtime_checkable
class FramePacing(Protocol):
    """A frame source that knows when its frames were taken: it sets the rate in free run."""

    def interval_ns(self, frame_id: int) -> int:
        """Return the time from the exposure of the frame before to that of this one."""
        ...


def bayer_rg(rgb: Picture) -> Picture:
    """Return the mosaic that a sensor with R at (0, 0) and B at (1, 1) makes of an RGB picture."""
    mosaic: Picture = rgb[:, :, 1].copy()
    mosaic[0::2, 0::2] = rgb[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return mosaic


def grey(rgb: Picture) -> Picture:
    """Return the luma of an RGB picture (ITU-R BT.601, in 8 bit fixed point)."""
    wide = rgb.astype(np.uint32)
    luma = (77 * wide[:, :, 0] + 150 * wide[:, :, 1] + 29 * wide[:, :, 2]) >> 8
    return luma.astype(np.uint8) if rgb.dtype == np.uint8 else luma.astype(np.uint16)
