"""mAP by `inspector evaluate` on COCO labels: the right figure, and one clear line for wrong labels."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_box_model import BOX, HEIGHT, WIDTH, write_box_model
from typer.testing import CliRunner

from inspector.cli import app
from inspector.errors import ConfigError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_box_model(tmp_path_factory.mktemp("models") / "boxes")


def coco(
    boxes: Mapping[str, tuple[float, ...] | None], size: tuple[int, int] = (WIDTH, HEIGHT)
) -> dict[str, Any]:
    """COCO labels of these images, each with one box (x0, y0, x1, y1) or none."""
    annotations = [
        {"id": n, "image_id": n, "category_id": 5, "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]]}
        for n, b in enumerate(boxes.values())
        if b is not None
    ]
    images = [
        {"id": n, "file_name": name, "width": size[0], "height": size[1]} for n, name in enumerate(boxes)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 5, "name": "dent"}]}


def write(folder: Path, labels: dict[str, Any], greys: dict[str, int], scale: int = 1) -> Path:
    for name, grey in greys.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((HEIGHT * scale, WIDTH * scale), grey, dtype=np.uint8))
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def evaluate(*words: object) -> tuple[dict[str, Any], str]:
    done = CliRunner().invoke(app, ["evaluate", *(str(word) for word in words)])
    if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
        raise done.exception
    last = done.stdout.strip().splitlines()[-1]
    return (json.loads(last) if last.startswith("{") else {}), done.stdout


def test_map_is_in_json_table_and_report(model: Path, tmp_path: Path) -> None:
    # Of two dents one is found, and one found elsewhere with a higher score: precision 1/2 up to recall 1/2.
    boxes = {"a.png": BOX, "b.png": (0.0, 0.0, 9.0, 9.0), "c.png": None}
    data = write(tmp_path, coco(boxes), {"a.png": 150, "b.png": 200, "c.png": 0})
    figures, _ = evaluate(model, data, "--json")
    assert figures["map50"] == pytest.approx(0.5 * 51 / 101, abs=1e-6)  # recalls 0 to 0.50 of 101
    assert figures["map"] == pytest.approx(0.5 * 51 / 101, abs=1e-6)
    assert figures["true_boxes"] == 2
    assert (figures["defect_images"], figures["good_images"]) == (2, 1)
    report = tmp_path / "report.html"
    _, table = evaluate(model, data, "--report", report)
    assert "mAP at IoU 0.5" in table
    assert "mAP at IoU 0.5" in report.read_text()


def test_folders_and_labels_go_together_and_boxes_scale_with_the_image(model: Path, tmp_path: Path) -> None:
    twice = tuple(2 * value for value in BOX)
    labels = coco({"test_defect/a.png": twice, "test_good/b.png": None}, (2 * WIDTH, 2 * HEIGHT))
    data = write(tmp_path, labels, {"test_defect/a.png": 200, "test_good/b.png": 0, "test_good/c.png": 0}, 2)
    (data / "labels.json").rename(tmp_path / "other.json")
    figures, _ = evaluate(model, data, "--json")
    assert figures["map50"] is None
    figures, _ = evaluate(model, data, "--json", "--labels", tmp_path / "other.json")
    assert figures["map50"] == 1.0
    assert (figures["defect_images"], figures["good_images"]) == (1, 2)
    assert figures["image_auroc"] == 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bbox": [50, 10, 30, 10]}, "lies outside a.png"),
        ({"bbox": [10, 10, 0, 5]}, "has no size"),
        ({"image_id": 7}, "there is no image 7"),
        ({"category_id": 7}, "there is no category 7"),
    ],
)
def test_labels_that_point_outside(model: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    labels = coco({"a.png": BOX})
    labels["annotations"][0] |= change
    with pytest.raises(ConfigError, match=said):
        evaluate(model, write(tmp_path, labels, {"a.png": 100}))


def test_wrong_sizes_missing_files_and_other_labels(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.png is 64 x 48 pixels, the labels say 640 x 480"):
        evaluate(model, write(tmp_path, coco({"a.png": BOX}, (640, 480)), {"a.png": 100}))
    with pytest.raises(ConfigError, match=r"gone\.png is not there"):
        evaluate(model, write(tmp_path, coco({"gone.png": BOX}), {"a.png": 100}))
    with pytest.raises(ConfigError, match="none in common"):
        evaluate(model, write(tmp_path, coco({"a.png": BOX}) | {"categories": [{"id": 5, "name": "x"}]}, {}))
    with pytest.raises(ConfigError, match=r"no\.json: cannot be read"):
        evaluate(model, tmp_path, "--labels", tmp_path / "no.json")
    (tmp_path / "labels.json").write_text('{"images": [')
    with pytest.raises(ConfigError, match="not COCO labels"):
        evaluate(model, tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    write(tmp_path, coco({"a.png": BOX}), {})
    with pytest.raises(ConfigError, match="the file is empty"):
        evaluate(model, tmp_path)
