"""Labels are read or refused in one line; crops and targets keep boxes in place."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.detect.training.coco import read_coco
from inspector.detect.training.targets import crop, targets
from inspector.errors import ConfigError


def labels() -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 30.5, 8], "iscrowd": 0}],
        "categories": [{"id": 3, "name": "dent", "supercategory": "defect"}],
    }


def write(folder: Path, content: object) -> Path:
    cv2.imwrite(str(folder / "a.png"), np.zeros((48, 64), dtype=np.uint8))
    (folder / "labels.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_labels_of_any_tool_are_read(tmp_path: Path) -> None:
    found = read_coco(write(tmp_path, labels()))
    assert found.labels == ("dent",)
    ((box,),) = (image.boxes for image in found.images)
    assert (box.label, box.box) == (0, (10, 20, 40.5, 28))


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        (
            "annotations",
            {"bbox": [50, 10, 30, 10]},
            "annotation 1: box 50, 10, 30 x 10 lies outside a.png (64 x 48",
        ),
        ("annotations", {"bbox": [-5, 10, 30, 10]}, "lies outside"),
        ("annotations", {"bbox": [10, 10, 0, 10]}, "has no size"),
        ("annotations", {"bbox": [10, 10, 5]}, "not COCO labels"),
        ("annotations", {"image_id": 8}, "there is no image 8"),
        ("annotations", {"category_id": 8}, "there is no category 8"),
        ("images", {"file_name": "b.png"}, "b.png is not there"),
        ("images", {"template": "t.png"}, "t.png is not there"),
        ("images", {"width": "wide"}, "not COCO labels"),
        ("images", {"width": 0}, "image 7: 0 x 48 pixels have no size"),
        ("categories", {"name": " "}, "category 3 has no name"),
        ("categories", {"name": "a\nb"}, "category 3 has no name"),
    ],
)
def test_each_mistake_is_one_line(tmp_path: Path, key: str, change: dict[str, Any], words: str) -> None:
    content = labels()
    content[key][0] |= change
    with pytest.raises(ConfigError) as caught:
        read_coco(write(tmp_path, content))
    assert words in str(caught.value)
    assert "labels.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"images": [], "annotations": [], "categories": []}', "\x00"]
)
def test_what_is_no_label_file_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_coco(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "other", "words"),
    [
        ("images", {"file_name": "b.png"}, "image id 7 is there twice"),
        ("images", {"id": 8}, "file_name a.png is there twice"),
        ("categories", {"name": "scratch"}, "category id 3 is there twice"),
        ("categories", {"id": 4}, "category dent is there twice"),
    ],
)
def test_what_is_there_twice_is_named(tmp_path: Path, key: str, other: dict[str, Any], words: str) -> None:
    content = labels()
    content[key].append(content[key][0] | other)
    with pytest.raises(ConfigError, match=words):
        read_coco(write(tmp_path, content))


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    write(tmp_path, labels())
    path = tmp_path / "labels.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_coco(tmp_path).labels == ("dent",)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"labels\.json: cannot be read"):
        read_coco(tmp_path)


def test_a_box_that_sticks_out_by_a_rounding_is_cut(tmp_path: Path) -> None:
    content = labels()
    content["annotations"][0]["bbox"] = [-0.5, 20, 64.9, 28.3]
    ((box,),) = (image.boxes for image in read_coco(write(tmp_path, content)).images)
    assert box.box == (0, 20, 64, 48)


@given(st.integers(0, 2**32 - 1), st.integers(0, 160 - 12), st.integers(0, 96 - 12), st.booleans())
def test_a_crop_moves_boxes_with_their_pixels(seed: int, x: int, y: int, turn: bool) -> None:
    image = np.zeros((96, 160, 1), dtype=np.uint8)
    image[y : y + 12, x : x + 12] = 255
    boxes = np.array([[2, x, y, x + 12, y + 12]], dtype=np.float32)
    pixels, kept, cut = crop(image, boxes, (64, 64), np.random.default_rng(seed), turn=turn)
    assert pixels.shape == (64, 64, 1)
    assert len(kept) + len(cut) == int(pixels.any())
    for label, x0, y0, x1, y1 in np.concatenate([kept, cut]):
        assert label == 2
        inside = pixels[int(y0) : int(y1), int(x0) : int(x1)]
        assert inside.size
        assert (inside == 255).all()
        assert inside.sum() == pixels.sum()


def test_cells_around_the_centre_answer_and_the_smaller_box_goes_first() -> None:
    boxes = np.array([[0, 0, 0, 64, 64], [1, 28, 28, 36, 36], [2, 65, 1, 67, 3]], dtype=np.float32)
    wanted = targets(boxes, np.zeros((0, 5), dtype=np.float32), 96, 64)
    assert wanted.labels.shape == (8, 12)
    assert {*wanted.labels[3:5, 3:5].ravel()} == {1, 0} or (wanted.labels[3:5, 3:5] == 1).all()
    assert wanted.labels[0, 8] == 2  # two pixels across, and still found
    assert wanted.labels[7, 11] == -1
    assert tuple(wanted.boxes[:, 0, 8]) == (65, 1, 67, 3)


def test_a_box_that_is_cut_counts_neither_way() -> None:
    none = np.zeros((0, 5), dtype=np.float32)
    wanted = targets(none, np.array([[0, 0, 0, 16, 16]], dtype=np.float32), 64, 64)
    assert (wanted.labels[:2, :2] == -2).all()
    assert (wanted.labels[2:] == -1).all()
