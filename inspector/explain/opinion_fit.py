"""What second opinions are worth, on labelled parts: calibration and weight. Pure.

Platt scaling (Platt 1999) of the raw probability; then the weight, of the grid 0 to 1, at which the
pooled log-odds lose least. Both are fitted on four fifths of the parts and judged on the fifth that
they have not seen, five times; the weight counts only if the gain there is beyond chance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inspector.errors import DataError
from inspector.explain.opinion import OpinionFit, log_odds_of
from inspector.explain.terms import Language

FOLDS = 5
LEAST_OF_EACH = 10
_GRID = np.linspace(0.0, 1.0, 21)
_BEYOND_CHANCE = 1.64  # standard errors: one-sided 95 %
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelledOpinion:
    """`raw` is the model's probability, `fused` that of the other modalities together.

    `share` is what the pool gives an opinion beside them, before the weight that is found here.
    """

    raw: float
    fused: float
    defective: bool
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Earned:
    """What opinions are worth on parts that the fit had not seen. Losses in nats a part.

    `gain_error` is the standard error of the mean gain. `right_*` are shares of the parts on whose
    right side of 0.5 the pool ends, without opinions and with them.
    """

    slope: float
    offset: float
    weight: float
    parts: int
    gain: float
    gain_error: float
    loss_without: float
    loss_with: float
    right_without: float
    right_with: float


def calibrate(parts: Sequence[LabelledOpinion], model_sha256: str, language: Language = "en") -> OpinionFit:
    """Return the calibration and the weight that the opinions earn; weight 0 if none. Raises as `earned`."""
    found = earned(parts)
    return OpinionFit(
        model_sha256, found.slope, found.offset, found.weight, found.gain, found.parts, language
    )


def earned(parts: Sequence[LabelledOpinion]) -> Earned:
    """Return what the opinions earn, and by how much.

    Raises DataError with fewer than LEAST_OF_EACH good or defective parts.
    """
    y = np.array([part.defective for part in parts], dtype=np.float64)
    if min(y.sum(), len(y) - y.sum()) < LEAST_OF_EACH:
        raise DataError(
            f"second opinions need {LEAST_OF_EACH} good and {LEAST_OF_EACH} defective parts to be judged by"
        )
    x = np.array([log_odds_of(part.raw) for part in parts])
    share = np.array([part.share for part in parts])
    others = np.array([log_odds_of(part.fused) for part in parts])
    fold = np.zeros(len(y), dtype=np.int64)
    for label in (0.0, 1.0):  # each fold has both kinds, whatever the order of the parts
        here = np.flatnonzero(y == label)
        fold[here] = np.arange(len(here)) % FOLDS
    pooled = np.zeros(len(y))
    for held in range(FOLDS):
        train, test = fold != held, fold == held
        slope, offset, weight = _fit(x[train], share[train], others[train], y[train])
        pooled[test] = others[test] + share[test] * weight * (slope * x[test] + offset)
    before, after = _losses(others, y), _losses(pooled, y)
    gain = float((before - after).mean())
    error = float((before - after).std(ddof=1)) / math.sqrt(len(y))
    slope, offset, weight = _fit(x, share, others, y)
    return Earned(
        slope=slope,
        offset=offset,
        weight=weight if gain > 0.0 and gain > _BEYOND_CHANCE * error else 0.0,
        parts=len(y),
        gain=gain,
        gain_error=error,
        loss_without=float(before.mean()),
        loss_with=float(after.mean()),
        right_without=float(((others > 0.0) == (y > 0.5)).mean()),
        right_with=float(((pooled > 0.0) == (y > 0.5)).mean()),
    )


def _fit(x: Floats, share: Floats, others: Floats, y: Floats) -> tuple[float, float, float]:
    slope, offset = _platt(x, y)
    said = share * (slope * x + offset)
    losses = [float(_losses(others + weight * said, y).mean()) for weight in _GRID]
    return slope, offset, float(_GRID[int(np.argmin(losses))])


def _platt(x: Floats, y: Floats) -> tuple[float, float]:
    """Return slope and offset; both classes weigh alike, so that the offset holds no share of defects."""
    bad = y > 0.5
    high, low = (bad.sum() + 1) / (bad.sum() + 2), 1 / ((~bad).sum() + 2)
    target = np.where(bad, high, low)
    share = np.where(bad, 0.5 / bad.sum(), 0.5 / (~bad).sum())
    design = np.stack([x, np.ones_like(x)], axis=1)
    theta = np.zeros(2)
    for _ in range(50):  # Newton's method on a convex loss with a small ridge
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ theta, -30.0, 30.0)))
        gradient = design.T @ (share * (p - target)) + 1e-4 * theta
        hessian = (design * (share * p * (1.0 - p))[:, None]).T @ design + 1e-4 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        theta -= step * min(1.0, 2.0 / float(np.abs(step).max() + 1e-12))
        if float(np.abs(step).max()) < 1e-9:
            break
    return max(0.0, float(theta[0])), float(theta[1])  # "yes" never speaks for a good part


def _losses(log_odds: Floats, y: Floats) -> Floats:
    losses: Floats = np.logaddexp(0.0, -np.where(y > 0.5, log_odds, -log_odds))
    return losses
