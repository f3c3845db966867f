"""Where a part is abnormal that lies somewhere else in every image: large patches, compared with good ones.

A Gaussian at every cell asks whether this place looks as usual. Where the place says little of how it
looks, that question hides real defects; here a patch of 16 pixels with its surroundings of 80 is compared
with patches of good parts from anywhere, of which a few hundred cover all (after PatchCore, Roth et al.,
2022; docs/decisions/055).
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from inspector.detect.teaching.bank import coreset
from inspector.detect.teaching.graph import F32, GraphBuilder, smoothed
from inspector.detect.teaching.peaks import blur_kernel

PATCHES: Final = 500
_CANDIDATES: Final = 8000  # the coreset is chosen from at most that many
_LEAST_EXPLAINED: Final = 0.5  # of the variance, by the place: below it parts lie anywhere
_BLUR: Final = blur_kernel(1.0)
_SURROUNDINGS: Final = 2  # averages over 3 x 3 cells, one after the other: 5 x 5 with weights


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


def spread(fine: F32) -> float:
    """How much wider good parts' distances in fine detail spread than those of a Gaussian would; 1 or more.

    `fine` are features (N, rows, columns, D). The logarithm of the length of a Gaussian vector of D features
    has a standard deviation of about 1 / sqrt(2 D). On even material good parts come near that; on material
    with edges and grain of its own, detail says less, and the coarse map counts that much more. A cell
    counts by its squared distance: a background that is the same in every image, to the last bit, has no say.
    """
    depth = fine.shape[-1]
    residuals = (fine - fine.mean(axis=0)).reshape(len(fine), -1, depth)
    products = np.sum([image.T.astype(np.float64) @ image for image in residuals], axis=0)
    inverse = np.linalg.inv(products / residuals[..., 0].size + 1e-6 * np.eye(depth))
    squares = np.stack(
        [np.einsum("ij,jk,ik->i", image, inverse, image, optimize=True) for image in residuals]
    )
    squares = np.maximum(squares, 1e-6)
    lengths = 0.5 * np.log(squares)
    deviation = np.average((lengths - np.average(lengths, weights=squares)) ** 2, weights=squares) ** 0.5
    return max(1.0, float(deviation) * math.sqrt(2.0 * depth))


@dataclass(frozen=True, slots=True)
class CoarseBank:
    """`patches` (M, 2 K): features of a cell, and those of its surroundings times `scale`."""

    patches: F32
    scale: float

    @staticmethod
    def fit(coarse: F32) -> "CoarseBank":
        """Fit to features of good images, (N, rows, columns, K). Deterministic."""
        around = np.stack([_surroundings(image) for image in coarse])
        depth = coarse.shape[-1]
        own, averaged = (x.reshape(-1, depth).var(axis=0).sum() for x in (coarse, around))
        scale = float(np.sqrt(own / max(averaged, 1e-9)))  # an average varies less, and counts as much
        cells = np.concatenate([coarse, scale * around], axis=-1).reshape(-1, 2 * depth)
        if len(cells) > _CANDIDATES:
            cells = cells[np.random.default_rng(0).choice(len(cells), _CANDIDATES, replace=False)]
        return CoarseBank(coreset(cells, min(PATCHES, len(cells))).astype(np.float32), scale)

    def maps(self, coarse: F32) -> F32:
        """Smoothed distances to the nearest patch over sqrt(2 K), (N, rows, columns)."""
        result = np.empty(coarse.shape[:3], dtype=np.float32)
        for index, image in enumerate(coarse):
            cells = np.concatenate([image, self.scale * _surroundings(image)], axis=-1)
            flat = cells.reshape(-1, cells.shape[-1])
            squares = flat @ (-2.0 * self.patches.T) + (self.patches**2).sum(axis=1)
            nearest = squares.min(axis=1) + (flat**2).sum(axis=1)
            distance = np.sqrt(np.maximum(nearest, 0.0) / flat.shape[1]).reshape(image.shape[:2])
            result[index] = cv2.filter2D(distance, -1, _BLUR, borderType=cv2.BORDER_REPLICATE)
        return result

    def add_to(self, graph: GraphBuilder, coarse: str, grid: tuple[int, int]) -> str:
        """The same as `maps`, on (1, K, rows, columns) inside the graph. Returns (1, 1, rows, columns)."""
        rows, columns = grid
        around = coarse
        for _ in range(_SURROUNDINGS):
            around = graph.add("AveragePool", around, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
        both = graph.add("Concat", coarse, graph.add("Mul", around, graph.number(self.scale)), axis=1)
        depth = self.patches.shape[1]
        cells = graph.add("Reshape", both, graph.integers(depth, rows * columns))
        products = graph.add("MatMul", graph.constant(-2.0 * self.patches), cells)
        squares = (self.patches**2).sum(axis=1, keepdims=True)
        nearest = graph.add(
            "ReduceMin", graph.add("Add", products, graph.constant(squares)), axes=[0], keepdims=0
        )
        own = graph.add("ReduceSumSquare", cells, axes=[0], keepdims=0)
        total = graph.add("Max", graph.add("Add", nearest, own), graph.number(0.0))
        distance = graph.add("Sqrt", graph.add("Mul", total, graph.number(1.0 / depth)))
        return smoothed(graph, distance, rows, columns, _BLUR)


def _surroundings(image: F32) -> F32:
    """Two averages over 3 x 3 cells, one after the other, at the edge over those that there are."""
    there = np.pad(np.ones(image.shape[:2], dtype=np.float32), 1)
    rows, columns = image.shape[:2]
    places = [(row, column) for row in range(3) for column in range(3)]
    counts = np.sum([there[r : r + rows, c : c + columns] for r, c in places], axis=0)
    for _ in range(_SURROUNDINGS):
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
        total = np.sum([padded[r : r + rows, c : c + columns] for r, c in places], axis=0)
        image = np.asarray(total / counts[..., None], dtype=np.float32)
    return image
