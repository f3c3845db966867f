"""How probability rises with the score: a line in log-odds, a beta curve, or a curve of free form. Pure.

Line: Platt (1999). Beta: Kull, Silva Filho and Flach (AISTATS 2017). Isotonic: pool adjacent violators, its
blocks joined at their centres, so that it rises everywhere (Oron and Flournoy, 2017). Which is best is
measured on parts that were left out of each fit. Both classes weigh alike, whatever their numbers.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np

from inspector.detect.model.manifest import Calibration
from inspector.detect.risk.calibration import Floats, log_odds, probability

Shape = Literal["as it was", "line", "beta", "isotonic"]
FEWEST: Final = 10  # parts of each kind; below, the shape stays
FOLDS: Final = 5
_LEAST_GAIN: Final = 1e-3  # of log loss; for less, the simpler shape stays
_LEAST_SLOPE: Final = 1e-2
_PULL: Final = 1e-3  # towards what is there
_MOST_KNOTS: Final = 100
_SMALLEST_P: Final = 1e-9
_FARTHEST: Final = 30.0  # log-odds; a network that finds no box at all gives a score of 0


@dataclass(frozen=True, slots=True)
class Judged:
    """Of a shape, on parts left out of its fit; the lower the better."""

    shape: Shape
    log_loss: float
    brier: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The best shape fitted to all parts, and how all did. `judged` is empty where there were too few."""

    shape: Shape
    calibration: Calibration
    judged: tuple[Judged, ...]


def choose_shape(good: Floats, defect: Floats, now: Calibration) -> Choice:
    """Compare all shapes on the scores of good and defective parts, (n,) and (m,), in folds of every fifth.

    One with more freedom is taken only for a gain over its standard error.
    """
    if min(len(good), len(defect)) < FEWEST:
        return Choice("as it was", now, ())
    shapes: tuple[Shape, ...] = ("as it was", "line", "beta", "isotonic")
    left_out = {shape: _left_out(shape, good, defect, now) for shape in shapes}
    best = shapes[0]
    for shape in shapes[1:]:
        gains = [
            before - after
            for before, after in zip(_losses(left_out[best]), _losses(left_out[shape]), strict=True)
        ]
        error = math.sqrt(sum(float(each.var()) / len(each) for each in gains)) / 2.0
        if _balanced(gains) > max(error, _LEAST_GAIN):
            best = shape
    judged = tuple(
        Judged(shape, _balanced(_losses(right)), _balanced([(1.0 - each) ** 2 for each in right]))
        for shape, right in left_out.items()
    )
    return Choice(best, fit_shape(best, good, defect, now), judged)


def fit_shape(shape: Shape, good: Floats, defect: Floats, now: Calibration) -> Calibration:
    """A calibration of that shape for these scores; but for the shape "line", its line is that of `now`."""
    if shape == "as it was":
        return now
    line = msgspec.structs.replace(now, beta=None, knots=())
    z = np.clip(log_odds(np.concatenate([good, defect]), line), -_FARTHEST, _FARTHEST)
    # Targets are smoothed as Platt does: no count of parts makes a defect impossible.
    low, high = 1 / (len(good) + 2), (len(defect) + 1) / (len(defect) + 2)
    target = np.concatenate([np.full(len(good), low), np.full(len(defect), high)])
    weight = np.concatenate([np.full(len(good), 0.5 / len(good)), np.full(len(defect), 0.5 / len(defect))])
    if shape == "isotonic":
        knots = _isotonic(z, target, weight)
        found = line if len(knots) < 2 else msgspec.structs.replace(line, knots=knots)
    elif shape == "line":
        slope, offset = _logistic_regression(z[:, None], target, weight)
        found = msgspec.structs.replace(line, slope=line.slope * slope, offset=line.offset * slope + offset)
    else:
        design = np.stack([-np.logaddexp(0.0, -z), np.logaddexp(0.0, z)], axis=1)
        a, b, c = _logistic_regression(design, target, weight)
        found = msgspec.structs.replace(line, beta=(a, b, c))
    return msgspec.structs.replace(found, source="good_and_defect")


def _left_out(shape: Shape, good: Floats, defect: Floats, now: Calibration) -> list[Floats]:
    """The probability of what each part is, of good and of defective ones, from fits without its fold."""
    right = [np.zeros(len(good)), np.zeros(len(defect))]
    for fold in range(FOLDS):
        learn = [np.delete(scores, np.s_[fold::FOLDS]) for scores in (good, defect)]
        calibration = fit_shape(shape, learn[0], learn[1], now)
        right[0][fold::FOLDS] = 1.0 - probability(good[fold::FOLDS], calibration)
        right[1][fold::FOLDS] = probability(defect[fold::FOLDS], calibration)
    return right


def _losses(right: list[Floats]) -> list[Floats]:
    return [-np.log(np.clip(each, _SMALLEST_P, 1.0)) for each in right]


def _balanced(values: list[Floats]) -> float:
    return float(np.mean([each.mean() for each in values]))


def _logistic_regression(design: Floats, target: Floats, weight: Floats) -> tuple[float, ...]:
    """Slopes, none under _LEAST_SLOPE, and an offset; Newton's method, pulled a little towards 1 and 0."""
    count = design.shape[1]
    full = np.column_stack([design, np.ones(len(design))])
    start = np.append(np.ones(count), 0.0)
    pull = np.append(np.full(count, _PULL), 1e-9)
    theta, free = start.copy(), np.ones(count + 1, dtype=bool)
    for _ in range(200):
        p = 1.0 / (1.0 + np.exp(-np.clip(full @ theta, -60.0, 60.0)))
        gradient = full.T @ (weight * (p - target)) + pull * (theta - start)
        hessian = (
            (full * (weight * p * (1.0 - p))[:, None]).T @ full + np.diag(pull) + 1e-9 * np.eye(count + 1)
        )
        step = np.zeros(count + 1)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        theta = theta - step * min(1.0, 2.0 / float(np.abs(step).max() + 1e-12))
        under = theta[:count] < _LEAST_SLOPE  # a falling curve is none: it stays there (Kull et al.)
        theta[:count][under] = _LEAST_SLOPE
        free[:count] &= ~under
        if float(np.abs(step).max()) < 1e-10:
            break
    return tuple(float(value) for value in theta)


def _isotonic(z: Floats, target: Floats, weight: Floats) -> tuple[tuple[float, float], ...]:
    """Centres and log-odds of the blocks of pooled adjacent violators."""
    order = np.argsort(z, kind="stable")
    blocks: list[tuple[float, float, float]] = []  # weight, sum of weighted z, sum of weighted target
    for index in order:
        w = float(weight[index])
        block = (w, w * float(z[index]), w * float(target[index]))
        while blocks and blocks[-1][2] * block[0] >= block[2] * blocks[-1][0]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    knots: list[tuple[float, float]] = []
    for w, at, value in blocks:
        p = value / w
        knot = (at / w, float(np.log(p / (1.0 - p))))
        if not knots or (knot[0] > knots[-1][0] + 1e-6 and knot[1] > knots[-1][1] + 1e-6):
            knots.append(knot)
    if len(knots) > _MOST_KNOTS:
        knots = [knots[index * (len(knots) - 1) // (_MOST_KNOTS - 1)] for index in range(_MOST_KNOTS)]
    return tuple(knots)
