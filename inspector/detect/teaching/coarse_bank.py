"""Where a part is abnormal that lies somewhere else in every image: patches, compared with good ones.

A Gaussian at every cell asks whether this place looks as usual. Where the place says little of how it
looks, that question hides real defects; here a cell of 8 pixels with its surroundings of 80 is compared with
those of good parts from anywhere, of which a thousand cover all (after PatchCore, Roth et al., 2022;
docs/decisions/059).
"""

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.teaching.bank import coreset
from inspector.detect.teaching.graph import F32, GraphBuilder, doubled, smoothed, twice
from inspector.detect.teaching.peaks import blur_kernel

PATCHES: Final = 1000
_CANDIDATES: Final = 8000  # the coreset is chosen from at most that many
_AT_ONCE: Final = 250  # patches that are compared at once: more would not stay in a core's cache
_LEAST_EXPLAINED: Final = 0.5  # of the variance, by the place: below it parts lie anywhere
_BLUR: Final = blur_kernel(0.7)
_LEAST: Final = 0.01  # a distance: below it there is only the rounding of sums that nearly cancel
_SURROUNDINGS: Final = 2  # averages over 3 x 3 cells of 16 pixels, one after the other: 5 x 5 with weights


def lies_anywhere(coarse: F32) -> bool:
    """Whether the place of a cell says less than half of how good parts look there.

    `coarse` are features (N, rows, columns, K) of good images, two or more. How far one more image would lie
    from their mean at the same cell is compared with how far from the mean of all cells.
    """
    count, depth = len(coarse), coarse.shape[-1]
    total = float(coarse.reshape(-1, depth).var(axis=0).sum())
    within = float(coarse.var(axis=0).reshape(-1, depth).mean(axis=0).sum())
    left = within * (count + 1) / (count - 1)  # the mean is known from that many images only
    return left > (1.0 - _LEAST_EXPLAINED) * total


@dataclass(frozen=True, slots=True)
class CoarseBank:
    """`patches` (M, D + K): fine features of a cell, and the coarse ones of its surroundings times `scale`.
    `origin` (M,): the image that each is from."""

    patches: F32
    origin: npt.NDArray[np.int64]
    scale: float

    @staticmethod
    def fit(fine: F32, coarse: F32) -> "CoarseBank":
        """Fit to features of good images, (N, rows, columns, D) and (N, rows / 2, columns / 2, K).

        Deterministic.
        """
        own = coarse.reshape(-1, coarse.shape[-1]).var(axis=0).sum()
        averaged = np.stack([_surroundings(image) for image in coarse])
        averaged = averaged.reshape(-1, averaged.shape[-1]).var(axis=0).sum()
        scale = float(np.sqrt(own / max(averaged, 1e-9)))  # an average varies less, and counts as much
        count, rows, columns, _ = fine.shape
        candidates = np.arange(count * rows * columns)
        if len(candidates) > _CANDIDATES:
            candidates = np.random.default_rng(0).choice(len(candidates), _CANDIDATES, replace=False)
        origin, place = np.divmod(candidates, rows * columns)
        cells = np.empty((len(candidates), fine.shape[-1] + coarse.shape[-1]), dtype=np.float32)
        for image in range(count):  # all cells of one image at a time: of all images they would be gigabytes
            every = _cells(fine[image], scale * _surroundings(coarse[image])).reshape(rows * columns, -1)
            cells[origin == image] = every[place[origin == image]]
        chosen = coreset(cells, min(PATCHES, len(cells)))
        return CoarseBank(cells[chosen], origin[chosen], scale)

    def without(self, image: int) -> "CoarseBank":
        """What is left without the patches of one image."""
        left = self.origin != image
        return replace(self, patches=self.patches[left], origin=self.origin[left])

    def map(self, fine: F32, coarse: F32) -> F32:
        """Smoothed distances of one image's cells to the nearest patch over sqrt(D + K), (rows, columns)."""
        cells = _cells(fine, self.scale * _surroundings(coarse))
        flat = cells.reshape(-1, cells.shape[-1])
        squares = flat @ (-2.0 * self.patches.T) + (self.patches**2).sum(axis=1)
        nearest = squares.min(axis=1) + (flat**2).sum(axis=1)
        distance = np.sqrt(np.maximum(nearest / flat.shape[1], _LEAST**2)).reshape(fine.shape[:2])
        smooth = cv2.filter2D(distance, -1, _BLUR, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(smooth, dtype=np.float32)

    def add_to(self, graph: GraphBuilder, fine: str, coarse: str, grid: tuple[int, int]) -> str:
        """The same as `map` inside the graph, on (1, D, rows, columns) and (1, K, rows / 2, columns / 2).

        Returns (1, 1, rows, columns).
        """
        for _ in range(_SURROUNDINGS):
            coarse = graph.add(
                "AveragePool", coarse,
                kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1], count_include_pad=1,
            )  # fmt: skip
        around = doubled(graph, graph.add("Mul", coarse, graph.number(self.scale)))
        cells = graph.add("Concat", fine, around, axis=1)
        nearest = [
            graph.add("ReduceMin", self._products(graph, cells, first), axes=[1], keepdims=1)
            for first in range(0, len(self.patches), _AT_ONCE)
        ]
        least = graph.add("Min", *nearest) if len(nearest) > 1 else nearest[0]
        own = graph.add("ReduceSumSquare", cells, axes=[1], keepdims=1)
        each = graph.number(1.0 / self.patches.shape[1])
        mean = graph.add("Mul", graph.add("Add", least, own), each)
        distance = graph.add("Sqrt", graph.add("Max", mean, graph.number(_LEAST**2)))
        return smoothed(graph, distance, *grid, _BLUR)

    def _products(self, graph: GraphBuilder, cells: str, first: int) -> str:
        """A patch's squared distance from each cell, less the cell's own square, for some of the patches."""
        patches = self.patches[first : first + _AT_ONCE]
        kernel = graph.constant(np.ascontiguousarray(-2.0 * patches[:, :, None, None]))
        squares = graph.constant((patches**2).sum(axis=1))
        return graph.add("Conv", cells, kernel, squares, kernel_shape=[1, 1])


def _cells(fine: F32, around: F32) -> F32:
    """What patches are made of: (rows, columns, D) beside (rows / 2, columns / 2, K) scaled up."""
    return np.concatenate([fine, twice(around)], axis=-1)


def _surroundings(coarse: F32) -> F32:
    """Two averages over 3 x 3 cells, one after the other.

    Beyond the edge there is nothing, so that cells at the edge are of a kind of their own. Without
    this they score high on every good part.
    """
    rows, columns = coarse.shape[:2]
    for _ in range(_SURROUNDINGS):
        padded = np.pad(coarse, ((1, 1), (1, 1), (0, 0)))
        places = [
            padded[row : row + rows, column : column + columns] for row in range(3) for column in range(3)
        ]
        coarse = np.asarray(np.sum(places, axis=0) / len(places), dtype=np.float32)
    return coarse
