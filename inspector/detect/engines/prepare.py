"""From a camera's frame to the tensor that the network takes, without a copy where possible."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.model.manifest import InputLayout
from inspector.errors import DataError
from inspector.types import Frame

NetworkInput = npt.NDArray[np.uint8]

# What to do with the camera's PixelFormat (SFNC name) for each model input; None: take it as is.
# OpenCV's RGGB names are the first two rows of the sensor, as in SFNC's BayerRG.
_CONVERSIONS: Final[dict[str, dict[str, int | None]]] = {
    "Mono8": {
        "Mono8": None,
        "RGB8": cv2.COLOR_RGB2GRAY,
        "BGR8": cv2.COLOR_BGR2GRAY,
        "BayerRG8": cv2.COLOR_BayerRGGB2GRAY,
        "BayerGB8": cv2.COLOR_BayerGBRG2GRAY,
        "BayerGR8": cv2.COLOR_BayerGRBG2GRAY,
        "BayerBG8": cv2.COLOR_BayerBGGR2GRAY,
    },
    "RGB8": {
        "RGB8": None,
        "BGR8": cv2.COLOR_BGR2RGB,
        "BayerRG8": cv2.COLOR_BayerRGGB2RGB,
        "BayerGB8": cv2.COLOR_BayerGBRG2RGB,
        "BayerGR8": cv2.COLOR_BayerGRBG2RGB,
        "BayerBG8": cv2.COLOR_BayerBGGR2RGB,
    },
}


def check_frame(frame: Frame, layout: InputLayout) -> None:
    """Raise DataError for a frame with missing packets, of another size, or of a pixel format that the
    model cannot take. Does not touch the pixels. Pure, any thread.
    """
    meta, image = frame.meta, frame.image
    if meta.missing_packets:
        raise DataError(f"frame {meta.frame_id} lacks {meta.missing_packets} packets")
    conversions = _CONVERSIONS[layout.pixel_format]
    if meta.pixel_format not in conversions:
        known = ", ".join(conversions)
        raise DataError(f"pixel format {meta.pixel_format}: this model takes {known}")
    channels = 3 if meta.pixel_format in ("RGB8", "BGR8") else 1
    wanted = (layout.height_px, layout.width_px)
    shape = image.shape[:2] if image.ndim == 2 or image.shape[2:] == (channels,) else ()
    if shape != wanted or (image.ndim == 2) != (channels == 1) or image.dtype != np.uint8:
        raise DataError(
            f"image is {image.shape} {image.dtype}, the model takes "
            f"{layout.width_px} x {layout.height_px} pixels of {meta.pixel_format}"
        )


def prepare(frame: Frame, layout: InputLayout) -> NetworkInput:
    """The network's input, uint8 (1, height, width, channels), C-contiguous.

    Mono8 to a Mono8 model and RGB8 to an RGB8 model share the frame's memory; the caller keeps
    the frame until the network is done. Raises DataError as `check_frame`. Pure, any thread.
    """
    check_frame(frame, layout)
    code = _CONVERSIONS[layout.pixel_format][frame.meta.pixel_format]
    pixels = np.asarray(frame.image, dtype=np.uint8)
    if code is not None:
        pixels = np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)
    return np.ascontiguousarray(pixels).reshape(1, layout.height_px, layout.width_px, layout.channels)
