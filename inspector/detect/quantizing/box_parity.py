"""Which boxes of two models are the same one, and how far apart those lie. Pure."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from inspector.detect.model.candidates import F32, overlaps
from inspector.types import Detection

_LEAST_OVERLAP: Final = 0.3  # of two boxes that are one; what overlaps more has been sorted out already


def lost_boxes(those: Sequence[Detection], others: Sequence[Detection]) -> list[Detection]:
    """Those that have no counterpart of their label among the others."""
    return [one for one in those if _counterpart(one, others) is None]


def box_shifts_px(those: Sequence[Detection], others: Sequence[Detection]) -> list[int]:
    """How far a side of each box lies from that of its counterpart; without those that have none."""
    pairs = [(one, _counterpart(one, others)) for one in those]
    return [
        max(abs(a - b) for a, b in zip(one.box_px, other.box_px, strict=True))
        for one, other in pairs
        if other is not None
    ]


def _counterpart(box: Detection, others: Sequence[Detection]) -> Detection | None:
    """The box of the same label that overlaps it most, where it overlaps enough."""
    alike = [other for other in others if other.label == box.label]
    if not alike:
        return None
    overlap = overlaps(_array([box]), _array(alike))[0]
    best = int(overlap.argmax())
    return alike[best] if overlap[best] >= _LEAST_OVERLAP else None


def _array(boxes: Sequence[Detection]) -> F32:
    return np.array([box.box_px for box in boxes], dtype=np.float32)
