"""`inspector evaluate` on a model that was taught a moment ago."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.detect.commands import find_backbone
from inspector.detect.teaching.teach import TeachOptions, teach
from inspector.errors import ConfigError


def part(seed: int, *, spot: tuple[int, int] | None = None) -> np.ndarray:
    """A bright disc on a dark, slightly noisy ground, with a black spot where it is defective."""
    rng = np.random.default_rng(seed)
    image = rng.normal(60, 3, (96, 128)).astype(np.float32)
    cv2.circle(image, (64, 48), 30, 170.0, -1)
    if spot:
        cv2.circle(image, spot, 5, 20.0, -1)
    return np.asarray(np.clip(cv2.GaussianBlur(image, (0, 0), 1.0), 0, 255), dtype=np.uint8)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/disc and data/{test_good,test_defect,masks}."""
    folder = tmp_path_factory.mktemp("evaluate")
    for kind in ("train", "data/test_good", "data/test_defect", "data/masks"):
        (folder / kind).mkdir(parents=True)
    for seed in range(6):
        cv2.imwrite(str(folder / "train" / f"{seed}.png"), part(seed))
        cv2.imwrite(str(folder / "data/test_good" / f"{seed}.png"), part(100 + seed))
        spot = (45 + 7 * seed, 40 + 3 * seed)
        cv2.imwrite(str(folder / "data/test_defect" / f"bad{seed}.png"), part(200 + seed, spot=spot))
        mask = np.zeros((96, 128), np.uint8)
        cv2.circle(mask, spot, 5, 255, -1)
        cv2.imwrite(str(folder / "data/masks" / f"bad{seed}.png"), mask)
    models = Path("models")
    teach(folder / "train", None, folder / "models", find_backbone(models), options=TeachOptions(name="disc"))
    return folder


def _run(*words: str | Path) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, [str(word) for word in ("evaluate", *words)], catch_exceptions=True)
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout.strip().splitlines()


def test_the_last_line_is_json_with_the_figures(taught: Path) -> None:
    code, lines = _run("disc", taught / "data", "--models", taught / "models", "--json")
    figures = json.loads(lines[-1])
    assert code == 0
    assert figures["image_auroc"] == 1.0
    assert figures["aupro"] > 0.6
    assert figures["pixel_auroc"] > 0.9
    assert figures["ms_per_image"] > 0
    assert figures["marked_regions"] == 6


def test_without_masks_pixel_figures_are_null(taught: Path, tmp_path: Path) -> None:
    for kind in ("test_good", "test_defect"):
        (tmp_path / kind).symlink_to(taught / "data" / kind)
    _, lines = _run(taught / "models" / "disc", tmp_path, "--json")
    figures = json.loads(lines[-1])
    assert figures["aupro"] is None
    assert figures["pixel_auroc"] is None
    assert figures["image_auroc"] == 1.0


def test_the_report_is_one_file_that_names_the_worst_images(taught: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    code, lines = _run("disc", taught / "data", "--models", taught / "models", "--report", page)
    text = page.read_text(encoding="utf-8")
    assert code == 0
    assert any("Image AUROC" in line for line in lines)
    assert text.count("data:image/jpeg;base64,") == 12
    assert "bad3.png" in text
    assert "http" not in text
    assert 'src="data:' in text


def test_a_folder_without_test_images_is_one_clear_error(taught: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="test_good"):
        _run("disc", tmp_path, "--models", taught / "models")
