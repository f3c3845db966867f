"""From a network's outputs to detections in source pixels. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.model.candidates import Candidates, Outputs, activate, candidates, strongest
from inspector.detect.model.manifest import SCORE, SCORE_MAP, Calibration, Head, InputLayout, Manifest
from inspector.detect.model.placement import Placement
from inspector.detect.risk.calibration import probability, score_at
from inspector.errors import ModelError
from inspector.types import Box, Detection, Heatmap

HEATMAP_LIMIT: Final = 64  # largest width and height that leaves the detector
MAX_DETECTIONS: Final = 20  # strongest first; a wrecked part needs no thousand boxes
_NEAR_PEAK: Final = 0.9  # of the map's highest value: as high

ScoreMap = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Decoded:
    p_defect: float
    anomaly_score: float
    detections: tuple[Detection, ...]
    heatmap: Heatmap | None


def output_names(manifest: Manifest) -> tuple[str, ...]:
    """The outputs of the graph that `decode` reads."""
    ours = (SCORE, SCORE_MAP) if manifest.decode == "anomaly_map" else ()
    if manifest.head is None:
        return ours
    return ours + tuple(name for names in manifest.head.outputs.values() for name in names)


def decode(outputs: Outputs, manifest: Manifest) -> Decoded:
    """Read `outputs` (by name, with their batch axis of one) as the manifest says. Raises ModelError.

    A model of both kinds has the worse of both probabilities, and the boxes of both.
    """
    head = manifest.head
    if missing := [name for name in output_names(manifest) if name not in outputs]:
        raise ModelError(
            f"{manifest.name}: the graph has no output '{missing[0]}', which the manifest names; correct it"
        )
    if manifest.decode == "anomaly_map":
        ours = decode_anomaly_map(*_score_and_map(outputs[SCORE], outputs[SCORE_MAP]), manifest)
        return ours if head is None else _both(ours, decode_boxes(outputs, head, manifest, head.calibration))
    if head is None:
        raise ModelError(f"{manifest.name}: decode {manifest.decode} needs the manifest's section 'head'")
    if head.decode == "classification":
        return decode_classification(outputs, head, manifest)
    if head.decode == "anomalib":
        return decode_anomalib(outputs, head, manifest)
    return decode_boxes(outputs, head, manifest, manifest.calibration)


def found_boxes(outputs: Outputs, head: Head, layout: InputLayout, lowest: float) -> Candidates:
    """Boxes with a score of at least `lowest`, in frame pixels and cut to the frame, strongest first."""
    best = strongest(candidates(outputs, head), lowest, head.largest_iou)
    source = (layout.width_px, layout.height_px)
    place = Placement.of(source, (head.network_width_px, head.network_height_px), head.fit)
    boxes = place.to_source(best.boxes)
    boxes[:, 0::2] = np.clip(boxes[:, 0::2], 0, source[0])
    boxes[:, 1::2] = np.clip(boxes[:, 1::2], 0, source[1])
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Candidates(best.labels, best.scores, boxes).take(inside)


def decode_boxes(outputs: Outputs, head: Head, manifest: Manifest, calibration: Calibration) -> Decoded:
    """The score of the image is that of its strongest box that does not speak for a good part."""
    found = found_boxes(outputs, head, manifest.input, head.lowest_score)
    p_boxes = probability(found.scores, calibration)
    detections: list[Detection] = []
    least = manifest.thresholds["box"] if head.box_threshold is None else head.box_threshold
    score = 0.0
    for label, raw, p, box in zip(found.labels, found.scores, p_boxes, found.boxes, strict=True):
        name = head.labels[int(label)]
        if name in head.good_labels:
            continue
        score = max(score, float(raw))
        if p >= least and len(detections) < MAX_DETECTIONS:
            detections.append(Detection(label=name, score=float(p), box_px=_whole_pixels(box)))
    return Decoded(float(probability(score, calibration)), score, tuple(detections), None)


def decode_classification(outputs: Outputs, head: Head, manifest: Manifest) -> Decoded:
    """The score is what the classes leave to those that do not speak for a good part."""
    scores = activate(np.asarray(outputs[head.outputs["scores"][0]]).reshape(-1), head.activation)
    if len(scores) != len(head.labels):
        raise ModelError(f"the model has {len(scores)} classes, the manifest {len(head.labels)} labels")
    if not np.isfinite(scores).all():
        raise ModelError("the classes' scores are not finite")
    bad = [index for index, name in enumerate(head.labels) if name not in head.good_labels]
    score = min(1.0, float(scores[bad].sum() if head.activation == "softmax" else scores[bad].max()))
    p = float(probability(score, manifest.calibration))
    detections: tuple[Detection, ...] = ()
    if p >= manifest.thresholds["box"]:
        whole = (0, 0, manifest.input.width_px, manifest.input.height_px)
        name = head.labels[max(bad, key=lambda index: float(scores[index]))]
        detections = (Detection(label=name, score=p, box_px=whole),)
    return Decoded(p, score, detections, None)


def decode_anomalib(outputs: Outputs, head: Head, manifest: Manifest) -> Decoded:
    """anomalib 2's pred_score and anomaly_map (1, 1, rows, columns), both scaled to 0..1 by it."""
    score, score_map = (outputs[head.outputs[role][0]] for role in ("score", "map"))
    return decode_anomaly_map(*_score_and_map(score, score_map), manifest)


def finite(score: float, manifest: Manifest) -> float:
    """The score. Raises ModelError when it is not finite: no such score says that a part is good."""
    if not math.isfinite(score):
        raise ModelError(f"{manifest.name}: the score is {score}; teach the model or export it again")
    return score


def _score_and_map(score: npt.NDArray[Any], score_map: npt.NDArray[Any]) -> tuple[float, ScoreMap]:
    """One number and (rows, columns), each with axes of one before it. Raises ModelError."""
    if score.size != 1 or score_map.ndim < 2 or score_map.size != math.prod(score_map.shape[-2:]):
        raise ModelError(f"score {score.shape} and map {score_map.shape} are no score and map of one image")
    cells = score_map.reshape(score_map.shape[-2:]).astype(np.float32, copy=False)
    return float(score.reshape(())), np.ascontiguousarray(cells)


def _both(ours: Decoded, boxes: Decoded) -> Decoded:
    detections = sorted((*ours.detections, *boxes.detections), key=lambda found: -found.score)
    p_defect = max(ours.p_defect, boxes.p_defect)
    return Decoded(p_defect, ours.anomaly_score, tuple(detections[:MAX_DETECTIONS]), ours.heatmap)


def _whole_pixels(box: npt.NDArray[np.float32]) -> Box:
    """The smallest box of whole pixels around it."""
    x0, y0, x1, y1 = (float(v) for v in box)
    return math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)


def decode_anomaly_map(score: float, score_map: ScoreMap, manifest: Manifest) -> Decoded:
    """Decode "anomaly_map": `score` of the image and `score_map` (rows, columns) over all of it.

    Boxes are the connected regions of the map where p_defect passes the box threshold, grown to
    the cells' borders in source pixels; a box's score is p_defect at its peak. There are none where the
    image's own score lies under that threshold: the calibration is fitted to it, and the map of a model with
    two scales is another quantity (docs/decisions/042). Where only the score passes it, there is one box, at
    the map's highest place.
    """
    source = (manifest.input.width_px, manifest.input.height_px)
    limit = score_at(manifest.thresholds["box"], manifest.calibration)
    found = regions(score_map, limit, source) if score >= limit else []
    return decoded_map(score, found, shrink(score_map), manifest)


def decoded_map(
    score: float, found: Sequence[tuple[Box, float]], shrunk: ScoreMap, manifest: Manifest
) -> Decoded:
    """The rest of `decode_anomaly_map`, from boxes with their peaks and the map after `shrink`."""
    finite(score, manifest)
    if not found and score >= score_at(manifest.thresholds["box"], manifest.calibration):
        found = _highest_place(shrunk, (manifest.input.width_px, manifest.input.height_px))
    return Decoded(
        p_defect=float(probability(score, manifest.calibration)),
        anomaly_score=score,
        detections=tuple(
            Detection(
                label=manifest.labels[0], score=float(probability(peak, manifest.calibration)), box_px=box
            )
            for box, peak in found
        ),
        heatmap=to_heatmap(probability(shrunk, manifest.calibration)),
    )


def _highest_place(score_map: ScoreMap, source: tuple[int, int]) -> list[tuple[Box, float]]:
    """What lies near the map's peak and next to it; nothing where the map says the same everywhere."""
    near = _NEAR_PEAK * float(score_map.max())
    return regions(score_map, near, source)[:1] if float(score_map.min()) < near else []


def regions(score_map: ScoreMap, limit: float, source: tuple[int, int]) -> list[tuple[Box, float]]:
    """Connected regions (8 neighbours) of cells at or over `limit`: box and peak, strongest first.

    `source` is (width, height) in pixels of the image that the map covers.
    """
    above = (score_map >= limit).astype(np.uint8)
    if not above.any():
        return []
    rows, columns = score_map.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    found: list[tuple[Box, float]] = []
    for index in range(1, count):
        x, y, width, height = (int(v) for v in stats[index][:4])
        patch = np.s_[y : y + height, x : x + width]
        peak = float(score_map[patch][labels[patch] == index].max())
        box = (
            x * source[0] // columns,
            y * source[1] // rows,
            -(-(x + width) * source[0] // columns),
            -(-(y + height) * source[1] // rows),
        )
        found.append((box, peak))
    found.sort(key=lambda item: (-item[1], item[0]))
    return found[:MAX_DETECTIONS]


def shrink(score_map: ScoreMap) -> ScoreMap:
    """Reduce a map to at most HEATMAP_LIMIT cells a side; each cell keeps its largest value."""
    for axis in (0, 1):
        length = score_map.shape[axis]
        if length > HEATMAP_LIMIT:
            starts = np.arange(HEATMAP_LIMIT) * length // HEATMAP_LIMIT
            score_map = np.maximum.reduceat(score_map, starts, axis=axis)
    return score_map


def to_heatmap(p: npt.NDArray[np.float64]) -> Heatmap:
    """Probabilities (rows, columns) as the uint8 heat map of a FrameResult."""
    rows, columns = p.shape
    data = np.rint(p * 255.0).astype(np.uint8).tobytes()
    return Heatmap(width=columns, height=rows, data=data)
