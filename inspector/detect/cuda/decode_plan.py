"""What the decoding kernel is told and what it answers, and the result that this makes. Pure."""

import ctypes
from typing import Final

import numpy as np

from inspector.detect.model.decode import HEATMAP_LIMIT, MAX_DETECTIONS, Decoded, decoded_map
from inspector.detect.model.manifest import Manifest
from inspector.detect.risk.calibration import score_at

WORK_INTS_PER_CELL: Final = 6


class DecodeParameters(ctypes.Structure):
    """`Decode` of kernels/decode.cu."""

    _fields_ = (("rows", ctypes.c_int), ("columns", ctypes.c_int), ("limit", ctypes.c_float))


class Region(ctypes.Structure):
    """In cells of the score map, half-open."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("x0", "y0", "x1", "y1")),
        ("peak", ctypes.c_float),
    )


class Answer(ctypes.Structure):
    """All that leaves the device for one image: 17 KB."""

    _fields_ = (
        ("score", ctypes.c_float),
        ("count", ctypes.c_int),
        ("region", Region * MAX_DETECTIONS),
        ("heat", ctypes.c_float * (HEATMAP_LIMIT * HEATMAP_LIMIT)),
    )


def decode_parameters(rows: int, columns: int, manifest: Manifest) -> DecodeParameters:
    """Boxes are where the score passes the manifest's box threshold."""
    limit = score_at(manifest.thresholds["box"], manifest.calibration)
    return DecodeParameters(rows, columns, limit)


def decoded_answer(answer: Answer, parameters: DecodeParameters, manifest: Manifest) -> Decoded:
    """The same as `decode_anomaly_map` gives for the whole score map."""
    rows, columns = parameters.rows, parameters.columns
    width, height = manifest.input.width_px, manifest.input.height_px
    found = []
    for region in answer.region[: answer.count] if answer.score >= parameters.limit else ():
        box = (
            region.x0 * width // columns,
            region.y0 * height // rows,
            -(-region.x1 * width // columns),
            -(-region.y1 * height // rows),
        )
        found.append((box, float(region.peak)))
    shape = (min(rows, HEATMAP_LIMIT), min(columns, HEATMAP_LIMIT))
    heat = np.frombuffer(answer.heat, dtype=np.float32)[: shape[0] * shape[1]].reshape(shape)
    return decoded_map(float(answer.score), found, heat, manifest)
