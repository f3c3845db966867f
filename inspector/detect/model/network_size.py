"""Which input size the network gets. Pure, and free of imports, so that benchmarks of peers use it too."""

from typing import Final

PIXEL_BUDGET: Final = 512 * 384  # of the network's input: about 10 ms on one core
STEP: Final = 16
_SMALL: Final = 256 * 256  # smaller images are enlarged towards it: cells of 8 pixels hide small defects
_MOST_ENLARGED: Final = 2.0  # each way; more only invents pixels


def choose_size(width_px: int, height_px: int) -> tuple[int, int]:
    """The network's input size: the image's shape within the pixel budget, small images enlarged."""
    pixels = width_px * height_px
    scale = min(1.0, (PIXEL_BUDGET / pixels) ** 0.5)
    if pixels < _SMALL:
        scale = min(_MOST_ENLARGED, (_SMALL / pixels) ** 0.5)
    return (
        max(STEP * 2, round(width_px * scale / STEP) * STEP),
        max(STEP * 2, round(height_px * scale / STEP) * STEP),
    )
