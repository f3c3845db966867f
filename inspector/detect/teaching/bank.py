"""Scoring by the distance to the nearest remembered patch: for parts that lie anywhere.

After PatchCore (Roth et al., 2022), with the greedy coreset on the projected features.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from inspector.detect.teaching.graph import F32, GraphBuilder

BANK_SIZE: Final = 2000
_CANDIDATES: Final = 40_000  # the coreset is chosen from at most that many patches


@dataclass(frozen=True, slots=True)
class BankScorer:
    """`bank` (M, D): patches of good images that cover all of them."""

    bank: F32

    name = "bank"

    @staticmethod
    def fit(features: F32) -> "BankScorer":
        """Fit to features of good images, (N, rows, columns, D). Deterministic."""
        patches = features.reshape(-1, features.shape[-1])
        rng = np.random.default_rng(0)
        if len(patches) > _CANDIDATES:
            patches = patches[rng.choice(len(patches), _CANDIDATES, replace=False)]
        return BankScorer(patches[coreset(patches, min(BANK_SIZE, len(patches)))])

    def maps(self, features: F32) -> F32:
        """Scores of each cell, (N, rows, columns): distance to the nearest patch over sqrt(D)."""
        depth = features.shape[-1]
        matrix, squares = -2.0 * self.bank.T, (self.bank**2).sum(axis=1)
        result = np.empty(features.shape[:3], dtype=np.float32)
        for index, image in enumerate(features):
            cells = image.reshape(-1, depth)
            nearest = (cells @ matrix + squares).min(axis=1) + (cells**2).sum(axis=1)
            result[index] = np.sqrt(np.maximum(nearest, 0) / depth).reshape(image.shape[:2])
        return result

    def add_to(self, graph: GraphBuilder, projected: str) -> str:
        """The same as `maps`, on (1, D, rows, columns) inside the graph. Returns P scores."""
        count, depth = self.bank.shape
        value = graph.add("Reshape", projected, graph.integers(depth, -1))
        cells = graph.add("Transpose", value, perm=[1, 0])
        products = graph.add("MatMul", cells, graph.constant(-2.0 * self.bank.T))
        squares = (self.bank**2).sum(axis=1).reshape(1, count)
        distances = graph.add("Add", products, graph.constant(squares))
        nearest = graph.add("ReduceMin", distances, axes=[1], keepdims=0)
        own = graph.add("ReduceSumSquare", cells, axes=[1], keepdims=0)
        total = graph.add("Add", nearest, own)
        total = graph.add("Max", total, graph.number(0.0))
        return graph.add("Sqrt", graph.add("Mul", total, graph.number(1.0 / depth)))


def coreset(patches: F32, count: int) -> npt.NDArray[np.int64]:
    """Greedy k-centre (Sener and Savarese, 2018): each pick is farthest from those before it.

    Returns indices.
    """
    distance = np.full(len(patches), np.inf, dtype=np.float32)
    squares = (patches**2).sum(axis=1)
    chosen = np.empty(count, dtype=np.int64)
    pick = 0
    for index in range(count):
        chosen[index] = pick
        new = squares - 2.0 * (patches @ patches[pick]) + squares[pick]
        np.minimum(distance, new, out=distance)
        pick = int(distance.argmax())
    return chosen
