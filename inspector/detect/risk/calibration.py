"""From anomaly scores to the probability that a part is defective. Pure.

Scores are positive and their spread grows with their size, so that everything is done on ln(score).
"""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inspector.detect.model.manifest import Calibration

Floats = npt.NDArray[np.float64]

_LOG_ODDS_AT_CENTRE: Final = 4.0  # p_defect of a typical good part: 0.018
_LEAST_MARGIN: Final = 0.01  # of ln(score), over the worst good part
_FARTHEST: Final = 1e4  # log-odds
_SMALLEST_SPREAD: Final = 0.01  # of ln(score): below this, five look-alike images fool us


def fit_good_only(scores: Floats, false_reject_rate: float, made_up: Floats | None = None) -> Calibration:
    """One-class calibration from the held-out scores of good parts, shape (n,), all over 0.

    ln(score) of good parts is taken as Gaussian, with median and a robust spread (the larger of
    the standard deviation and the scaled median deviation). p_defect is 0.5 where a good part
    lies with probability `false_reject_rate`, and small at the good parts' median.

    A few parts spread widely, and that limit then lies over real defects. So it is brought down to the
    worst good part seen, or half way from there (in ln) to the median score of parts with `made_up`
    defects where those lie higher. Of n parts, one more exceeds the worst with probability 1 / (n + 1):
    that is what few parts can promise, whatever rate was asked for.
    """
    logs = np.log(scores)
    centre = float(np.median(logs))
    deviation = 1.4826 * float(np.median(np.abs(logs - centre)))
    spread = max(float(logs.std(ddof=1)) if len(logs) > 1 else 0.0, deviation, _SMALLEST_SPREAD)
    distance = NormalDist().inv_cdf(1.0 - false_reject_rate) * spread
    if made_up is not None and len(made_up):
        worst = float(logs.max()) + _LEAST_MARGIN
        typical = float(np.median(np.log(made_up)))
        distance = min(distance, max(worst, (worst + typical) / 2) - centre)
    slope = _LOG_ODDS_AT_CENTRE / distance
    return Calibration(slope=slope, offset=-slope * (centre + distance), source="good")


def fit_with_defects(good: Floats, defect: Floats, defect_share: float = 0.5) -> Calibration:
    """Platt scaling (Platt 1999) on ln(score) of held-out good and defective parts.

    The fit weighs both classes alike, whatever their numbers: how many defects were collected says
    nothing of how many the line makes. That is `defect_share`, and shifts the log-odds (Elkan 2001,
    The foundations of cost-sensitive learning, theorem 2). Targets are smoothed as Platt does, which
    keeps the slope finite for classes that do not overlap.
    """
    x = np.log(np.concatenate([good, defect]))
    high, low = (len(defect) + 1) / (len(defect) + 2), 1 / (len(good) + 2)
    target = np.concatenate([np.full(len(good), low), np.full(len(defect), high)])
    weight = np.concatenate([np.full(len(good), 0.5 / len(good)), np.full(len(defect), 0.5 / len(defect))])
    centre, scale = float(x.mean()), max(float(x.std()), _SMALLEST_SPREAD)
    design = np.stack([(x - centre) / scale, np.ones_like(x)], axis=1)
    theta = np.array([1.0, 0.0])
    for _ in range(100):  # Newton's method; convex, two parameters
        p = _logistic(design @ theta)
        gradient = design.T @ (weight * (p - target)) + 1e-4 * np.array([theta[0], 0.0])
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        hessian[0, 0] += 1e-4
        step = np.linalg.solve(hessian, gradient)
        theta -= step * min(1.0, 2.0 / float(np.abs(step).max() + 1e-12))
        if float(np.abs(step).max()) < 1e-9:
            break
    slope = max(float(theta[0]), 1e-3) / scale
    offset = float(theta[1]) - slope * centre + math.log(defect_share / (1.0 - defect_share))
    return Calibration(slope=slope, offset=offset, source="good_and_defect")


def probability(scores: npt.ArrayLike, calibration: Calibration) -> Floats:
    """p_defect of each score, same shape. Never falls as a score rises; a score of 0 gives 0."""
    return _logistic(log_odds(scores, calibration))


def log_odds(scores: npt.ArrayLike, calibration: Calibration) -> Floats:
    """ln(p / (1 - p)) of each score, same shape."""
    values = np.maximum(np.asarray(scores, dtype=np.float64), 1e-300)
    x = np.log(values)
    if calibration.scale == "logit":
        x = x - np.log1p(-np.minimum(values, 1.0 - 1e-12))
    return shaped(calibration.slope * x + calibration.offset, calibration)


def shaped(z: Floats, calibration: Calibration) -> Floats:
    """What `beta` or `knots` make of the line's log-odds `z`; z itself without them."""
    if calibration.beta is not None:
        a, b, c = calibration.beta
        return np.asarray(b * np.logaddexp(0.0, z) - a * np.logaddexp(0.0, -z) + c, dtype=np.float64)
    if calibration.knots:
        x, y = np.array(calibration.knots).T
        beyond = np.minimum(z - x[0], 0.0) + np.maximum(z - x[-1], 0.0)
        return np.asarray(np.interp(z, x, y) + beyond, dtype=np.float64)
    return z


@lru_cache(maxsize=64)
def score_at(p: float, calibration: Calibration) -> float:
    """The score that `probability` maps to `p`."""
    x = (_unshaped(math.log(p / (1 - p)), calibration) - calibration.offset) / calibration.slope
    return float(1.0 / (1.0 + np.exp(-x)) if calibration.scale == "logit" else np.exp(x))


def moved(calibration: Calibration, by: float) -> Calibration:
    """The same with `by` added to all log-odds."""
    if calibration.beta is not None:
        a, b, c = calibration.beta
        return msgspec.structs.replace(calibration, beta=(a, b, c + by))
    if calibration.knots:
        return msgspec.structs.replace(calibration, knots=tuple((z, y + by) for z, y in calibration.knots))
    return msgspec.structs.replace(calibration, offset=calibration.offset + by)


def _unshaped(wanted: float, calibration: Calibration) -> float:
    """The inverse of `shaped`."""
    if calibration.knots:
        x, y = np.array(calibration.knots).T
        beyond = min(wanted - y[0], 0.0) + max(wanted - y[-1], 0.0)
        return float(np.interp(wanted, y, x) + beyond)
    if calibration.beta is None:
        return wanted
    low, high = -_FARTHEST, _FARTHEST
    for _ in range(100):
        middle = (low + high) / 2.0
        if float(shaped(np.asarray(middle), calibration)) < wanted:
            low = middle
        else:
            high = middle
    return high


def _logistic(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0))), dtype=np.float64)
