"""Mean average precision of boxes. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from inspector.detect.candidates import Candidates, overlaps
from inspector.detect.training.targets import Boxes


def average_precisions(
    found: Sequence[Candidates], wanted: Sequence[Boxes], labels: int, *, iou: float = 0.5
) -> npt.NDArray[np.float64]:
    """One figure for each label, NaN for a label that no image has. Area under the whole
    precision-recall curve, as PASCAL VOC since 2010; a labelled box counts once, for the strongest box
    that overlaps it by at least `iou`. `wanted` has boxes (n, 5): label, x0, y0, x1, y1.
    """
    return np.array([_one(found, wanted, label, iou) for label in range(labels)])


def mean_average_precision(
    found: Sequence[Candidates], wanted: Sequence[Boxes], labels: int, *, iou: float = 0.5
) -> float:
    """The mean over labels that occur; NaN when none does."""
    figures = average_precisions(found, wanted, labels, iou=iou)
    return float(np.nanmean(figures)) if np.isfinite(figures).any() else float("nan")


def _one(found: Sequence[Candidates], wanted: Sequence[Boxes], label: int, iou: float) -> float:
    scores: list[float] = []
    right: list[bool] = []
    total = 0
    for boxes, truth in zip(found, wanted, strict=True):
        mine = boxes.take(boxes.labels == label)
        mine = mine.take(np.argsort(-mine.scores, kind="stable"))
        real = truth[truth[:, 0] == label][:, 1:]
        total += len(real)
        shared = overlaps(mine.boxes, real)
        free = np.ones(len(real), dtype=bool)
        for score, row in zip(mine.scores, shared, strict=True):
            best = int(np.where(free, row, -1.0).argmax()) if len(real) else -1
            hit = best >= 0 and bool(free[best]) and float(row[best]) >= iou
            if hit:
                free[best] = False
            scores.append(float(score))
            right.append(hit)
    if not total:
        return float("nan")
    if not scores:
        return 0.0
    hits = np.cumsum(np.array(right)[np.argsort(-np.array(scores), kind="stable")])
    precision = hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(np.concatenate([[0], hits / total])) * precision).sum())
