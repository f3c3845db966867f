"""Made-up defects, pasted into images of good parts, that a discriminator learns to tell apart.

Generic on purpose: lines, dents, blotches and patches from elsewhere, over a wide range of size and
contrast; nothing here knows a product. After CutPaste (Li et al., 2021) and DRAEM (Zavrtanik et
al., 2021), with grey-level fields in place of a texture library.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.teaching.graph import F32

Image = npt.NDArray[np.uint8]

CHANGED: Final = 8.0  # grey levels: a cell that differs by more holds a defect
UNCHANGED: Final = 1.0  # grey levels: a cell that differs by less holds none; between them, unsure
_WORK_PIXELS: Final = 640 * 480  # defects are drawn at that size at most and scaled up
_MOST: Final = 5  # defects in an image


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Features of synthetic images, (M, rows, columns, D); the good image that each was made
    from, (M,); and how far each cell was changed, in grey levels, (M, rows, columns)."""

    features: F32
    origin: npt.NDArray[np.int64]
    change: F32

    def made_from(self, good: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Indices of the images made from any of the given good ones."""
        return np.flatnonzero(np.isin(self.origin, good))

    def take(self, chosen: npt.NDArray[np.int64]) -> "Synthetic":
        return Synthetic(self.features[chosen], self.origin[chosen], self.change[chosen])

    def __add__(self, more: "Synthetic") -> "Synthetic":
        return Synthetic(
            np.concatenate([self.features, more.features]),
            np.concatenate([self.origin, more.origin]),
            np.concatenate([self.change, more.change]),
        )


def spoil(image: Image, rng: np.random.Generator) -> tuple[Image, F32]:
    """Paste a few defects into a uint8 image (height, width, channels).

    Returns the new image and its change (height, width) in grey levels. The same state of `rng`
    gives the same result.
    """
    height, width = image.shape[:2]
    scale = min(1.0, (_WORK_PIXELS / (width * height)) ** 0.5)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    grey = image.astype(np.float32)
    small = _resize(grey, size)
    painter = _Painter(small, rng)
    kinds = (painter.curve, painter.dent, painter.blotch, painter.patch)
    for _ in range(int(rng.integers(2, _MOST + 1))):
        kinds[int(rng.integers(0, len(kinds)))]()
    difference = _resize(painter.image - small, (width, height))
    spoiled = np.clip(grey + difference, 0, 255).astype(np.uint8)
    change = np.abs(spoiled.astype(np.float32) - grey).max(axis=2)
    change = cv2.GaussianBlur(change, (0, 0), 1.0 / scale)
    return spoiled, np.asarray(change, dtype=np.float32)


def cell_change(change: F32, rows: int, columns: int) -> F32:
    """The change of each cell, (rows, columns): the strongest of its quarters, grown by a pixel."""
    grown = cv2.dilate(change, np.ones((3, 3), dtype=np.uint8))
    quarters = cv2.resize(grown, (columns * 2, rows * 2), interpolation=cv2.INTER_AREA)
    return np.asarray(quarters.reshape(rows, 2, columns, 2).max(axis=(1, 3)), dtype=np.float32)


def spoiled_copies(image: Image, number: int, copies: int) -> Iterator[tuple[Image, F32]]:
    """Synthetic images of one, each with its change as `spoil` has it. `number` is the image's own among
    all that are taught: what the defects are drawn from."""
    for copy in range(copies):
        yield spoil(image, np.random.default_rng((number, copy)))


def detail_change(change: F32, rows: int, columns: int) -> F32:
    """The mean change within each cell of a map (rows, columns)."""
    return np.asarray(cv2.resize(change, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _resize(image: F32, size: tuple[int, int]) -> F32:
    """float32 (height, width, channels) to `size` (width, height)."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    shrinks = size[0] < image.shape[1]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized.reshape(size[1], size[0], image.shape[2]), dtype=np.float32)


class _Painter:
    """Changes `image` (height, width, channels) in place; lengths are shares of its short side."""

    def __init__(self, image: F32, rng: np.random.Generator) -> None:
        self.source = image
        self.image = image.copy()
        self._rng = rng
        self._height, self._width = image.shape[:2]
        self._unit = min(self._height, self._width)
        self._y, self._x = np.mgrid[0 : self._height, 0 : self._width].astype(np.float32)

    def curve(self) -> None:
        """A thin bent line, dark or bright, half of them with an edge of the opposite sign."""
        rng = self._rng
        x, y = self._place()
        contrast, length = self._contrast(), rng.uniform(0.03, 0.25) * self._unit
        direction, along = rng.uniform(0, 2 * np.pi), np.linspace(-0.5, 0.5, 16)
        angle = direction + rng.uniform(-1, 1) * along
        points = np.stack([x + along * length * np.cos(angle), y + along * length * np.sin(angle)], 1)
        field = contrast * self._line(points, int(rng.integers(1, 4)))
        if rng.random() < 0.5:
            normal = np.array([-np.sin(direction), np.cos(direction)]) * rng.uniform(1, 3)
            field -= contrast * rng.uniform(0.3, 1.0) * self._line(points + normal, 1)
        self._add(field)

    def dent(self) -> None:
        """A soft spot, or its derivative: lit from one side, in shade on the other."""
        rng = self._rng
        x, y = self._place()
        sigma, stretch = rng.uniform(0.006, 0.03) * self._unit, rng.uniform(1.0, 2.2)
        turn = rng.uniform(0, np.pi)
        dx, dy = self._x - x, self._y - y
        along = (dx * np.cos(turn) + dy * np.sin(turn)) / stretch
        across = dy * np.cos(turn) - dx * np.sin(turn)
        field = np.exp(-0.5 * (along**2 + across**2) / sigma**2)
        if rng.random() < 0.5:
            light = rng.uniform(0, 2 * np.pi)
            slope = (dx * np.cos(light) + dy * np.sin(light)) / sigma
            field = field * (slope + rng.uniform(-0.5, 0.5))
        self._add(self._contrast() * field)

    def blotch(self) -> None:
        """A stain with a ragged edge."""
        rng = self._rng
        x, y = self._place()
        radius = rng.uniform(0.015, 0.07) * self._unit
        noise = rng.standard_normal((self._height, self._width), dtype=np.float32)
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), max(0.5, radius / 3)), dtype=np.float32)
        noise /= noise.std() + 1e-6
        edge = np.hypot(self._x - x, self._y - y) / radius + 0.5 * noise
        self._add(0.7 * self._contrast() / (1 + np.exp(np.clip((edge - 1) * 7, -30, 30))))

    def patch(self) -> None:
        """A round piece of another place of the same image (CutPaste)."""
        rng = self._rng
        side = max(2, int(rng.uniform(0.02, 0.08) * self._unit))
        x, y = (round(v) for v in self._place())
        from_x = int(rng.integers(side, self._width - side))
        from_y = int(rng.integers(side, self._height - side))
        disc = np.zeros((self._height, self._width), dtype=np.float32)
        cv2.circle(disc, (x, y), max(2, int(side * 0.8)), 1.0, -1)
        disc = np.asarray(cv2.GaussianBlur(disc, (0, 0), 1.0), dtype=np.float32)
        moved = np.roll(self.source, (y - from_y, x - from_x), axis=(0, 1))
        self.image += disc[..., None] * (moved - self.image)

    def _place(self) -> tuple[float, float]:
        x, y = self._rng.uniform(0.05, 0.95, 2)
        return float(x) * self._width, float(y) * self._height

    def _contrast(self) -> float:
        return float(self._rng.uniform(10, 90) * self._rng.choice([-1, 1]))

    def _line(self, points: npt.NDArray[np.float64], thickness: int) -> F32:
        canvas = np.zeros((self._height, self._width), dtype=np.uint8)
        fixed = np.round(points * 16).astype(np.int32)  # sixteenths of a pixel: shift 4
        cv2.polylines(canvas, [fixed], False, 255, thickness, cv2.LINE_AA, 4)
        return canvas.astype(np.float32) / 255.0

    def _add(self, field: npt.NDArray[np.floating]) -> None:
        self.image += field.astype(np.float32)[..., None]
