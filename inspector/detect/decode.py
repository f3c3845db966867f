"""From a network's outputs to detections in source pixels. Pure."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.calibration import probability, score_at
from inspector.detect.manifest import Manifest
from inspector.types import Box, Detection, Heatmap

HEATMAP_LIMIT: Final = 64  # largest width and height that leaves the detector
MAX_DETECTIONS: Final = 20  # strongest first; a wrecked part needs no thousand boxes

ScoreMap = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Decoded:
    p_defect: float
    anomaly_score: float
    detections: tuple[Detection, ...]
    heatmap: Heatmap


def decode_anomaly_map(score: float, score_map: ScoreMap, manifest: Manifest) -> Decoded:
    """Decode "anomaly_map": `score` of the image and `score_map` (rows, columns) over all of it.

    Boxes are the connected regions of the map where p_defect passes the box threshold, grown to
    the cells' borders in source pixels; a box's score is p_defect at its peak.
    """
    source = (manifest.input.width_px, manifest.input.height_px)
    limit = score_at(manifest.thresholds["box"], manifest.calibration)
    detections = []
    for box, peak in regions(score_map, limit, source):
        p_box = float(probability(peak, manifest.calibration))
        detections.append(Detection(label=manifest.labels[0], score=p_box, box_px=box))
    return Decoded(
        p_defect=float(probability(score, manifest.calibration)),
        anomaly_score=score,
        detections=tuple(detections),
        heatmap=to_heatmap(probability(shrink(score_map), manifest.calibration)),
    )


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
