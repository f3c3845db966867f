"""Where exactly a part is abnormal: a look at half the cell size, and one at cells of twice the size.

What ranks parts (two_scales.py) is averaged over 3 x 3 cells, which blurs a map. Here features of 4 and 8
pixels stand at 4, not averaged: each cell's own mean, and one whitening that all cells share, so that it
costs little to learn, keep and compute. Beside them a Gaussian at every cell of 16 pixels, not averaged
either, or, where parts lie anywhere, a bank of large patches (coarse_bank.py). The map is the geometric mean
of both distances: a defect is an island in each. Where the bank counts more, its distance is raised and
detail's is not lowered, so that defects stay as far over the limit of the score as the Gaussians' do.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.teaching.coarse_bank import CoarseBank, lies_anywhere, spread
from inspector.detect.teaching.gaussian import GaussianScorer
from inspector.detect.teaching.graph import F32, SCORE_MAP, GraphBuilder

PER_CELL: Final = 2  # detail cells a grid cell, each way
_RIDGE: Final = 0.05  # added variance, of features scaled to unit variance


def add_detail_features(graph: GraphBuilder, levels: dict[str, str]) -> str:
    """Features of half the grid's cell size, (1, 64, 2 rows, 2 columns)."""
    coarse = _doubled(graph, levels["stride8"])
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


@dataclass(frozen=True, slots=True)
class FineMap:
    """Both parts of the map; `coarse` scores the cells of 16 pixels, and counts `weight` times as much."""

    detail: Detail
    coarse: GaussianScorer | CoarseBank
    weight: float = 1.0

    @staticmethod
    def fit(detail: Detail, fine: F32, coarse: F32) -> "FineMap":
        """Fit to projected features of good images (N, rows, columns, D), (N, rows / 2, columns / 2, K)."""
        if lies_anywhere(coarse):
            return FineMap(detail, CoarseBank.fit(coarse), spread(fine))
        return FineMap(detail, GaussianScorer.fit(coarse, correlated=False))

    def map(self, detail: F32, coarse: F32) -> F32:
        """(2 rows, 2 columns) of one image, from its features of half the grid's cell size (2 rows,
        2 columns, C) and the projected ones (rows / 2, columns / 2, K)."""
        if isinstance(self.coarse, CoarseBank):
            other = _twice(self.coarse.maps(coarse[None])[0])
        else:
            other = np.linalg.norm(_twice(self.coarse.residuals(coarse[None])[0]), axis=-1)
        product = np.sqrt(self.detail.maps(detail)) * _twice(other) ** (self.weight / 2.0)
        return np.asarray(product, dtype=np.float32)

    def add_to(self, graph: GraphBuilder, levels: dict[str, str], coarse: str, grid: tuple[int, int]) -> None:
        """The same as `map` inside the graph: makes the output score_map (2 rows, 2 columns).

        From the backbone's `levels` and projected features `coarse` (1, K, rows / 2, columns / 2).
        """
        rows, columns = grid
        own = self.detail.add_to(graph, add_detail_features(graph, levels))
        other = _doubled(graph, self._distance(graph, coarse, (rows // 2, columns // 2)))
        product = graph.add(
            "Mul", graph.add("Sqrt", own), graph.add("Pow", other, graph.number(self.weight / 2.0))
        )
        size = graph.integers(PER_CELL * rows, PER_CELL * columns)
        graph.add("Reshape", product, size, name=SCORE_MAP)

    def _distance(self, graph: GraphBuilder, coarse: str, grid: tuple[int, int]) -> str:
        """What `coarse` says, (1, 1, rows, columns).

        Between the Gaussians' cells the residuals are scaled up, not their length, which would lose where
        between two of them a defect lies.
        """
        if isinstance(self.coarse, CoarseBank):
            return _doubled(graph, self.coarse.add_to(graph, coarse, grid))
        residuals = graph.add("Transpose", self.coarse.add_residuals(graph, coarse), perm=[1, 0])
        depth = self.coarse.mean.shape[1]
        residuals = graph.add("Reshape", residuals, graph.integers(1, depth, *grid))
        return graph.add("ReduceL2", _doubled(graph, residuals), axes=[1], keepdims=1)


def _twice(cells: F32) -> F32:
    """The same as `_doubled`, of (rows, columns) or (rows, columns, C)."""
    size = (PER_CELL * cells.shape[1], PER_CELL * cells.shape[0])
    return np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _doubled(graph: GraphBuilder, value: str) -> str:
    scales = graph.constant(np.array([1, 1, PER_CELL, PER_CELL], dtype=np.float32))
    return graph.add("Resize", value, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
