"""A model that the demo has taught is used again as long as it would come out the same."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.errors import ConfigError
from inspector.services import demo_teach


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "good"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        image = rng.integers(90, 110, (64, 64), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


def test_the_same_images_are_taught_once(good: Path) -> None:
    first = demo_teach.taught(good)
    written = (first / "model.onnx").stat().st_mtime_ns
    assert demo_teach.taught(good) == first
    assert (first / "model.onnx").stat().st_mtime_ns == written


def test_what_teaches_otherwise_teaches_anew(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = demo_teach.taught(good)
    monkeypatch.setattr(demo_teach, "_version", lambda _models: "another")
    again = demo_teach.taught(good)
    assert again != first
    assert (again / "manifest.yaml").is_file()


def test_the_newest_three_models_are_kept(good: Path) -> None:
    first = demo_teach.taught(good)
    for age in range(1, 5):
        older = first.with_name(f"demo-{age}")
        shutil.copytree(first, older)
        os.utime(older, (1e9 - age, 1e9 - age))
    (first.parent / "flange").mkdir()  # not of the demo
    os.utime(first, (1, 1))  # the one in use stays, whatever its age
    assert demo_teach.taught(good) == first
    assert {path.name for path in first.parent.iterdir()} == {first.name, "demo-1", "demo-2", "flange"}


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        demo_teach.taught(tmp_path / "nothing")
