"""Training finds what it was shown, goes on after a kill, and the model that it writes runs in the engine."""

import json
import resource
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
from inspector.detect.training.fit import FitOptions, crops
from inspector.detect.training.train import TrainOptions, train_boxes
from inspector.errors import ConfigError, StoreError
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


def test_a_disk_that_refuses_is_one_line_and_leaves_the_epoch_before(data: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / ".squares.training" / "checkpoint.pt"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = b""

    def fill(what: str, _done: int, _total: int) -> None:
        nonlocal kept
        if what == "Training" and not kept and checkpoint.exists():
            kept = checkpoint.read_bytes()
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    try:
        with pytest.raises(StoreError, match="make room") as caught:
            train_boxes(data, None, tmp_path, find_backbone(tmp_path), options=options(3), progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert checkpoint.read_bytes() == kept
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [checkpoint.name]


def test_labels_of_another_size_than_the_images_are_refused(data: Path, tmp_path: Path) -> None:
    labels = json.loads((data / "labels.json").read_text())
    for image in labels["images"]:
        image |= {"width": 10 * SIZE, "height": 10 * SIZE}
    (tmp_path / "large.json").write_text(json.dumps(labels))
    with pytest.raises(ConfigError, match="96 x 96 pixels, the labels say 960 x 960"):
        train_boxes(data, tmp_path / "large.json", tmp_path, find_backbone(tmp_path), options=options(1))


def test_crops_of_a_low_image_are_square_and_so_turned() -> None:
    image = np.zeros((64, 160, 1), dtype=np.uint8)
    flat = np.array([[0, 40, 20, 72, 28]], dtype=np.float32)  # 32 x 8, which upright is 8 x 32
    shapes = set()
    for epoch in range(12):
        ((pixels, _, boxes),) = crops([(image, flat)], FitOptions(), epoch)
        assert tuple(pixels.shape[2:]) == (64, 64)
        left, upper, right, lower = (float(side.max()) for side in boxes[0])
        shapes.add(right - left > lower - upper)
    assert shapes == {True, False}
