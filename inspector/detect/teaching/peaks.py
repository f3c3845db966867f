"""The highest place of a smoothed map, as the graph computes it."""

import math

import cv2
import numpy as np

from inspector.detect.risk.calibration import Floats
from inspector.detect.teaching.graph import F32


def blur_kernel(sigma: float) -> F32:
    """A normalised Gaussian kernel of twice sigma to each side; 1 x 1 for a sigma of 0."""
    reach = math.ceil(2 * sigma)
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    return np.asarray(np.outer(line, line) / line.sum() ** 2, dtype=np.float32)


def peaks(maps: F32, blur: F32) -> Floats:
    """The maximum of each map of (N, rows, columns) after the kernel `blur` (odd side), (N,)."""
    return np.asarray(blurred(maps, blur).max(axis=(1, 2)), dtype=np.float64)


def blurred(maps: F32, blur: F32) -> F32:
    """Each map of (N, rows, columns) after the kernel `blur` (odd side)."""
    if blur.shape[0] == 1:
        return maps
    return np.stack([cv2.filter2D(m, -1, blur, borderType=cv2.BORDER_REPLICATE) for m in maps])
