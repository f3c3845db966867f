"""Figures of merit of a detector. Pure."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def auroc(good: npt.ArrayLike, defect: npt.ArrayLike) -> float:
    """Area under the ROC curve: how often a defective score lies over a good one, ties half.

    For pixels give the scores of normal and of marked pixels. NaN when a class is empty.
    """
    low, high = np.sort(np.ravel(good)), np.ravel(defect)
    if not len(low) or not len(high):
        return float("nan")
    below = np.searchsorted(low, high, side="left") + np.searchsorted(low, high, side="right")
    return float(below.mean() / (2.0 * len(low)))


def error_rates(good_p: npt.ArrayLike, defect_p: npt.ArrayLike, limit: float) -> dict[str, float]:
    """Escape rate (defects passed), overkill (good parts rejected) and accuracy at `limit`."""
    good, defect = np.ravel(good_p) >= limit, np.ravel(defect_p) < limit
    wrong = int(good.sum()) + int(defect.sum())
    return {
        "escape_rate": float(defect.mean()) if len(defect) else float("nan"),
        "overkill_rate": float(good.mean()) if len(good) else float("nan"),
        "accuracy": 1.0 - wrong / max(len(good) + len(defect), 1),
    }
