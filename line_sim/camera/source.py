"""Where the pictures come from: the interface between the camera and what it looks at."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inspector.errors import DataError
from line_sim.camera.config import PixelFormat
from line_sim.camera.settings import AcquisitionSettings

Image = npt.NDArray[np.uint8]


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

    def frame(self, request: FrameRequest) -> Image:
        """Return uint8 of shape (height, width), in the raw pixel format, or (height, width, 3) RGB.

        RGB becomes what the sensor sees: a Bayer mosaic, or grey. The array must not change
        afterwards, for the packets are sent from it. Raises DataError where there is no picture;
        the frame is then left out and counted.
        """
        ...


def payload_of(image: Image, request: FrameRequest, settings: AcquisitionSettings) -> Image:
    """Return the bytes of the region, flat and contiguous; raises DataError for a wrong picture."""
    expected = (request.height, request.width)
    if image.dtype != np.uint8 or image.shape[:2] != expected or image.shape[2:] not in ((), (3,)):
        raise DataError(
            f"the frame source gave {image.dtype} of shape {image.shape}, "
            f"uint8 of {expected} or {(*expected, 3)} is needed"
        )
    rows = slice(settings.offset_y, settings.offset_y + settings.height)
    columns = slice(settings.offset_x, settings.offset_x + settings.width)
    region = image[rows, columns]
    if region.ndim == 3:
        region = bayer_rg(region) if settings.pixel_format is PixelFormat.BAYER_RG8 else grey(region)
    return np.ascontiguousarray(region).reshape(-1)


def bayer_rg(rgb: Image) -> Image:
    """Return the mosaic that a sensor with R at (0, 0) and B at (1, 1) makes of an RGB picture."""
    mosaic = rgb[:, :, 1].copy()
    mosaic[0::2, 0::2] = rgb[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return mosaic


def grey(rgb: Image) -> Image:
    """Return the luma of an RGB picture (ITU-R BT.601, in 8 bit fixed point)."""
    wide = rgb.astype(np.uint16)
    luma = (77 * wide[:, :, 0] + 150 * wide[:, :, 1] + 29 * wide[:, :, 2]) >> 8
    return luma.astype(np.uint8)
