"""The map of a part: detail (detail.py) and a look at larger cells, each where it tells something.

Where parts lie alike, the other half is a Gaussian at every cell of 16 pixels, and the map is the geometric
mean of both: a defect is an island in each. Where they lie anywhere it is a bank of patches
(coarse_bank.py), and made-up defects tell how much each half counts (balance.py).
"""

from dataclasses import dataclass, replace

import numpy as np

from inspector.detect.teaching.balance import Balance, Rehearsal, find_balance
from inspector.detect.teaching.coarse_bank import CoarseBank, lies_anywhere
from inspector.detect.teaching.detail import PER_CELL, Detail, add_detail_features
from inspector.detect.teaching.gaussian import GaussianScorer
from inspector.detect.teaching.graph import F32, SCORE_MAP, GraphBuilder, doubled, twice
from inspector.detect.teaching.held_out import Fitted
from inspector.detect.teaching.packing import FINE_DEPTH, unpack
from inspector.detect.teaching.synthetic import Synthetic


@dataclass(frozen=True, slots=True)
class FineMap:
    """`coarse` is None where detail counts alone, `detail` where the bank does."""

    detail: Detail | None
    coarse: GaussianScorer | CoarseBank | None
    balance: Balance

    @staticmethod
    def fit(
        detail: Detail,
        good: F32,
        synthetic: Synthetic,
        rehearsal: Rehearsal,
        fitted: Fitted,
    ) -> "FineMap":
        """Fit to packed features of good images (N, rows, columns, D + K / 4), two or more.

        `fitted` has held-out scores of these and of the synthetic images.
        """
        fine, coarse = unpack(good, FINE_DEPTH)
        if not lies_anywhere(coarse):
            return FineMap(detail, GaussianScorer.fit(coarse, correlated=False), Balance())
        bank = CoarseBank.fit(fine, coarse)
        made_up = zip(*unpack(synthetic.features, FINE_DEPTH), strict=True)
        balance = find_balance(
            rehearsal,
            [
                twice(bank.without(image).map(*both))
                for image, both in enumerate(zip(fine, coarse, strict=True))
            ],
            [
                twice(bank.without(image).map(*both))
                for image, both in zip(synthetic.origin, made_up, strict=True)
            ],
            fitted.good_scores,
            fitted.synthetic_scores,
        )
        both = FineMap(detail, bank, balance)
        if not balance.coarse_power:
            return replace(both, coarse=None)
        return both if balance.detail_power else replace(both, detail=None)

    def map(self, detail: F32, fine: F32, coarse: F32) -> F32:
        """(2 rows, 2 columns) of one image, from its features of half the grid's cell size (2 rows,
        2 columns, C) and the projected ones (rows, columns, D) and (rows / 2, columns / 2, K)."""
        shape = detail.shape[:2]
        own = other = np.ones(shape, dtype=np.float32)
        if self.detail is not None:
            own = self.detail.maps(detail)
        if isinstance(self.coarse, CoarseBank):
            other = twice(self.coarse.map(fine, coarse))
        elif self.coarse is not None:
            other = twice(np.linalg.norm(twice(self.coarse.residuals(coarse[None])[0]), axis=-1))
        return self.balance.of(own, other)

    def add_to(
        self, graph: GraphBuilder, levels: dict[str, str], fine: str, coarse: str, grid: tuple[int, int]
    ) -> None:
        """The same as `map` inside the graph: makes the output score_map (2 rows, 2 columns).

        From the backbone's `levels` and projected features (1, D, rows, columns) and (1, K, rows / 2,
        columns / 2).
        """
        rows, columns = grid
        own = other = None
        if self.detail is not None:
            own = self.detail.add_to(graph, add_detail_features(graph, levels))
        if isinstance(self.coarse, CoarseBank):
            other = doubled(graph, self.coarse.add_to(graph, fine, coarse, grid))
        elif self.coarse is not None:
            other = doubled(graph, _gaussians(graph, self.coarse, coarse, (rows // 2, columns // 2)))
        size = graph.integers(PER_CELL * rows, PER_CELL * columns)
        graph.add("Reshape", self.balance.add_to(graph, own, other), size, name=SCORE_MAP)


def _gaussians(graph: GraphBuilder, scorer: GaussianScorer, coarse: str, grid: tuple[int, int]) -> str:
    """Distances, (1, 1, 2 rows, 2 columns), from (1, K, rows, columns).

    Between the Gaussians' cells the residuals are scaled up, not their length, which would lose where
    between two of them a defect lies.
    """
    residuals = graph.add("Transpose", scorer.add_residuals(graph, coarse), perm=[1, 0])
    residuals = graph.add("Reshape", residuals, graph.integers(1, scorer.mean.shape[1], *grid))
    return graph.add("ReduceL2", doubled(graph, residuals), axes=[1], keepdims=1)
