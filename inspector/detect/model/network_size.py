"""Which input size the network gets. Pure, and imports nothing of ours: benchmarks of peers use it too."""

import math
from typing import Final

PIXEL_BUDGET: Final = 512 * 384  # of the network's input: about 10 ms on one core
MOST_PIXELS: Final = 2720 * 912  # about 130 ms, and over two gigabytes while teaching
STEP: Final = 16
DEFECT_PX: Final = 4  # a cell of the finest features: what is smaller drowns
_SMALL: Final = 256 * 256  # smaller images are enlarged towards it: cells of 8 pixels hide small defects
_MOST_ENLARGED: Final = 2.0  # each way; more only invents pixels


def choose_size(width_px: int, height_px: int, smallest_defect_px: float | None = None) -> tuple[int, int]:
    """The network's input size: the image's shape within the pixel budget, small images enlarged.

    With `smallest_defect_px`, in pixels of the image, no smaller than what keeps such a defect visible. That
    may pass MOST_PIXELS: it is the caller's to refuse.
    """
    pixels = width_px * height_px
    scale = min(1.0, (PIXEL_BUDGET / pixels) ** 0.5)
    if pixels < _SMALL:
        scale = min(_MOST_ENLARGED, (_SMALL / pixels) ** 0.5)
    if smallest_defect_px is not None:
        scale = max(scale, min(_MOST_ENLARGED, DEFECT_PX / smallest_defect_px))
    return (
        max(STEP * 2, round(width_px * scale / STEP) * STEP),
        max(STEP * 2, round(height_px * scale / STEP) * STEP),
    )


def smallest_seen_px(width_px: int, network_width: int) -> float:
    """The smallest defect, in pixels of the image, that a network of that width can be expected to see."""
    return DEFECT_PX * width_px / network_width


def least_defect_px(width_px: int, height_px: int) -> int:
    """The smallest `smallest_defect_px`, in whole pixels, whose network is within MOST_PIXELS."""
    least = math.ceil(DEFECT_PX * math.sqrt(width_px * height_px / MOST_PIXELS))
    for defect_px in range(least, 2 * least):  # sides are rounded, and may come out larger
        width, height = choose_size(width_px, height_px, defect_px)
        if width * height <= MOST_PIXELS:
            return defect_px
    return 2 * least
