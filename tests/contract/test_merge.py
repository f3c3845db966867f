"""Two models in one pass: the same answers as apart, and the backbone computed once."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from inspector.detect.commands import find_backbone
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.importing.merge import merge_models
from inspector.detect.model.decode import decode
from inspector.detect.model.manifest import (
    UNCALIBRATED,
    Head,
    HowMade,
    InputLayout,
    Manifest,
    OnnxFile,
    load_manifest,
)
from inspector.detect.model.model_folder import write_model
from inspector.detect.teaching.teach import TeachOptions, teach
from inspector.detect.training.box_graph import DISTANCES, SCORES, build
from inspector.errors import ConfigError

SIZE = (128, 96)


def box_model(models: Path, layout: InputLayout, size: tuple[int, int] = SIZE) -> Path:
    """An untrained box network on the frozen backbone, with a low limit so that it says something."""
    model = build(layout, size, 2, find_backbone(models)).model
    manifest = Manifest(
        format=1, name="boxes", task="boxes", onnx=OnnxFile(file="model.onnx", sha256=""), input=layout,
        labels=("chip", "crack"), decode="fcos", thresholds={"defect": 0.5, "box": 0.001},
        calibration=UNCALIBRATED, metrics={"held_out_map50": 0.5},
        how_made=HowMade(
            command="", made_utc="", method="boxes", backbone="", good_images=0, defect_images=8,
            network_width_px=size[0], network_height_px=size[1],
        ),
        head=Head(
            decode="fcos", outputs={"scores": (SCORES,), "distances": (DISTANCES,)}, labels=("chip", "crack"),
            network_width_px=size[0], network_height_px=size[1], lowest_score=0.001,
        ),
    )  # fmt: skip
    write_model(models / "boxes", model.SerializeToString(), manifest)
    return models / "boxes"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    (root / "images").mkdir()
    for seed in range(6):
        image = np.random.default_rng(seed).integers(90, 110, (96, 128)).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{seed}.png"), image)
    teach(root / "images", None, root, find_backbone(root), options=TeachOptions(name="good", size=SIZE))
    return root


def test_both_answer_as_they_do_apart_and_the_backbone_runs_once(models: Path) -> None:
    one_class = load_manifest(models / "good")
    boxes = box_model(models, one_class.input)
    folder, shared = merge_models(models / "good", boxes, models, "both", "")
    manifest = load_manifest(folder)
    assert manifest.task == "anomaly_and_boxes"
    assert shared >= 30
    count = sum(node.op_type == "Conv" for node in onnx.load(folder / "model.onnx").graph.node)
    apart = [
        sum(node.op_type == "Conv" for node in onnx.load(path / "model.onnx").graph.node)
        for path in (models / "good", boxes)
    ]
    assert count <= sum(apart) - 15

    frame = np.random.default_rng(9).integers(0, 255, (1, 96, 128, 1)).astype(np.uint8)
    runs = {
        p: CpuRun((p / "model.onnx").read_bytes(), "test")(frame) for p in (models / "good", boxes, folder)
    }
    together = decode(runs[folder], manifest)
    alone = decode(runs[models / "good"], one_class)
    assert together.anomaly_score == pytest.approx(alone.anomaly_score, rel=1e-5)
    assert together.heatmap == alone.heatmap
    for name in (SCORES, DISTANCES):
        assert np.allclose(runs[folder][name], runs[boxes][name], atol=1e-4)
    assert together.p_defect >= alone.p_defect
    boxes_alone = decode(runs[boxes], load_manifest(boxes)).detections
    assert boxes_alone  # over 0.001, the box threshold of that model
    for found in boxes_alone[: 20 - len(alone.detections)]:
        assert found in together.detections


def test_models_that_do_not_go_together_are_refused(models: Path) -> None:
    one_class = load_manifest(models / "good")
    other = InputLayout(width_px=64, height_px=64, pixel_format="Mono8")
    with pytest.raises(ConfigError, match="different frames"):
        merge_models(models / "good", box_model(models, other, (64, 64)), models, "no", "")
    boxes = box_model(models, one_class.input)
    with pytest.raises(ConfigError, match="not a one-class model"):
        merge_models(boxes, boxes, models, "no", "")
    with pytest.raises(ConfigError, match="not a model that finds boxes"):
        merge_models(models / "good", models / "good", models, "no", "")
    assert not (models / "no").exists()
