"""More good parts for a taught model: as if taught at once, each image once, and whole whatever happens."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from inspector.detect.commands import find_backbone, summary
from inspector.detect.drift import TYPICAL_GOOD
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.images import read_image
from inspector.detect.model.manifest import SCORE, load_manifest
from inspector.detect.model.model_folder import MEMORY_NAME, write_manifest
from inspector.detect.risk.calibration import probability
from inspector.detect.teaching import discriminator
from inspector.detect.teaching import teach as teach_module
from inspector.detect.teaching.add import add_good
from inspector.detect.teaching.features import Projection
from inspector.detect.teaching.held_out import Method
from inspector.detect.teaching.memory import load_memory
from inspector.detect.teaching.teach import Taught, TeachOptions, teach
from inspector.errors import ConfigError, ModelError

SIZE = (128, 96)
BACKBONE = find_backbone(Path("models"))


def part(seed: int, *, spot: bool = False) -> np.ndarray:
    """A bright disc on a dark, slightly noisy ground, with a black spot where it is defective."""
    rng = np.random.default_rng(seed)
    image = rng.normal(60, 3, (96, 128)).astype(np.float32)
    cv2.circle(image, (64, 48), 30, 170.0, -1)
    if spot:
        cv2.circle(image, (50 + seed % 20, 45), 5, 20.0, -1)
    return np.asarray(np.clip(cv2.GaussianBlur(image, (0, 0), 1.0), 0, 255), dtype=np.uint8)


def folder_of(path: Path, seeds: range, *, spot: bool = False) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        cv2.imwrite(str(path / f"{seed:04}.png"), part(seed, spot=spot))
    return path


def taught(
    root: Path, name: str, seeds: range, method: Method = "gaussian", defect: Path | None = None
) -> Taught:
    good = folder_of(root / f"images_{name}", seeds)
    return teach(
        good, defect, root / "models", BACKBONE, options=TeachOptions(name=name, method=method, size=SIZE)
    )


def scores(folder: Path, images: Path) -> np.ndarray:
    manifest = load_manifest(folder)
    run = CpuRun((folder / manifest.onnx.file).read_bytes(), str(folder))
    return np.array(
        [float(run(read_image(path, manifest.input)[None])[SCORE]) for path in sorted(images.iterdir())]
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/disc, taught from twelve parts, with the images of the others beside it."""
    root = tmp_path_factory.mktemp("add")
    taught(root, "disc", range(12))
    folder_of(root / "more", range(12, 20))
    folder_of(root / "unseen", range(100, 104))
    folder_of(root / "unseen", range(200, 204), spot=True)
    return root


@pytest.fixture
def models(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first / "models", tmp_path / "models")
    return tmp_path / "models"


def projection_of(folder: Path) -> Projection:
    return load_memory(folder, load_manifest(folder).onnx.sha256).projection


@pytest.mark.parametrize("method", ["gaussian", "bank"])
def test_adding_gives_the_model_that_all_at_once_gives(
    method: Method, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught(tmp_path, "disc", range(12), method)
    disc = tmp_path / "models" / "disc"
    added = add_good(disc, first / "more", None, BACKBONE)
    # With the features' projection of the first images: what stays as it was, and the only thing that does.
    kept = projection_of(disc)
    monkeypatch.setattr(Projection, "fit", staticmethod(lambda _features, _depth: kept))
    whole = taught(tmp_path, "whole", range(20), method)
    np.testing.assert_allclose(added.good_scores, whole.good_scores, rtol=1e-5)
    assert added.manifest.how_made.good_images == 20
    pictures, at_once = added.manifest.pictures, whole.manifest.pictures
    assert pictures is not None
    assert at_once is not None
    assert pictures.count == at_once.count == 20
    assert pictures.focus.deviation == pytest.approx(at_once.focus.deviation)
    assert added.manifest.calibration.slope == pytest.approx(whole.manifest.calibration.slope, rel=1e-4)
    assert added.manifest.calibration.offset == pytest.approx(whole.manifest.calibration.offset, rel=1e-4)
    assert added.manifest.metrics[TYPICAL_GOOD] == pytest.approx(
        whole.manifest.metrics[TYPICAL_GOOD], rel=1e-3
    )
    unseen = first / "unseen"
    np.testing.assert_allclose(scores(disc, unseen), scores(whole.folder, unseen), rtol=1e-4)


def test_with_its_own_projection_all_at_once_judges_alike(first: Path, models: Path) -> None:
    add_good(models / "disc", first / "more", None, BACKBONE)
    whole = taught(models.parent, "whole", range(20))
    p = [
        probability(scores(models / name, first / "unseen"), load_manifest(models / name).calibration)
        for name in ("disc", "whole")
    ]
    np.testing.assert_array_equal(p[0] >= 0.5, p[1] >= 0.5)
    assert (p[1] >= 0.5).tolist() == [False] * 4 + [True] * 4
    ratio = scores(models / "disc", first / "unseen") / scores(whole.folder, first / "unseen")
    assert np.abs(ratio - 1).max() < 0.05


def test_an_image_counts_once_whatever_its_name_and_format(models: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    cv2.imwrite(str(again / "same.bmp"), part(3))
    cv2.imwrite(str(again / "new.png"), part(50))
    cv2.imwrite(str(again / "new_too.png"), part(50))
    added = add_good(models / "disc", again, None, BACKBONE)
    assert (added.manifest.how_made.good_images, added.left_out) == (13, 2)
    before = load_manifest(models / "disc")
    with pytest.raises(ConfigError, match="3 images, which the model knows already"):
        add_good(models / "disc", again, None, BACKBONE)
    assert load_manifest(models / "disc") == before


def test_an_image_that_is_there_twice_is_taught_once(tmp_path: Path) -> None:
    folder_of(tmp_path / "images_disc", range(5))
    cv2.imwrite(str(tmp_path / "images_disc" / "copy.png"), part(0))
    done = taught(tmp_path, "disc", range(5))
    assert (done.manifest.how_made.good_images, done.left_out) == (5, 1)
    folder_of(tmp_path / "images_few", range(4))
    cv2.imwrite(str(tmp_path / "images_few" / "copy.png"), part(0))
    with pytest.raises(ConfigError, match="4 different images"):
        taught(tmp_path, "few", range(4))


def test_defects_can_come_later(first: Path, models: Path, tmp_path: Path) -> None:
    defect = folder_of(tmp_path / "bad", range(300, 306), spot=True)
    added = add_good(models / "disc", first / "more", defect, BACKBONE)
    assert added.manifest.calibration.source == "good_and_defect"
    assert added.manifest.how_made.defect_images == 6
    assert added.manifest.metrics["held_out_image_auroc"] == 1.0
    later = folder_of(tmp_path / "later", range(310, 312), spot=True)  # with no good part that is new
    assert add_good(models / "disc", first / "more", later, BACKBONE).manifest.how_made.defect_images == 8


def test_a_risk_that_was_set_is_said_to_be_gone(first: Path, models: Path) -> None:
    manifest = load_manifest(models / "disc")
    moved = msgspec.structs.replace(manifest.calibration, offset=-1.0)
    write_manifest(models / "disc", msgspec.structs.replace(manifest, calibration=moved))
    assert add_good(models / "disc", first / "more", None, BACKBONE).threshold_reset
    again = folder_of(first / "later", range(60, 63))
    assert not add_good(models / "disc", again, None, BACKBONE).threshold_reset


def test_from_a_hundred_parts_on_it_is_said_that_all_at_once_is_another_model(
    first: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "teaching from all at once learns a discriminator"
    monkeypatch.setattr(teach_module, "FEWEST_TO_DISCRIMINATE", 14)
    few = folder_of(first / "one", range(70, 71))
    assert said not in summary(add_good(models / "disc", few, None, BACKBONE))
    assert said in summary(add_good(models / "disc", first / "more", None, BACKBONE))


def test_a_model_with_a_discriminator_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach_module, "FEWEST_TO_DISCRIMINATE", 12)
    monkeypatch.setattr(teach_module, "_SYNTHETIC", 24)
    monkeypatch.setattr(discriminator, "_EPOCHS", 5)
    taught(tmp_path, "disc", range(12))
    disc = tmp_path / "models" / "disc"
    more = folder_of(tmp_path / "more", range(12, 16))
    added = add_good(disc, more, None, BACKBONE)
    again = add_good(disc, folder_of(tmp_path / "later", range(16, 18)), None, BACKBONE)
    assert (len(added.good_scores), len(again.good_scores)) == (16, 18)
    assert not again.could_discriminate
    unseen = folder_of(folder_of(tmp_path / "unseen", range(100, 104)), range(200, 204), spot=True)
    p = probability(scores(disc, unseen), load_manifest(disc).calibration)
    assert (p >= 0.5).tolist() == [False] * 4 + [True] * 4


def spoil(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "text":
        path.write_text("not an archive")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "bits":
        middle = len(data) // 2
        path.write_bytes(
            data[:middle] + bytes(255 - b for b in data[middle : middle + 64]) + data[middle + 64 :]
        )
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("how", "said"),
    [("cut", "damaged"), ("text", "damaged"), ("empty", "damaged"), ("bits", "damaged"), ("gone", "no such")],
)
def test_a_spoiled_memory_is_one_clear_line(how: str, said: str, models: Path) -> None:
    spoil(models / "disc" / MEMORY_NAME, how)
    with pytest.raises(ModelError, match=said) as caught:
        load_memory(models / "disc", load_manifest(models / "disc").onnx.sha256)
    assert "\n" not in str(caught.value)
    assert "--good" in str(caught.value)


def test_the_memory_of_another_model_is_refused(models: Path) -> None:
    with pytest.raises(ModelError, match="belongs to another model"):
        load_memory(models / "disc", "0" * 64)


def test_images_of_another_shape_are_refused(models: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "tall.png"), part(0).T)
    with pytest.raises(ConfigError, match="the model has 128 x 96"):
        add_good(models / "disc", tmp_path, None, BACKBONE)


KILLED = """
import os, signal, sys
from pathlib import Path
from inspector.detect.model import model_folder
from inspector.detect.teaching.add import add_good

def end(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(model_folder, sys.argv[1], end)
add_good(Path(sys.argv[2]), Path(sys.argv[3]), None, Path(sys.argv[4]))
"""


@pytest.mark.parametrize("moment", ["_keep_notes", "_exchange"])
def test_killed_in_between_the_old_folder_is_whole(moment: str, first: Path, models: Path) -> None:
    before = {path.name: path.read_bytes() for path in (models / "disc").iterdir()}
    words = [sys.executable, "-c", KILLED, moment, models / "disc", first / "more", BACKBONE]
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert {path.name: path.read_bytes() for path in (models / "disc").iterdir()} == before
    assert add_good(models / "disc", first / "more", None, BACKBONE).manifest.how_made.good_images == 20
    assert [path.name for path in models.iterdir()] == ["disc"]  # nor is anything left behind
