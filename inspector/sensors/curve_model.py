"""How far a curve (torque over angle, force over way) lies from good ones: one Gaussian. Pure.

A curve becomes `POINTS` values at even steps of its way, and its lowest, highest and spread. Each is
scaled by the good curves' median and spread, and compressed, since a stuck screw is many spreads off.
The squared Mahalanobis distance under the good curves' covariance, shrunk towards a sphere, is what
is abnormal (Ledoit and Wolf 2004 for why it is shrunk). 1.0 is what 99 % of good curves stay below,
each measured by a model that was taught without it.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from inspector.errors import DataError

POINTS = 32
SHRINK = 0.05
FOLDS = 5
LEAST = 30  # good curves; with fewer the covariance says more of chance than of screws
QUANTILE = 0.99

Floats = npt.NDArray[np.float64]


class CurveModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A taught model. `precision` is the inverse covariance, row by row; `unit_distance` the score 1.0."""

    version: int = 1
    curves: int
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    unit_distance: float

    def __post_init__(self) -> None:
        n = POINTS + 3
        rows = {len(row) for row in self.precision}
        sizes = {len(self.centre), len(self.scale), len(self.mean), len(self.precision)} | rows
        if self.version != 1 or sizes != {n} or not self.unit_distance > 0 or not min(self.scale) > 0:
            raise ValueError("not a curve model of this version")


class CurveScorer:
    """Scores curves by one model. One thread."""

    def __init__(self, model: CurveModel) -> None:
        self._centre, self._scale = np.array(model.centre), np.array(model.scale)
        self._mean, self._precision = np.array(model.mean), np.array(model.precision)
        self._unit = model.unit_distance

    def deviation(self, x: Sequence[float], y: Sequence[float]) -> float:
        """Return 0 (like the mean of good ones) and up; 1.0 is the edge of the good. Raises DataError."""
        row = _squash(describe(x, y)[None], self._centre, self._scale)
        return float(_distance(row, self._mean, self._precision)[0] / self._unit)


def describe(x: Sequence[float], y: Sequence[float]) -> Floats:
    """Return a curve as `POINTS` + 3 numbers. `x` may stand still or step back a little (a spindle does).

    Raises DataError for fewer than 8 points, lengths that differ, numbers that are not finite, or
    an `x` that does not grow.
    """
    way, value = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if way.shape != value.shape or way.ndim != 1 or len(way) < 8:
        raise DataError("a curve needs x and y of the same length, 8 points or more")
    if not (np.isfinite(way).all() and np.isfinite(value).all()):
        raise DataError("a curve holds a number that is not finite")
    way = np.maximum.accumulate(way)
    if way[-1] <= way[0]:
        raise DataError("x of a curve does not grow")
    if max(abs(way[-1]), abs(way[0]), np.abs(value).max()) > 1e9:
        raise DataError("a curve holds a number beyond 1e9")
    points = np.interp(np.linspace(way[0], way[-1], POINTS), way, value)
    return np.concatenate((points, [value.min(), value.max(), value.std()]))


def teach(curves: Sequence[tuple[Sequence[float], Sequence[float]]]) -> CurveModel:
    """Teach a model from good curves, x and y each. Raises DataError when there are too few."""
    if len(curves) < LEAST:
        raise DataError(f"{len(curves)} good curves; teaching needs {LEAST} or more")
    described = np.array([describe(x, y) for x, y in curves])
    centre = np.median(described, axis=0)
    spread = 1.4826 * np.median(np.abs(described - centre), axis=0)
    scale = spread + 0.1 * described.std(axis=0) + 1e-9
    rows = _squash(described, centre, scale)
    held_out = np.empty(len(rows))
    for fold in range(FOLDS):
        out = np.arange(len(rows)) % FOLDS == fold
        held_out[out] = _distance(rows[out], *_gaussian(rows[~out]))
    mean, precision = _gaussian(rows)
    return CurveModel(
        curves=len(rows),
        centre=tuple(centre.tolist()),
        scale=tuple(scale.tolist()),
        mean=tuple(mean.tolist()),
        precision=tuple(map(tuple, precision.tolist())),
        unit_distance=float(np.quantile(held_out, QUANTILE)),
    )


def _squash(described: Floats, centre: Floats, scale: Floats) -> Floats:
    return np.arcsinh((described - centre) / scale)


def _gaussian(rows: Floats) -> tuple[Floats, Floats]:
    covariance = np.cov(rows.T)
    sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return rows.mean(axis=0), np.linalg.inv((1 - SHRINK) * covariance + SHRINK * sphere)


def _distance(rows: Floats, mean: Floats, precision: Floats) -> Floats:
    away = rows - mean
    squared: Floats = ((away @ precision) * away).sum(axis=1)
    return np.sqrt(np.maximum(squared, 0.0))
