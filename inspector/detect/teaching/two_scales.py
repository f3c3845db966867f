"""A fine and a coarse look at a part: small flaws show in cells of 8 pixels, a piece that is missing in 16.

Each scale has a Gaussian at every cell. The image's score is the geometric mean of the highest places of
both maps: neither scale alone ranks both kinds of defect (docs/decisions/042).
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from inspector.detect.risk.calibration import Floats
from inspector.detect.teaching.gaussian import GaussianScorer
from inspector.detect.teaching.graph import F32, SCORE, GraphBuilder, smoothed
from inspector.detect.teaching.packing import FINE_DEPTH, unpack
from inspector.detect.teaching.peaks import blur_kernel, peaks

_REACH: Final = 3  # coarse cells, each way, that are averaged: a part lies some pixels off in every image
_COARSE_BLUR: Final = blur_kernel(0.7)


@dataclass(frozen=True, slots=True)
class TwoScales:
    """`fine` for cells of 8 pixels, `coarse` for the averages over 3 x 3 cells of 16."""

    fine: GaussianScorer
    coarse: GaussianScorer

    name = "gaussian"

    @staticmethod
    def fit(features: F32) -> "TwoScales":
        """Fit to packed features of good images, (N, rows, columns, D), rows and columns even."""
        fine, coarse = unpack(features, FINE_DEPTH)
        return TwoScales(GaussianScorer.fit(fine), GaussianScorer.fit(_averaged(coarse), correlated=False))

    def scores(self, features: F32, blur: F32) -> Floats:
        """Scores of images (N,) from packed features; `blur` smooths the fine map."""
        fine, coarse = unpack(features, FINE_DEPTH)
        coarse_peaks = peaks(self.coarse.maps(_averaged(coarse)), _COARSE_BLUR)
        return np.sqrt(peaks(self.fine.maps(fine), blur) * coarse_peaks)

    def add_score(
        self, graph: GraphBuilder, fine: str, coarse: str, grid: tuple[int, int], blur: F32
    ) -> None:
        """The same as `scores`, on (1, D, rows, columns) and (1, K, rows / 2, columns / 2) inside the graph.

        `grid` is (rows, columns). Makes the output score ().
        """
        rows, columns = grid
        fine_map = self.fine.add_to(graph, fine)
        averaged = graph.add(
            "AveragePool", coarse, kernel_shape=[_REACH, _REACH], pads=[1, 1, 1, 1], strides=[1, 1]
        )
        coarse_map = self.coarse.add_to(graph, averaged)
        highest = [
            graph.add("ReduceMax", smoothed(graph, *one), keepdims=0)
            for one in (
                (fine_map, rows, columns, blur),
                (coarse_map, rows // 2, columns // 2, _COARSE_BLUR),
            )
        ]
        graph.add("Sqrt", graph.add("Mul", *highest), name=SCORE)


def _averaged(cells: F32) -> F32:
    """The mean over 3 x 3 cells of each, at the edge over those that there are; (N, rows, columns, K)."""
    size, edge = (_REACH, _REACH), cv2.BORDER_CONSTANT
    there = cv2.boxFilter(np.ones(cells.shape[1:3], np.float32), -1, size, normalize=False, borderType=edge)
    result = np.empty_like(cells)
    for index, image in enumerate(cells):
        total = cv2.boxFilter(image, -1, size, normalize=False, borderType=edge)
        result[index] = total.reshape(image.shape) / there[..., None]
    return result
