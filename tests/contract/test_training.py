"""Training finds what it was shown, goes on after a kill, and the model that it writes runs in the engine."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip(
    "torch", reason="needs torch: pip install torch --index-url https://download.pytorch.org/whl/cpu"
)

from inspector.config import DetectorConfig
from inspector.detect.commands import find_backbone
from inspector.detect.load import load_detector
from inspector.detect.model.manifest import load_manifest
from inspector.detect.training.train import TrainOptions, train_boxes
from inspector.errors import ConfigError
from inspector.types import Frame, FrameMeta

SIZE = 96


def picture(seed: int) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], list[int]]:
    """Grey noise with one bright square; its box as COCO has it."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 110, (SIZE, SIZE)).astype(np.uint8)
    x, y = (int(v) for v in rng.integers(4, SIZE - 28, 2))
    cv2.rectangle(image, (x, y), (x + 19, y + 19), 230, -1)
    return image, [x, y, 20, 20]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    images, annotations = [], []
    for number in range(24):
        image, box = picture(number)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"{number}.png", "width": SIZE, "height": SIZE})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box})
    labels = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def options(epochs: int = 40) -> TrainOptions:
    return TrainOptions(name="squares", epochs=epochs, held_out=0.2, threads=1)


@pytest.fixture(scope="module")
def models(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    train_boxes(data, None, root, find_backbone(root), options=options())
    return root


def test_it_finds_squares_that_it_has_not_seen(models: Path) -> None:
    manifest = load_manifest(models / "squares")
    assert manifest.metrics["held_out_map50"] >= 0.8
    assert [path.name for path in models.iterdir()] == ["squares"]  # no checkpoint stays


def test_the_engine_runs_it(models: Path, tmp_path: Path) -> None:
    image, (x, y, width, height) = picture(99)
    meta = FrameMeta(
        camera_id="c", frame_id=0, exposure_start_ns=0, exposure_us=1.0, received_ns=0,
        width_px=SIZE, height_px=SIZE, pixel_format="Mono8",
    )  # fmt: skip
    engine = load_detector(DetectorConfig(model="squares"), models, cache_dir=tmp_path)
    engine.submit(Frame(meta, image))
    while not (results := engine.collect()):
        pass
    engine.close()
    found = results[0][1].detections[0]
    assert found.label == "square"
    assert np.abs(np.array(found.box_px) - [x, y, x + width, y + height]).max() <= 5


class _KilledError(Exception):
    pass


def test_a_training_that_was_stopped_ends_in_the_same_model(data: Path, tmp_path: Path) -> None:
    backbone = find_backbone(tmp_path)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train_boxes(data, None, whole, backbone, options=options(3))

    def kill(what: str, done: int, total: int) -> None:
        if what == "Training" and done > total // 2:
            raise _KilledError

    with pytest.raises(_KilledError):
        train_boxes(data, None, stopped, backbone, options=options(3), progress=kill)
    assert not (stopped / "squares").exists()
    train_boxes(data, None, stopped, backbone, options=options(3))
    assert load_manifest(whole / "squares").onnx == load_manifest(stopped / "squares").onnx


def test_a_checkpoint_of_another_training_is_refused(data: Path, tmp_path: Path) -> None:
    def kill(what: str, done: int, _total: int) -> None:
        if what == "Training" and done > 3:
            raise _KilledError

    backbone = find_backbone(tmp_path)
    with pytest.raises(_KilledError):
        train_boxes(data, None, tmp_path, backbone, options=options(3), progress=kill)
    with pytest.raises(ConfigError, match="other images or options"):
        train_boxes(data, None, tmp_path, backbone, options=options(4))
    checkpoint = tmp_path / ".squares.training" / "checkpoint.pt"
    for damaged in (checkpoint.read_bytes()[:100], b"no checkpoint at all"):
        checkpoint.write_bytes(damaged)
        with pytest.raises(ConfigError, match="cannot be read"):
            train_boxes(data, None, tmp_path, backbone, options=options(3))
    shutil.rmtree(checkpoint.parent)
