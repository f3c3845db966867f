"""How good a picture is to see on: its light and its focus, cheaply. Pure."""

import cv2
import numpy as np

from inspector.detect.engines.prepare import NetworkInput
from inspector.types import FrameContext

_SIDE_PX = 256  # enough to tell light and focus, and the same cost for every camera


def frame_context(pixels: NetworkInput) -> FrameContext:
    """Measure the network's input, uint8 (1, height, width, channels). About 0.1 ms; any thread.

    Focus is the variance of the Laplacian (Pech-Pacheco et al. 2000), at full resolution on a
    window at the centre, where the part is: a picture made smaller would look sharp.
    """
    image = pixels[0]
    height, width = image.shape[:2]
    step = max(1, min(height, width) // _SIDE_PX)
    seen = np.ascontiguousarray(image[::step, ::step])
    light = sum(cv2.sumElems(seen)) / seen.size / 255.0
    top, left = max(0, (height - _SIDE_PX) // 2), max(0, (width - _SIDE_PX) // 2)
    centre = image[top : top + _SIDE_PX, left : left + _SIDE_PX]
    grey = centre[..., 0] if centre.shape[2] == 1 else cv2.cvtColor(centre, cv2.COLOR_RGB2GRAY)
    edges = cv2.Laplacian(np.ascontiguousarray(grey), cv2.CV_16S)
    # Of squares and sums, which are exact: cv2.meanStdDev takes seven times as long on 16 bits.
    mean = cv2.sumElems(edges)[0] / edges.size
    variance = max(0.0, cv2.norm(edges, cv2.NORM_L2SQR) / edges.size - mean * mean)
    return FrameContext(light_level=light, sharpness=variance / 255.0**2)
