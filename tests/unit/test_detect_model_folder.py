"""What stays in a model's folder when the model changes."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from tiny_model import HEIGHT, WIDTH, write_tiny_model

from inspector.detect.model import model_folder
from inspector.detect.model.manifest import Head, load_manifest
from inspector.detect.model.model_folder import write_manifest, write_model
from inspector.detect.risk.calibrate_command import calibrate_model
from inspector.errors import ConfigError


def model_with_engine(folder: Path) -> Path:
    write_tiny_model(folder)
    (folder / "engines").mkdir()
    (folder / "engines" / "one.engine").write_bytes(b"plan")
    (folder / "photos").mkdir()
    (folder / "photos" / "setup.txt").write_text("lamp at 40 cm")
    return folder


def test_engines_stay_with_their_graph_and_notes_in_any_case(tmp_path: Path) -> None:
    folder = model_with_engine(tmp_path / "disc")
    manifest, graph = load_manifest(folder), (folder / "model.onnx").read_bytes()
    write_model(folder, graph, manifest)
    assert (folder / "engines" / "one.engine").read_bytes() == b"plan"
    write_model(folder, graph + b"\x12\x01a", manifest)  # protobuf: another field
    assert not (folder / "engines").exists()
    assert (folder / "photos" / "setup.txt").read_text() == "lamp at 40 cm"
    assert [path.name for path in tmp_path.iterdir()] == ["disc"]


def test_what_a_killed_process_had_put_aside_comes_back(tmp_path: Path) -> None:
    folder = model_with_engine(tmp_path / "disc")
    manifest, graph = load_manifest(folder), (folder / "model.onnx").read_bytes()
    folder.rename(tmp_path / ".disc.old-999999999")  # killed between two renames
    (tmp_path / ".disc.new-999999999").mkdir()
    (tmp_path / ".disc.new-1").mkdir()  # a process that lives
    write_model(folder, graph, manifest)
    assert (folder / "photos" / "setup.txt").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".disc.new-1", "disc"]


def test_where_folders_cannot_be_exchanged_they_are_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_with_engine(tmp_path / "disc")
    manifest, graph = load_manifest(folder), (folder / "model.onnx").read_bytes()
    monkeypatch.setattr(model_folder, "_exchange", lambda _one, _other: False)
    write_model(folder, graph + b"\x12\x01a", manifest)
    assert load_manifest(folder).onnx.sha256 != manifest.onnx.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["disc"]


def test_a_manifest_is_replaced_alone(tmp_path: Path) -> None:
    folder = model_with_engine(tmp_path / "disc")
    manifest = load_manifest(folder)
    changed = msgspec.structs.replace(manifest, metrics={"seen": 1.0})
    before = (folder / "model.onnx").stat()
    write_manifest(folder, changed)
    assert load_manifest(folder) == changed
    assert (folder / "model.onnx").stat() == before
    assert sorted(path.name for path in folder.iterdir()) == [
        "engines", "manifest.yaml", "model.onnx", "photos",
    ]  # fmt: skip


def test_calibrating_leaves_the_engines(tmp_path: Path) -> None:
    folder = model_with_engine(tmp_path / "disc")
    (tmp_path / "data" / "test_good").mkdir(parents=True)
    for grey in range(40, 60):
        image = np.full((HEIGHT, WIDTH), grey, dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "data" / "test_good" / f"{grey}.png"), image)
    before = load_manifest(folder)
    calibrate_model(model=str(folder), data=tmp_path / "data", max_false_reject="10%", threads=1)
    assert load_manifest(folder).calibration != before.calibration
    assert (folder / "engines" / "one.engine").is_file()


def test_a_model_whose_verdict_rests_on_two_scores_is_not_calibrated(tmp_path: Path) -> None:
    folder = model_with_engine(tmp_path / "both")
    head = Head(
        decode="boxes", outputs={"output": ("boxes",)}, labels=("chip",), network_width_px=WIDTH,
        network_height_px=HEIGHT,
    )  # fmt: skip
    write_manifest(
        folder, msgspec.structs.replace(load_manifest(folder), task="anomaly_and_boxes", head=head)
    )
    before = (folder / "manifest.yaml").read_bytes()
    with pytest.raises(ConfigError, match="calibrate the two models and merge them again"):
        calibrate_model(model=str(folder), data=tmp_path, max_false_reject="10%")
    assert (folder / "manifest.yaml").read_bytes() == before


def test_a_folder_that_is_a_link_stays_one(tmp_path: Path) -> None:
    folder = model_with_engine(tmp_path / "disk" / "disc")
    manifest, graph = load_manifest(folder), (folder / "model.onnx").read_bytes()
    link = tmp_path / "models" / "disc"
    link.parent.mkdir()
    link.symlink_to(folder)
    (folder.parent / ".disc.new-999999999").symlink_to(folder)  # left behind by an older version
    for index in range(3):
        write_model(link, graph + b"\x12\x01" + bytes([97 + index]), manifest)
    assert link.is_symlink()
    assert load_manifest(link).onnx.sha256 == load_manifest(folder).onnx.sha256 != manifest.onnx.sha256
    assert (folder / "photos" / "setup.txt").is_file()
    assert [path.name for path in (*folder.parent.iterdir(), *link.parent.iterdir())] == ["disc", "disc"]
