"""Rendered parts: the same every time, and their defects are where the truth says."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.errors import ConfigError
from line_sim.part_source import FolderParts, common_size, letterbox, open_source
from line_sim.parts import ALL_DEFECTS, DefectKind, plan_part
from line_sim.render import GrayImage, Renderer
from line_sim.render_command import prepare_folder, render_parts
from line_sim.scenario import Folder, parse_scenario

SIZE = (320, 240)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(7, SIZE)


def test_a_part_looks_the_same_in_whatever_order_it_is_asked_for(renderer: Renderer) -> None:
    other = Renderer(7, SIZE)
    backwards = {n: other.render(n, DefectKind.CRACK).image for n in (9, 5, 1)}
    for number, image in backwards.items():
        assert np.array_equal(renderer.render(number, DefectKind.CRACK).image, image)


def test_seed_and_part_number_change_the_picture(renderer: Renderer) -> None:
    first = renderer.render(1, None).image
    assert not np.array_equal(first, renderer.render(2, None).image)
    assert not np.array_equal(first, Renderer(8, SIZE).render(1, None).image)


@pytest.mark.parametrize("kind", ALL_DEFECTS)
def test_a_defect_changes_the_picture_inside_its_mask_only(renderer: Renderer, kind: DefectKind) -> None:
    for number in range(1, 16):
        good, bad = renderer.render(number, None), renderer.render(number, kind)
        assert good.truth.kind is None
        assert good.truth.mask is None
        mask, box = bad.truth.mask, bad.truth.box_px
        assert mask is not None
        assert box is not None
        assert bad.truth.kind == kind
        x0, y0, x1, y1 = box
        assert 0 <= x0 < x1 <= SIZE[0]
        assert 0 <= y0 < y1 <= SIZE[1]
        assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0
        change = np.abs(good.image.astype(int) - bad.image.astype(int))
        assert change[mask].max() > 12  # one can see it
        far = cv2.dilate(mask.astype(np.uint8), np.ones((31, 31), np.uint8)) == 0
        assert change[far].max() <= 3  # shot noise follows the signal, hence not zero


def test_a_picture_is_mono8_and_well_exposed(renderer: Renderer) -> None:
    image = renderer.render(3, None).image
    assert image.dtype == np.uint8
    assert image.shape == (SIZE[1], SIZE[0])
    assert (image == 255).mean() < 0.001
    belt, face = image[:20, :20].mean(), image[120, 80:110].mean()
    assert face > belt + 50


def test_a_part_is_planned_the_same_however_many_are_made() -> None:
    parts = [plan_part(5, n, 0.3) for n in range(1, 400)]
    assert plan_part(5, 77, 0.3) == parts[76]
    share = sum(p.defective for p in parts) / len(parts)
    assert 0.22 < share < 0.38
    assert {p.defect for p in parts if p.defective} == set(ALL_DEFECTS)
    assert not any(plan_part(5, n, 0.0).defective for n in range(1, 100))


def test_render_command_writes_what_teach_in_and_evaluation_need(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    pictures = list(render_parts(tmp_path, parts=12, seed=2, defect_rate=0.5, size_px=(128, 96)))
    rows = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert len(rows) == len(pictures) == 12
    for row in rows:
        name = f"{row['part_id']}.png"
        defective = row["kind"] is not None
        assert (tmp_path / "defect" / name).exists() == defective
        assert (tmp_path / "good" / name).exists() != defective
        assert (tmp_path / "masks" / name).exists() == defective
    with pytest.raises(ConfigError, match="already has pictures"):
        prepare_folder(tmp_path)


def _write(path: Path, shape: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full(shape, 90, np.uint8))


def test_photographs_come_once_each_with_the_truth_of_their_folder(tmp_path: Path) -> None:
    for n in range(5):
        _write(tmp_path / "good" / f"g{n}.png", (100, 200))
    _write(tmp_path / "good" / "odd.png", (300, 120))
    _write(tmp_path / "bad" / "crack" / "c.png", (100, 200))
    _write(tmp_path / "bad" / "d.jpg", (100, 200))
    (tmp_path / "good" / "notes.txt").write_text("not a picture")
    folder = Folder(good=tmp_path / "good", defect=tmp_path / "bad")
    source = FolderParts(folder, seed=1, count=None)
    assert source.size_px == (200, 100)
    assert {p.picture: p.defect for p in source.parts} == {
        **{f"g{n}.png": None for n in range(5)},
        "odd.png": None,
        "c.png": "crack",
        "d.jpg": "defect",
    }
    assert [p.part_id for p in source.parts] == [f"P{n:06d}" for n in range(1, 9)]
    assert all(source.picture(part).shape == (100, 200) for part in source.parts)
    assert source.parts == FolderParts(folder, seed=1, count=None).parts
    assert source.parts != FolderParts(folder, seed=2, count=None).parts
    with pytest.raises(ConfigError, match="9 asked for"):
        FolderParts(folder, seed=1, count=9)


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "good" / "g.png", (96, 96))
    with pytest.raises(ConfigError, match=r"source\.folder\.defect"):
        FolderParts(Folder(good=tmp_path / "good", defect=tmp_path / "none"), seed=1, count=None)
    (tmp_path / "good" / "torn.png").write_bytes(b"\x89PNG torn")
    (tmp_path / "none").mkdir()
    _write(tmp_path / "none" / "d.png", (96, 96))
    with pytest.raises(ConfigError, match=r"torn\.png"):
        FolderParts(Folder(good=tmp_path / "good", defect=tmp_path / "none"), seed=1, count=None)


@pytest.mark.parametrize("shape", [(100, 200), (200, 100), (7, 5), (4000, 10), (99, 201)])
def test_letterbox_keeps_the_shape_of_the_part(shape: tuple[int, int]) -> None:
    image: GrayImage = np.full(shape, 200, np.uint8)
    out = letterbox(image, (160, 120))
    assert out.shape == (120, 160)
    ys, xs = np.nonzero(out)
    height, width = ys.max() - ys.min() + 1, xs.max() - xs.min() + 1
    assert height == 120 or width == 160
    scale = min(160 / shape[1], 120 / shape[0])
    assert abs(height - max(1, shape[0] * scale)) <= 1
    assert abs(width - max(1, shape[1] * scale)) <= 1


def test_common_size_is_one_that_a_camera_can_have() -> None:
    assert common_size([(701, 1003), (701, 1003), (10, 10)]) == (1002, 700)
    assert common_size([(6000, 8000)]) == (4096, 3072)


def test_parts_override_the_scenario() -> None:
    scenario = parse_scenario("parts: 5\ncamera: {width_px: 128, height_px: 96}", "test")
    assert len(open_source(scenario, 1, None).parts) == 5
    assert len(open_source(scenario, 1, 3).parts) == 3
