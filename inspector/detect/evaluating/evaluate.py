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


def best_f1(good: npt.ArrayLike, defect: npt.ArrayLike) -> float:
    """The highest F1 of the defective class over all thresholds; NaN when a class is empty."""
    low, high = np.sort(np.ravel(good)), np.sort(np.ravel(defect))
    if not len(low) or not len(high):
        return float("nan")
    hits = len(high) - np.arange(len(high))  # with the threshold at each defect's score
    false_alarms = len(low) - np.searchsorted(low, high, side="left")
    return float((2.0 * hits / (len(high) + hits + false_alarms)).max())


def f1_at(good_p: npt.ArrayLike, defect_p: npt.ArrayLike, limit: float) -> float:
    """F1 of the defective class at `limit`; NaN without defects."""
    false_alarms, hits = int((np.ravel(good_p) >= limit).sum()), int((np.ravel(defect_p) >= limit).sum())
    defects = np.ravel(defect_p).size
    return 2.0 * hits / (defects + hits + false_alarms) if defects else float("nan")


def false_reject_at_escape(good: npt.ArrayLike, defect: npt.ArrayLike, escape_rate: float) -> float:
    """Share of good parts at or over the highest threshold that lets at most that share of these defects
    pass. NaN when a class is empty. Of these parts alone: a promise for others needs conformal.py."""
    low, high = np.ravel(good), np.sort(np.ravel(defect))
    if not len(low) or not len(high):
        return float("nan")
    allowed = min(int(np.floor(escape_rate * len(high) + 1e-9)), len(high) - 1)
    return float((low >= high[allowed]).mean())
