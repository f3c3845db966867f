"""What people hand to the commands that judge a model: one line that says what to do, and nothing changed."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_box_model import write_box_model
from tiny_model import HEIGHT, WIDTH, write_tiny_model

from inspector import cli
from inspector.detect.model.manifest import SCORE, load_manifest
from inspector.detect.model.model_folder import write_model

EVALUATE = ("evaluate", "tiny", "data", "--report", "report.html")
CALIBRATE = ("calibrate", "model", "tiny", "data", "--max-escape", "20%")
QUANTIZE = ("quantize", "tiny", "data")
MERGE = ("merge", "tiny", "boxes", "--name", "both")
GOOD, DEFECT, MASK = (
    Path("data") / part for part in ("test_good/good3.png", "test_defect/defect3.png", "masks/defect3.png")
)


def picture(
    path: Path, grey: int, *, size: tuple[int, int] = (WIDTH, HEIGHT), dtype: type = np.uint8
) -> None:
    assert cv2.imwrite(str(path), np.full((size[1], size[0]), grey, dtype=dtype))


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: models/tiny and models/boxes; data/{test_good,test_defect,masks}, 6 images each."""
    monkeypatch.chdir(tmp_path)
    for folder, name, grey in (
        ("test_good", "good", 60), ("test_defect", "defect", 240), ("masks", "defect", 0),
    ):  # fmt: skip
        Path("data", folder).mkdir(parents=True)
        for index in range(6):
            picture(Path("data", folder, f"{name}{index}.png"), grey + index)
    write_tiny_model(Path("models/tiny"))
    write_box_model(Path("models/boxes"))
    return tmp_path


def status(*words: str) -> int:
    """The command's exit status, run as `inspector` runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["inspector", *words])
        try:
            cli.main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def files() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    """The one line of error; all files stay as they were."""
    before = files()
    capsys.readouterr()
    assert status(*words) == code
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert lines[-1] == errors[0]
    assert files() == before
    return errors[0]


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize("command", [EVALUATE, CALIBRATE])
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda: cut(GOOD), "cut off"),
        (lambda: picture(GOOD, 60, size=(WIDTH, 3 * HEIGHT)), "the model has 64 x 48"),
        (lambda: picture(GOOD, 60, dtype=np.uint16), "16 bits"),
        (lambda: GOOD.with_name("a\nb.png").write_text("x"), "a b.png"),
        (lambda: empty(Path("data/test_good")), "no images"),
        (lambda: picture(MASK, 255, size=(HEIGHT, WIDTH)), "masks/defect3.png: 48 x 64"),
        (lambda: cut(MASK), "masks/defect3.png: the file is cut off"),
        (lambda: picture(DEFECT.with_suffix(".bmp"), 240), "two images"),
    ],
)
def test_spoiled_images_and_masks(
    capsys: pytest.CaptureFixture[str], spoil: Callable[[], object], says: str, command: tuple[str, ...]
) -> None:
    spoil()
    assert says in refused(capsys, *command)


def test_masks_of_other_images_are_told_and_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for path in Path("data/masks").iterdir():
        path.rename(f"{path}_mask.png")
    assert status("evaluate", "tiny", "data", "--json") == 0
    said = capsys.readouterr()
    assert "data/masks: marks nothing on an image of test_defect" in said.err
    assert json.loads(said.out.splitlines()[-1])["aupro"] is None


def test_a_folder_of_good_and_bad_parts_teaches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """One level too high, and defects and masks would be taught as good."""
    said = refused(capsys, "teach", "--good", "data", "--name", "two")
    assert "holds masks, test_defect, test_good" in said


def test_labels_that_contradict_the_folders(capsys: pytest.CaptureFixture[str]) -> None:
    image = {"id": 1, "file_name": str(GOOD.relative_to("data")), "width": WIDTH, "height": HEIGHT}
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 30]}
    labels = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "dent"}]}
    Path("data/labels.json").write_text(json.dumps(labels))
    assert "lies in test_good" in refused(capsys, "evaluate", "boxes", "data")
    image["file_name"] = "a" * 5000
    Path("data/labels.json").write_text(json.dumps(labels))
    assert "is not there" in refused(capsys, "evaluate", "boxes", "data")


def changed(change: Callable[[onnx.ModelProto], object]) -> Callable[[], None]:
    """models/tiny with a graph that its manifest names, but which is not what it says."""

    def spoil() -> None:
        folder = Path("models/tiny")
        model = onnx.load(folder / "model.onnx")
        change(model)
        write_model(folder, model.SerializeToString(), load_manifest(folder))

    return spoil


def other_score(model: onnx.ModelProto) -> None:
    for part in (*model.graph.node, *model.graph.output):
        if isinstance(part, onnx.NodeProto):
            part.output[:] = ["other" if name == SCORE else name for name in part.output]
        elif part.name == SCORE:
            part.name = "other"


def not_a_number(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.output[:] = ["before" if name == SCORE else name for name in node.output]
    model.graph.initializer.append(numpy_helper.from_array(np.float32("nan"), "nan"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["before", "nan"], [SCORE]))


def half() -> None:
    folder = Path("models/tiny")
    whole = (folder / "model.onnx").read_bytes()
    write_model(folder, whole[: len(whole) // 2], load_manifest(folder))


@pytest.mark.parametrize("command", [EVALUATE, CALIBRATE, QUANTIZE, MERGE])
@pytest.mark.parametrize(
    "spoil",
    [
        changed(other_score),
        changed(not_a_number),
        changed(lambda model: setattr(model.graph.node[2], "op_type", "Frobnicate")),
        half,
        lambda: cut(Path("models/tiny/model.onnx")),
        lambda: Path("models/tiny/model.onnx").unlink(),
    ],
    ids=["no score", "not a number", "no such operator", "half a graph", "cut off", "no file"],
)
def test_models_that_are_not_what_they_say(
    capsys: pytest.CaptureFixture[str], spoil: Callable[[], object], command: tuple[str, ...]
) -> None:
    spoil()
    line = refused(capsys, *command, code=1)
    assert re.match(r"error: (models/)?(tiny|both)(/model.onnx)?: ", line)


def test_where_nothing_can_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--report" in refused(capsys, "evaluate", "tiny", "data", "--report", "no/such.html")
    assert "--report" in refused(capsys, "evaluate", "tiny", "data", "--report", "data")
    assert "another name" in refused(capsys, "merge", "tiny", "boxes", "--name", "tiny")
    Path("models/both").write_text("mine")
    assert "Not a directory" in refused(capsys, *MERGE, code=1)


def test_a_report_names_files_whose_names_are_not_utf8() -> None:
    GOOD.rename(GOOD.with_name(os.fsdecode(b"\xff.png")))
    assert status(*EVALUATE) == 0
    assert "\\udcff.png" in Path("report.html").read_text(encoding="utf-8")


def test_what_a_killed_calibration_left_goes_with_the_next() -> None:
    left = Path("models/tiny/.manifest.yaml.new-999999999")
    left.write_text("half")
    assert status(*CALIBRATE) == 0
    assert not left.exists()
