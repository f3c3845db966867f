"""Thresholds with a promise: how many defects escape, or good parts are rejected, on parts yet to come. Pure.

Conformal risk control (Angelopoulos et al., ICLR 2024) for a loss of 0 or 1, which is a quantile with one
part added: of n exchangeable parts and one to come, the new one is the k-th or lower with probability at
most k / (n + 1). It holds on average over draws of the calibration parts, whatever the scores'
distribution, as long as the parts to come are like them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from inspector.errors import ConfigError

Floats = npt.NDArray[np.float64]
Promise = Literal["escape", "false_reject"]


@dataclass(frozen=True, slots=True)
class RiskThreshold:
    """`score`: parts at or over it are rejected. `promised` says which rate stays at or under `rate`.

    `false_reject` and `escape` are what was seen on the calibration parts, (rate, lowest, highest) with 95 %
    confidence; None without parts of that class.
    """

    score: float
    promised: Promise
    rate: float
    false_reject: tuple[float, float, float] | None
    escape: tuple[float, float, float] | None


def control_escapes(good: Floats, defect: Floats, most: float) -> RiskThreshold:
    """The highest threshold under which at most a share `most` of defects to come escapes.

    Raises ConfigError when there are too few defects to promise it.
    """
    allowed = math.floor(most * (len(defect) + 1) + 1e-9) - 1  # defects that may lie under the threshold
    if allowed < 0:
        raise ConfigError(
            f"{len(defect)} defects cannot promise an escape rate of {most:.3%}: it takes "
            f"{fewest(most)}; the lowest that they can promise is {1 / (len(defect) + 1):.2%}"
        )
    return _with_rates(float(np.sort(defect)[min(allowed, len(defect) - 1)]), "escape", most, good, defect)


def control_false_rejects(good: Floats, defect: Floats, most: float) -> RiskThreshold:
    """The lowest threshold at which at most a share `most` of good parts to come is rejected.

    Raises ConfigError when there are too few good parts to promise it.
    """
    allowed = math.floor(most * (len(good) + 1) + 1e-9) - 1  # good parts that may lie at or over it
    if allowed < 0:
        raise ConfigError(
            f"{len(good)} good parts cannot promise a false-reject rate of {most:.3%}: it takes "
            f"{fewest(most)}; the lowest that they can promise is {1 / (len(good) + 1):.2%}"
        )
    highest = float(np.sort(good)[::-1][min(allowed, len(good) - 1)])
    return _with_rates(math.nextafter(highest, math.inf), "false_reject", most, good, defect)


def fewest(most: float) -> int:
    """How many parts it takes to promise the rate at all."""
    return math.ceil(1.0 / most - 1e-9) - 1


def clopper_pearson(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, 1934), by bisection of the binomial tail."""
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else _bisect(lambda p: 1.0 - _at_most(hits - 1, count, p) < tail)
    high = 1.0 if hits == count else _bisect(lambda p: _at_most(hits, count, p) > tail)
    return low, high


def as_seen(
    found: RiskThreshold, rejected_good: npt.NDArray[np.bool_], rejected_defect: npt.NDArray[np.bool_]
) -> RiskThreshold:
    """The threshold with the rates of these verdicts on the calibration parts, True for rejected."""
    return replace(
        found,
        false_reject=_share(int(rejected_good.sum()), len(rejected_good)),
        escape=_share(int((~rejected_defect).sum()), len(rejected_defect)),
    )


def _with_rates(score: float, promised: Promise, rate: float, good: Floats, defect: Floats) -> RiskThreshold:
    rejected, passed = int((good >= score).sum()), int((defect < score).sum())
    return RiskThreshold(score, promised, rate, _share(rejected, len(good)), _share(passed, len(defect)))


def _share(hits: int, count: int) -> tuple[float, float, float] | None:
    return (hits / count, *clopper_pearson(hits, count)) if count else None


def _at_most(hits: int, count: int, p: float) -> float:
    """Probability of at most `hits` of `count`."""
    if p <= 0.0 or p >= 1.0:
        return 1.0 if p <= 0.0 else float(hits >= count)
    return math.fsum(
        math.exp(
            math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
            + k * math.log(p) + (count - k) * math.log1p(-p)
        )
        for k in range(hits + 1)
    )  # fmt: skip


def _bisect(below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if below(middle) else (low, middle)
    return (low + high) / 2.0
