"""Mean average precision of boxes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BoxPx = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in image pixels."""

_RECALLS = np.linspace(0.0, 1.0, 101)  # where COCO samples the precision


@dataclass(frozen=True, slots=True)
class ImageBoxes:
    """Boxes of one image: true ones by label, found ones with their scores."""

    truth: Sequence[tuple[str, BoxPx]]
    found: Sequence[tuple[str, float, BoxPx]]


def mean_average_precision(images: Sequence[ImageBoxes], least_iou: float = 0.5) -> float:
    """COCO's average precision at one overlap, averaged over the labels that occur; NaN for none.

    101 recalls, each found box matched to the free true box of its label that it overlaps most
    (Lin et al., Microsoft COCO, 2014, and its published evaluation code).
    """
    labels = sorted({label for image in images for label, _ in image.truth})
    each = [_average_precision(images, label, least_iou) for label in labels]
    return float(np.mean(each)) if each else float("nan")


def _average_precision(images: Sequence[ImageBoxes], label: str, least_iou: float) -> float:
    scores: list[float] = []
    hits: list[bool] = []
    total = 0
    for image in images:
        truth = np.array([box for name, box in image.truth if name == label], dtype=np.float64)
        found = sorted((-score, box) for name, score, box in image.found if name == label)
        total += len(truth)
        free = np.ones(len(truth), dtype=bool)
        for negative_score, box in found:
            overlap = np.where(free, _iou(truth, box), -1.0) if len(truth) else np.zeros(0)
            best = int(overlap.argmax()) if len(truth) else -1
            hit = best >= 0 and bool(overlap[best] >= least_iou)
            if hit:
                free[best] = False
            scores.append(-negative_score)
            hits.append(hit)
    if not scores:
        return 0.0
    order = np.argsort(-np.array(scores), kind="stable")
    right = np.cumsum(np.array(hits)[order])
    precision = right / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(right / total, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[np.minimum(index, len(precision))].mean())


def _iou(boxes: npt.NDArray[np.float64], box: BoxPx) -> npt.NDArray[np.float64]:
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    own = (box[2] - box[0]) * (box[3] - box[1])
    return np.asarray(common / np.maximum(areas + own - common, 1e-12), dtype=np.float64)
