"""Notices that good parts no longer look as they did at teach-in, before they are rejected. Pure.

The score is the distance of a part's features from those taught, so its distribution over recent parts
tells of drift: dirt on the lens, a lamp that ages, another supplier's surface. Measured is how much of the
margin between a typical good part and the threshold is used up, in log-odds: linear in ln(score) where the
calibration is a line, rising with it in any case (beta, knots). The median over recent parts, defective
ones too, is not moved by a few defects, and is not blind when drift is so strong that every part is
called defective.
"""

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

from inspector.detect.model.manifest import Manifest

TYPICAL_GOOD: Final = "held_out_good_p_defect_median"  # in the manifest's metrics, from teach-in
WINDOW: Final = 100  # parts
FEWEST: Final = 30  # parts before anything is said
LIMIT: Final = 0.5  # half of the margin: most good parts still pass
_CLEAR: Final = 0.4  # of the margin, under which it counts as over
_SMALLEST_P: Final = 1e-6  # the manifest's metrics have six decimals
_LEAST_MARGIN: Final = 0.5  # of log-odds; a model with less cannot tell


@dataclass(frozen=True, slots=True)
class Drift:
    """`margin_used`: 0 as at teach-in, 1 when a typical part lies at the threshold; under 0: parts look more
    usual than the held-out ones did. `began` is true once, with the part that passed the limit."""

    margin_used: float
    drifting: bool
    began: bool

    @property
    def text(self) -> str:
        return (
            f"good parts drift from teach-in: {self.margin_used:.0%} of the margin to the threshold is used "
            "up; clean the lens, check light and position, or teach again with parts of today"
        )


class DriftMonitor:
    """One camera's parts, in order. Not thread-safe; needs no clock."""

    def __init__(
        self, typical_p: float, threshold: float, *, window: int = WINDOW, limit: float = LIMIT
    ) -> None:
        """`typical_p`: p_defect of a typical good part at teach-in; from `threshold` on one is defective."""
        self._typical = _log_odds(typical_p)
        self._margin = max(_log_odds(threshold) - self._typical, _LEAST_MARGIN)
        self._limit = limit
        self._recent: deque[float] = deque(maxlen=window)
        self._drifting = False

    @staticmethod
    def of(manifest: Manifest) -> "DriftMonitor | None":
        """None for a model whose manifest does not say how good parts scored."""
        typical = manifest.metrics.get(TYPICAL_GOOD)
        return None if typical is None else DriftMonitor(typical, manifest.thresholds["defect"])

    def add(self, p_defect: float) -> Drift | None:
        """Take one part's p_defect; None until there are enough."""
        self._recent.append(_log_odds(p_defect))
        if len(self._recent) < min(FEWEST, self._recent.maxlen or FEWEST):
            return None
        used = (median(self._recent) - self._typical) / self._margin
        began = used >= self._limit and not self._drifting
        if began or used < self._limit * _CLEAR / LIMIT:
            self._drifting = began
        return Drift(used, self._drifting, began)


def _log_odds(p: float) -> float:
    p = min(max(p, _SMALLEST_P), 1.0 - _SMALLEST_P)
    return math.log(p / (1.0 - p))
