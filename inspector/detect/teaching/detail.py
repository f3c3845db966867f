"""Where exactly a part is abnormal: a look at half the cell size of the grid.

What ranks parts (two_scales.py) is averaged over 3 x 3 cells, which blurs a map. Here features of 4 and 8
pixels stand at 4, not averaged: each cell's own mean, and one whitening that all cells share, so that it
costs little to learn, keep and compute.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from inspector.detect.teaching.graph import F32, GraphBuilder, doubled

PER_CELL: Final = 2  # detail cells a grid cell, each way
_RIDGE: Final = 0.05  # added variance, of features scaled to unit variance


def add_detail_features(graph: GraphBuilder, levels: dict[str, str]) -> str:
    """Features of half the grid's cell size, (1, 64, 2 rows, 2 columns)."""
    coarse = doubled(graph, levels["stride8"])
    return graph.add("Concat", levels["stride4"], coarse, axis=1)


@dataclass(frozen=True, slots=True)
class DetailSums:
    """All that is kept of good images: how many, each cell's sum (rows, columns, C), and the sum of the
    products of all cells (C, C). Sums of more images add up to those of all of them."""

    count: int
    total: npt.NDArray[np.float64]
    products: npt.NDArray[np.float64]

    @staticmethod
    def of(images: Iterable[F32]) -> "DetailSums":
        """Sums over features (rows, columns, C) of at least one image, one after the other."""
        count, products = 0, None
        total: npt.NDArray[np.float64] | None = None
        for features in images:
            flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
            products = flat.T @ flat if products is None else products + flat.T @ flat
            total = features.astype(np.float64) if total is None else total + features
            count += 1
        assert total is not None
        assert products is not None
        return DetailSums(count, total, products)

    def __add__(self, other: "DetailSums") -> "DetailSums":
        return DetailSums(self.count + other.count, self.total + other.total, self.products + other.products)

    def without(self, features: F32) -> npt.NDArray[np.float16]:
        """`Detail.mean` of all images but the one with these features."""
        mean = (self.total - features) / (self.count - 1)
        return mean.transpose(2, 0, 1).astype(np.float16)

    def fit(self) -> "Detail":
        """The same as `Detail.fit` of all the images, at least two."""
        count, products = self.count, self.products
        mean = self.total / count
        cells = mean.reshape(-1, mean.shape[-1])
        depth = cells.shape[1]
        variance = np.diag(products) / (count * len(cells)) - cells.mean(axis=0) ** 2
        scale = 1.0 / np.sqrt(np.maximum(variance, 1e-6))
        within = (products - count * (cells.T @ cells)) / (len(cells) * max(count - 1, 1))
        within = within * scale[:, None] * scale + _RIDGE * np.eye(depth)
        whitening = np.linalg.cholesky(np.linalg.inv(within)).T * scale / np.sqrt(depth)
        return Detail(mean.transpose(2, 0, 1).astype(np.float16), whitening.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Detail:
    """`mean` (C, rows, columns); `whitening` (C, C), applied as whitening @ x, over sqrt(C)."""

    mean: npt.NDArray[np.float16]
    whitening: F32

    @staticmethod
    def fit(images: Iterable[F32]) -> "Detail":
        """Fit to features (rows, columns, C) of good images, at least two, one after the other."""
        return DetailSums.of(images).fit()

    def maps(self, features: F32) -> F32:
        """Whitened distance of each cell (rows, columns, C) from its mean; 1 is a usual length."""
        residual = features - self.mean.astype(np.float32).transpose(1, 2, 0)
        return np.asarray(np.linalg.norm(residual @ self.whitening.T, axis=-1), dtype=np.float32)

    def add_to(self, graph: GraphBuilder, features: str) -> str:
        """The same as `maps`, on (1, C, rows, columns) inside the graph. Returns (1, 1, rows, columns)."""
        mean = graph.add("Cast", graph.constant(self.mean[None]), to=1)
        residual = graph.add("Sub", features, mean)
        kernel = graph.constant(np.ascontiguousarray(self.whitening[:, :, None, None]))
        white = graph.add("Conv", residual, kernel, kernel_shape=[1, 1])
        return graph.add("ReduceL2", white, axes=[1], keepdims=1)
