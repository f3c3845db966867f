"""The parity gate of every export: what is written judges as what it was made from, or nothing is written."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from inspector.detect.model.candidates import BOX_DECODES, Outputs
from inspector.detect.model.decode import MAX_DETECTIONS, Decoded, decode
from inspector.detect.model.manifest import InputLayout, Manifest
from inspector.detect.quantizing.box_parity import box_shifts_px, lost_boxes
from inspector.detect.quantizing.parity import Judged, Parity, compare
from inspector.errors import ModelError
from inspector.types import Detection

EXPORT: Final = "export"  # what the gate measured, in the manifest's metrics: export_...
MOST_SCORE_DIFFERENCE: Final = 0.02  # relative; float32 in another order of operations stays far below
MOST_P_DIFFERENCE: Final = 0.1  # a box just under the lowest score that is looked at may come or go
MOST_SHIFT_PX: Final = 2.0  # boxes are whole pixels, rounded outwards
MOST_SHIFT: Final = 0.005  # of the frame's longer side, more
_TIE: Final = 1e-3  # of p_defect: a verdict that flips by less lay at the threshold, and rounding decided it
_FRAMES: Final = 4


def require_parity(
    reference: Sequence[Decoded], export: Sequence[Decoded], manifest: Manifest, what: str
) -> Parity:
    """Compare what the source and the export say of the same images; `what` names both in the error.

    Raises ModelError when a verdict flips, when the scores differ by more than rounding explains, when a
    score is no number, or when boxes of a network that finds them are lost or lie elsewhere. A flip at the
    threshold itself, within _TIE, is rounding too.
    """
    first, second = (
        [Judged(Path(f"image {index + 1}"), decoded) for index, decoded in enumerate(said)]
        for said in (reference, export)
    )
    parity = compare(first, second, manifest, manifest)
    limit = manifest.thresholds["defect"]
    flips = [
        (one, other)
        for one, other in zip(reference, export, strict=True)
        if (one.p_defect >= limit) != (other.p_defect >= limit)
        and not abs(one.p_defect - other.p_defect) < _TIE
    ]
    if flips:
        raise ModelError(
            f"{what} judge {len(flips)} of {parity.images} images otherwise "
            f"(p_defect differs by {parity.p_defect_difference:.3f}); nothing was written"
        )
    off = parity.p_defect_difference, MOST_P_DIFFERENCE
    if manifest.task == "anomaly":
        off = parity.score_difference, MOST_SCORE_DIFFERENCE
    if not off[0] <= off[1]:
        raise ModelError(f"{what} give scores that differ by {off[0]:.1%}; nothing was written")
    _require_boxes(reference, export, manifest, what)
    return parity


def _require_boxes(
    reference: Sequence[Decoded], export: Sequence[Decoded], manifest: Manifest, what: str
) -> None:
    """Raise ModelError for a sure box that only one of both has, or boxes that mostly lie elsewhere. Of two
    that overlap and score alike, rounding decides which one stays: the largest shift alone tells nothing."""
    head = manifest.head
    if head is None or head.decode not in BOX_DECODES:
        return
    least = manifest.thresholds["box"] if head.box_threshold is None else head.box_threshold
    shifts: list[int] = []
    for number, (first, second) in enumerate(zip(reference, export, strict=True), start=1):
        ours, theirs = (
            [box for box in said.detections if box.label in head.labels] for said in (first, second)
        )
        lost = _surely_lost(ours, theirs, least) + _surely_lost(theirs, ours, least)
        if lost:
            raise ModelError(
                f"{what} find other boxes on image {number} ({lost[0].label} at {lost[0].box_px}); "
                "nothing was written"
            )
        shifts += box_shifts_px(ours, theirs)
    longer = max(manifest.input.width_px, manifest.input.height_px)
    if shifts and median(shifts) > MOST_SHIFT_PX + MOST_SHIFT * longer:
        raise ModelError(f"{what} find boxes that lie {median(shifts):g} pixels apart; nothing was written")


def _surely_lost(those: Sequence[Detection], others: Sequence[Detection], least: float) -> list[Detection]:
    """Boxes without a counterpart whose score lies well over the lowest that is listed."""
    if len(others) >= MAX_DETECTIONS:
        least = max(least, min(box.score for box in others))
    return [box for box in lost_boxes(those, others) if box.score > least + MOST_P_DIFFERENCE]


def decoded_all(outputs: Sequence[Outputs], manifest: Manifest) -> list[Decoded]:
    return [decode(each, manifest) for each in outputs]


def made_up_frames(layout: InputLayout) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """A few frames (1, height, width, channels) with structure at every scale, where there are no images yet.

    Smooth fields from a few numbers each, a gradient under them; the same at every call.
    """
    rng = np.random.default_rng(0)
    height, width, channels = layout.height_px, layout.width_px, layout.channels
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    frames = []
    for _ in range(_FRAMES):
        value = np.full((height, width, channels), float(rng.uniform(60, 180)), dtype=np.float32)
        for period in (256, 64, 16, 6):
            turn = rng.uniform(0, 2 * np.pi)
            wave = np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / period)
            value += wave[..., None] * rng.uniform(5, 35, channels).astype(np.float32)
        frames.append(np.clip(value, 0, 255).astype(np.uint8)[None])
    return frames
