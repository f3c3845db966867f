"""Scoring by a Gaussian at every grid cell: for parts that lie alike under a fixed camera.

After PaDiM (Defard et al., 2020), with the covariance of each cell shrunk towards the one that all
cells share, so that a handful of images suffices.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from inspector.detect.teaching.graph import F32, GraphBuilder

PRIOR_IMAGES: Final = 20.0  # the shared covariance counts as that many images
_RIDGE: Final = 0.05  # added variance, of features scaled to unit variance


@dataclass(frozen=True, slots=True)
class GaussianScorer:
    """`mean` (P, D); `whitening` (P, D, D), rounded to float16 as it is stored."""

    mean: F32
    whitening: npt.NDArray[np.float16]

    name = "gaussian"

    @staticmethod
    def fit(features: F32, *, correlated: bool = True) -> "GaussianScorer":
        """Fit to features of good images, (N, rows, columns, D).

        What a cell's few images leave open comes from the covariance that all cells share; unless
        `correlated`, from its variances alone. Its correlations help small cells, of which all parts of an
        image show many; of large cells they say how one scene changes with light or dirt, and turning that
        off hid real defects where a cell had five images to learn from.
        """
        count, rows, columns, depth = features.shape
        cells = features.reshape(count, rows * columns, depth).transpose(1, 0, 2)
        mean = cells.mean(axis=1)
        centred = cells - mean[:, None]
        scatter = np.matmul(centred.transpose(0, 2, 1), centred)
        shared = scatter.mean(axis=0) / max(count - 1, 1)
        if not correlated:
            shared = np.diag(np.diag(shared))
        covariance = (scatter + PRIOR_IMAGES * shared) / (count - 1 + PRIOR_IMAGES)
        covariance += _RIDGE * np.eye(depth, dtype=np.float32)
        whitening = np.linalg.cholesky(np.linalg.inv(covariance)) / np.sqrt(depth)
        return GaussianScorer(mean.astype(np.float32), whitening.astype(np.float16))

    def residuals(self, features: F32) -> F32:
        """Whitened residuals (N, rows, columns, D) over sqrt(D): 1 is a usual length."""
        count, rows, columns, depth = features.shape
        whitening = self.whitening.astype(np.float32)
        result = np.empty((count, rows * columns, depth), dtype=np.float32)
        for index, image in enumerate(features.reshape(count, rows * columns, depth)):
            result[index] = np.matmul((image - self.mean)[:, None], whitening)[:, 0]
        return result.reshape(features.shape)

    def maps(self, features: F32) -> F32:
        """Scores of each cell, (N, rows, columns): Mahalanobis distance over sqrt(D)."""
        distances = [np.linalg.norm(self.residuals(image[None])[0], axis=-1) for image in features]
        return np.stack(distances).astype(np.float32)

    def add_residuals(self, graph: GraphBuilder, projected: str) -> str:
        """The same as `residuals`, on (1, D, rows, columns) inside the graph. Returns (P, D)."""
        cells, depth = self.mean.shape
        value = graph.add("Reshape", projected, graph.integers(depth, cells))
        value = graph.add("Transpose", value, perm=[1, 0])
        value = graph.add("Sub", value, graph.constant(self.mean))
        value = graph.add("Reshape", value, graph.integers(cells, 1, depth))
        whitening = graph.add("Cast", graph.constant(self.whitening), to=1)
        value = graph.add("MatMul", value, whitening)
        return graph.add("Reshape", value, graph.integers(cells, depth))

    def add_to(self, graph: GraphBuilder, projected: str) -> str:
        """The same as `maps`, on (1, D, rows, columns) inside the graph. Returns P scores."""
        residuals = self.add_residuals(graph, projected)
        return graph.add("ReduceL2", residuals, axes=[1], keepdims=0)
