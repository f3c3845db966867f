"""Two grids in one array: each coarse cell's features are spread over the four fine cells that it covers.

So everything that keeps, orders and splits images handles one array, whatever scales it holds.
"""

from typing import Final

import numpy as np

from inspector.detect.teaching.graph import F32

FINE_DEPTH: Final = 32  # principal axes kept of the 64 features of a fine cell
COARSE_DEPTH: Final = 64  # of the 112 of a coarse one; fewer miss large defects, more drown small ones
_COVERED: Final = 2  # fine cells a coarse one, each way


def pack(fine: F32, coarse: F32) -> F32:
    """(N, rows, columns, D) and (N, rows / 2, columns / 2, K) to (N, rows, columns, D + K / 4)."""
    count, rows, columns, depth = coarse.shape
    part = depth // _COVERED**2
    spread = coarse.reshape(count, rows, columns, _COVERED, _COVERED, part).transpose(0, 1, 3, 2, 4, 5)
    spread = spread.reshape(count, rows * _COVERED, columns * _COVERED, part)
    return np.concatenate([fine, spread], axis=-1)


def unpack(packed: F32, fine_depth: int) -> tuple[F32, F32]:
    """The two arrays that `pack` took, the first of `fine_depth` features."""
    spread = packed[..., fine_depth:]
    count, rows, columns, part = spread.shape
    coarse = spread.reshape(count, rows // _COVERED, _COVERED, columns // _COVERED, _COVERED, part)
    coarse = coarse.transpose(0, 1, 3, 2, 4, 5)
    shape = (count, rows // _COVERED, columns // _COVERED, part * _COVERED**2)
    return packed[..., :fine_depth], coarse.reshape(shape)


def packed_depth(fine: int, coarse: int) -> int:
    """How many features a cell of the packed array has."""
    return fine + coarse // _COVERED**2
