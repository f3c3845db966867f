"""From the outputs of detection networks to boxes with labels and scores. Pure NumPy.

Layouts: YOLOv5 and v8 as their exporters write them; DETR (Carion et al. 2020) and its relatives; FCOS
(Tian et al. 2019); and boxes that a network has already sorted out itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from inspector.detect.model.manifest import Head
from inspector.errors import ModelError

F32 = npt.NDArray[np.float32]
Outputs = Mapping[str, npt.NDArray[Any]]

_MOST: Final = 2000  # strongest that overlap is looked at for


@dataclass(frozen=True, slots=True)
class Candidates:
    """`labels` (n,), `scores` (n,) in 0..1, `boxes` (n, 4) x0, y0, x1, y1 in network pixels."""

    labels: npt.NDArray[np.int64]
    scores: F32
    boxes: F32

    def take(self, chosen: Any) -> "Candidates":
        return Candidates(self.labels[chosen], self.scores[chosen], self.boxes[chosen])


def candidates(outputs: Outputs, head: Head) -> Candidates:
    """All boxes of finite size with a score of at least `head.lowest_score`, once for each label that has it.

    Raises ModelError when the outputs have other shapes, or no score at all is a number: a network that has
    gone wrong finds nothing, which must not say that the part is good.
    """
    try:
        with np.errstate(all="ignore"):  # what is not finite goes below
            scores, boxes = _READERS[head.decode](outputs, head)
        if scores.ndim != 2 or boxes.shape != (len(scores), 4):
            raise ValueError
    except (KeyError, ValueError, IndexError) as error:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in outputs.items())
        raise ModelError(f"decode {head.decode} cannot read outputs {shapes}") from error
    if scores.shape[1] != len(head.labels):
        raise ModelError(f"the model has {scores.shape[1]} classes, the manifest {len(head.labels)} labels")
    if scores.size and not np.isfinite(scores).all(axis=1).any():
        raise ModelError("no score of the network is a number; train the model or export it again")
    sound = np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    with np.errstate(invalid="ignore"):
        rows, labels = np.nonzero((scores >= head.lowest_score) & sound[:, None] & np.isfinite(scores))
    return Candidates(labels, scores[rows, labels].astype(np.float32), boxes[rows].astype(np.float32))


def strongest(found: Candidates, lowest: float, iou: float) -> Candidates:
    """Those with a score of at least `lowest`, without any that overlaps a stronger one of its label by
    more than `iou` (non-maximum suppression); strongest first."""
    order = np.argsort(-found.scores, kind="stable")
    order = order[found.scores[order] >= lowest][:_MOST]
    kept: list[int] = []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(int(first))
        same = found.labels[rest] == found.labels[first]
        overlap = overlaps(found.boxes[[first]], found.boxes[rest])[0]
        order = rest[~(same & (overlap > iou))]
    return found.take(np.array(kept, dtype=np.int64))


def overlaps(a: F32, b: F32) -> F32:
    """Intersection over union of boxes (n, 4) and (m, 4), shape (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(axis=1) for x in (a, b))
    return np.asarray(both / np.maximum(area_a[:, None] + area_b[None] - both, 1e-9), dtype=np.float32)


def activate(values: npt.NDArray[Any], how: str) -> F32:
    """Logits (..., classes) to probabilities: "sigmoid", "softmax", or "none" for what already is one."""
    x = np.asarray(values, dtype=np.float32)
    if how == "sigmoid":
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -60, 60))), dtype=np.float32)
    if how == "softmax":
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)
    return x


def _one(outputs: Outputs, head: Head, role: str) -> F32:
    """The only output of that role, without its batch axis."""
    return np.asarray(outputs[head.outputs[role][0]][0], dtype=np.float32)


def _from_centres(boxes: F32) -> F32:
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _yolo_v5(outputs: Outputs, head: Head) -> tuple[F32, F32]:
    """(1, n, 5 + classes): centre, size, objectness, classes."""
    rows = _one(outputs, head, "output")
    return activate(rows[:, 5:], head.activation) * activate(rows[:, 4:5], head.activation), _from_centres(
        rows
    )


def _yolo_v8(outputs: Outputs, head: Head) -> tuple[F32, F32]:
    """(1, 4 + classes, n): centre, size, classes."""
    rows = _one(outputs, head, "output").T
    return activate(rows[:, 4:], head.activation), _from_centres(rows)


def _detr(outputs: Outputs, head: Head) -> tuple[F32, F32]:
    """Logits (1, n, classes), with softmax one more for "no object", and boxes (1, n, 4): centre and size
    as shares of the network's input."""
    scores = activate(_one(outputs, head, "logits"), head.activation)
    if head.activation == "softmax":
        scores = scores[:, :-1]
    size = np.array([head.network_width_px, head.network_height_px] * 2, dtype=np.float32)
    return scores, _from_centres(_one(outputs, head, "boxes")) * size


def _fcos(outputs: Outputs, head: Head) -> tuple[F32, F32]:
    """For each level scores (1, classes, h, w), distances (1, 4, h, w) from a cell's centre to its box's
    left, upper, right and lower border, and perhaps centerness (1, 1, h, w)."""
    all_scores, all_boxes = [], []
    centred = head.outputs.get("centerness", ())
    levels = zip(head.outputs["scores"], head.outputs["distances"], strict=True)
    for level, (score_name, distance_name) in enumerate(levels):
        cells = np.moveaxis(np.asarray(outputs[score_name][0]), 0, -1)
        rows, columns = cells.shape[:2]
        scores = activate(cells.reshape(rows * columns, -1), head.activation)
        if centred:
            centerness = np.asarray(outputs[centred[level]][0]).reshape(-1, 1)
            scores = np.sqrt(np.maximum(scores * activate(centerness, head.activation), 0))
        stride = np.array([head.network_width_px / columns, head.network_height_px / rows], dtype=np.float32)
        distances = np.asarray(outputs[distance_name][0], dtype=np.float32).reshape(4, -1).T
        if head.distances_in_strides:
            distances = distances * np.tile(stride, 2)
        y, x = np.mgrid[:rows, :columns]
        centres = (np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride
        all_boxes.append(np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1))
        all_scores.append(scores)
    return np.concatenate(all_scores), np.concatenate(all_boxes).astype(np.float32)


def _boxes(outputs: Outputs, head: Head) -> tuple[F32, F32]:
    """Sorted out by the network: boxes (n, 4) in network pixels, scores (n,), labels (n,); or one output
    (1, n, 6) with all of that. Labels count from 0."""
    if "output" in head.outputs:
        rows = _one(outputs, head, "output")
        if rows.shape[1] != 6:
            raise ValueError
        boxes, scores, labels = rows[:, :4], rows[:, 4], rows[:, 5]
    else:
        boxes, scores, labels = (
            np.asarray(outputs[head.outputs[role][0]], dtype=np.float32)
            for role in ("boxes", "scores", "labels")
        )
        boxes, scores, labels = boxes.reshape(-1, 4), scores.reshape(-1), labels.reshape(-1)
    labels = np.where(np.isnan(scores) & np.isnan(labels), 0, labels)  # told by `candidates`
    known = (labels >= 0) & (labels < len(head.labels))
    table = np.zeros((int(known.sum()), len(head.labels)), dtype=np.float32)
    table[np.arange(len(table)), labels[known].astype(np.int64)] = scores[known]
    return table, boxes[known]


_READERS: Final = {"yolo_v5": _yolo_v5, "yolo_v8": _yolo_v8, "detr": _detr, "fcos": _fcos, "boxes": _boxes}
BOX_DECODES: Final[Sequence[str]] = tuple(_READERS)
