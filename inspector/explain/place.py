"""Where something is in the image, in words. Pure."""

from dataclasses import dataclass

import numpy as np

from inspector.types import Box, Heatmap

ABNORMAL_CELL = 128
"""A heat map cell of at least this value (of 255) counts as abnormal."""

_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "centre", "right")


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of the image is abnormal, in percent, and where its weight lies."""

    percent: float
    place: str


def place_of_point(x: float, y: float) -> str:
    """Return the one of nine fields that holds the point; x to the right, y down, both in [0, 1]."""
    row = _ROWS[min(2, max(0, int(y * 3)))]
    column = _COLUMNS[min(2, max(0, int(x * 3)))]
    return "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"


def place_of_box(box: Box, width_px: int, height_px: int) -> str:
    """Return the field that the box's centre lies in; "" when the frame's size is not known."""
    if width_px <= 0 or height_px <= 0:
        return ""
    x0, y0, x1, y1 = box
    return place_of_point((x0 + x1) / 2 / width_px, (y0 + y1) / 2 / height_px)


def extent_of_heatmap(heatmap: Heatmap) -> Extent | None:
    """Return the abnormal extent; None when no cell is abnormal or the map is malformed."""
    if heatmap.width <= 0 or len(heatmap.data) != heatmap.width * heatmap.height:
        return None
    cells = np.frombuffer(heatmap.data, np.uint8).reshape(heatmap.height, heatmap.width)
    rows, columns = np.nonzero(cells >= ABNORMAL_CELL)
    if rows.size == 0:
        return None
    weight = cells[rows, columns].astype(np.float64)
    x = float(np.average(columns + 0.5, weights=weight)) / heatmap.width
    y = float(np.average(rows + 0.5, weights=weight)) / heatmap.height
    return Extent(percent=100.0 * rows.size / cells.size, place=place_of_point(x, y))
