"""What the box network should say at each cell, and the crops that it learns from. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from inspector.detect.teaching.graph import F32
from inspector.detect.training.box_graph import STRIDE

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]
"""(n, 5): label, x0, y0, x1, y1."""

_CENTRE: Final = 1.5  # cells around a box's centre that answer for it (FCOS, centre sampling)
_VISIBLE: Final = 0.5  # share of a box that a crop must hold to count as one


@dataclass(frozen=True, slots=True)
class Targets:
    """`labels` (rows, columns): the label, -1 for background, -2 for a box that is cut and so neither.
    `boxes` (4, rows, columns): x0, y0, x1, y1 where the label is 0 or more."""

    labels: npt.NDArray[np.int64]
    boxes: F32


def targets(boxes: Boxes, cut: Boxes, width: int, height: int) -> Targets:
    """For an image of `width` x `height` network pixels. `cut` are boxes that say nothing either way."""
    rows, columns = height // STRIDE, width // STRIDE
    labels = np.full((rows, columns), -1, dtype=np.int64)
    coordinates = np.zeros((4, rows, columns), dtype=np.float32)
    y, x = np.mgrid[:rows, :columns] * STRIDE + STRIDE / 2
    for _, x0, y0, x1, y1 in cut:
        labels[(x > x0) & (x < x1) & (y > y0) & (y < y1)] = -2
    sizes = (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2])
    for index in np.argsort(-sizes, kind="stable"):  # where boxes overlap the smallest has the cell
        label, x0, y0, x1, y1 = boxes[index]
        off_x, off_y = np.abs(x - (x0 + x1) / 2), np.abs(y - (y0 + y1) / 2)
        mine = (off_x < np.minimum(_CENTRE * STRIDE, (x1 - x0) / 2)) & (
            off_y < np.minimum(_CENTRE * STRIDE, (y1 - y0) / 2)
        )
        if not mine.any():  # smaller than a cell: the nearest one
            mine = (off_x + off_y) == (off_x + off_y).min()
        labels[mine] = int(label)
        coordinates[:, mine] = np.array([x0, y0, x1, y1], dtype=np.float32)[:, None]
    return Targets(labels, coordinates)


def crop(
    image: Pixels, boxes: Boxes, size: tuple[int, int], rng: np.random.Generator, *, turn: bool
) -> tuple[Pixels, Boxes, Boxes]:
    """A crop of (width, height), mostly around a box, flipped and turned at random where `turn` says so.

    Returns pixels, the boxes in it, and those that are cut so far that nobody can say what they are.
    """
    width, height = size
    rows, columns = image.shape[:2]
    if len(boxes) and rng.random() < 0.9:
        _, x0, y0, x1, y1 = boxes[rng.integers(len(boxes))]
        centre = np.array([x0 + x1, y0 + y1]) / 2 + rng.uniform(-0.4, 0.4, 2) * size
    else:
        centre = rng.uniform(0, 1, 2) * (columns, rows)
    left = int(np.clip(centre[0] - width / 2, 0, max(columns - width, 0)))
    upper = int(np.clip(centre[1] - height / 2, 0, max(rows - height, 0)))
    pixels = image[upper : upper + height, left : left + width]
    moved = boxes - np.array([0, left, upper, left, upper], dtype=np.float32)
    inside = moved.copy()
    inside[:, 1::2] = np.clip(moved[:, 1::2], 0, pixels.shape[1])
    inside[:, 2::2] = np.clip(moved[:, 2::2], 0, pixels.shape[0])
    share = _areas(inside) / np.maximum(_areas(moved), 1e-6)
    kept, cut = inside[share >= _VISIBLE], inside[(share < _VISIBLE) & (share > 0)]
    if turn:
        pixels, (kept, cut) = _turned(pixels, [kept, cut], rng)
    return np.ascontiguousarray(pixels), kept, cut


def _turned(pixels: Pixels, groups: list[Boxes], rng: np.random.Generator) -> tuple[Pixels, list[Boxes]]:
    rows, columns = pixels.shape[:2]
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        groups = [_columns(b, [0, 3, 2, 1, 4], columns, (1, 3)) for b in groups]
    if rng.random() < 0.5:
        pixels = pixels[::-1]
        groups = [_columns(b, [0, 1, 4, 3, 2], rows, (2, 4)) for b in groups]
    if rows == columns and rng.random() < 0.5:
        pixels = pixels.transpose(1, 0, 2)
        groups = [np.ascontiguousarray(b[:, [0, 2, 1, 4, 3]]) for b in groups]
    return pixels, groups


def _columns(boxes: Boxes, order: list[int], length: int, mirrored: tuple[int, int]) -> Boxes:
    out: Boxes = np.ascontiguousarray(boxes[:, order])
    for column in mirrored:
        out[:, column] = length - out[:, column]
    return out


def _areas(boxes: Boxes) -> Boxes:
    area: Boxes = np.maximum(boxes[:, 3] - boxes[:, 1], 0) * np.maximum(boxes[:, 4] - boxes[:, 2], 0)
    return area
