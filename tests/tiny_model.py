"""A model of a few nodes that loads at once: a cell's score is its mean grey value over 16."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from inspector.detect.model.manifest import (
    Calibration,
    HowMade,
    InputLayout,
    Manifest,
    OnnxFile,
    dump_manifest,
    file_sha256,
)  # fmt: skip
from inspector.detect.teaching.graph import IMAGE, SCORE, SCORE_MAP, GraphBuilder, finish, image_score
from inspector.types import Frame, FrameMeta

WIDTH, HEIGHT, CELL = 64, 48, 8
ROWS, COLUMNS = HEIGHT // CELL, WIDTH // CELL
DETECTION_OVER = 200  # mean grey value of a cell that becomes a box


def write_tiny_model(folder: Path) -> Manifest:
    """Write `folder`/manifest.yaml and model.onnx; returns the manifest."""
    folder.mkdir(parents=True)
    layout = InputLayout(width_px=WIDTH, height_px=HEIGHT, pixel_format="Mono8")
    graph = GraphBuilder()
    value = graph.add("Cast", IMAGE, to=TensorProto.FLOAT)
    value = graph.add("Transpose", value, perm=[0, 3, 1, 2])
    kernel = np.full((1, 1, CELL, CELL), 1 / (16 * CELL * CELL), dtype=np.float32)
    cells = graph.add("Conv", value, graph.constant(kernel), kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    image_score(graph, cells, ROWS, COLUMNS, np.ones((1, 1), dtype=np.float32))
    model = finish(graph, layout, {SCORE: (), SCORE_MAP: (ROWS, COLUMNS)}, "tiny")
    onnx.save(model, folder / "model.onnx")
    manifest = Manifest(
        format=1, name=folder.name, task="anomaly",
        onnx=OnnxFile(file="model.onnx", sha256=file_sha256(folder / "model.onnx")),
        input=layout, labels=("anomaly",), decode="anomaly_map", thresholds={"defect": 0.5, "box": 0.5},
        calibration=Calibration(
            slope=8.0, offset=-8.0 * float(np.log(DETECTION_OVER / 16)), source="good"
        ),
        metrics={},
        how_made=HowMade(
            command="by hand", made_utc="2026-01-01T00:00:00+00:00", method="tiny", backbone="none",
            good_images=0, defect_images=0, network_width_px=WIDTH, network_height_px=HEIGHT,
        ),
    )  # fmt: skip
    (folder / "manifest.yaml").write_text(dump_manifest(manifest))
    return manifest


def tiny_frame(
    frame_id: int, grey: int = 40, *, camera_id: str = "cam", missing: int = 0, received_ns: int = 12
) -> Frame:
    """A grey image of the tiny model's size, read-only as frames in shared memory are."""
    image: npt.NDArray[np.uint8] = np.full((HEIGHT, WIDTH), grey, dtype=np.uint8)
    image.flags.writeable = False
    meta = FrameMeta(
        camera_id=camera_id, frame_id=frame_id, exposure_start_ns=11, exposure_us=100.0,
        received_ns=received_ns, width_px=WIDTH, height_px=HEIGHT, pixel_format="Mono8",
        missing_packets=missing,
    )  # fmt: skip
    return Frame(meta, image)
