"""The network's input: the image's shape, within a budget, and large enough for the smallest defect."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspector.detect.commands import find_backbone, summary
from inspector.detect.model.network_size import (
    DEFECT_PX,
    MOST_PIXELS,
    PIXEL_BUDGET,
    STEP,
    choose_size,
    least_defect_px,
)
from inspector.detect.teaching.teach import TeachOptions, teach
from inspector.errors import ConfigError

BACKBONE = find_backbone(Path("models"))
sides = st.integers(64, 5000)


@given(sides, sides)
def test_the_shape_stays_and_the_budget_holds(width: int, height: int) -> None:
    size = choose_size(width, height)
    assert all(side % STEP == 0 for side in size)
    assert size[0] * size[1] <= 1.2 * PIXEL_BUDGET  # up to half a step more each way
    if min(size) >= 8 * STEP:
        assert size[0] / size[1] == pytest.approx(width / height, rel=0.15)


@given(sides, sides, st.floats(2, 200))
def test_the_smallest_defect_spans_a_fine_cell(width: int, height: int, defect: float) -> None:
    size = choose_size(width, height, defect)
    plain = choose_size(width, height)
    assert size[0] >= plain[0]
    assert size[1] >= plain[1]
    assert defect * size[0] / width >= DEFECT_PX - STEP * defect / width


@given(sides, sides)
@example(1311, 1063)
@example(762, 3236)
def test_the_defect_that_is_advised_is_taken(width: int, height: int) -> None:
    size = choose_size(width, height, least_defect_px(width, height))
    assert size[0] * size[1] <= MOST_PIXELS


def test_teaching_takes_the_size_and_says_what_it_sees(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    for seed in range(5):
        image = np.random.default_rng(seed).integers(90, 120, (256, 1024), dtype=np.uint8)
        cv2.imwrite(str(good / f"{seed}.png"), image)
    for smallest, width in ((None, 880), (4, 1024)):
        options = TeachOptions(name="sheet", smallest_defect_px=smallest)
        taught = teach(good, None, tmp_path / "models", BACKBONE, options=options)
        assert taught.manifest.how_made.network_width_px == width
        assert ("sees defects of about 5 pixels of the image and more" in summary(taught)) == (width == 880)


def test_too_small_a_defect_is_one_clear_error(tmp_path: Path) -> None:
    for seed in range(5):
        image = np.random.default_rng(seed).integers(0, 255, (2000, 3000), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{seed}.png"), image)
    options = TeachOptions(name="sheet", smallest_defect_px=2)
    with pytest.raises(ConfigError, match=r"--smallest-defect 2: takes a network input of .* Give 7 or more"):
        teach(tmp_path, None, tmp_path / "models", BACKBONE, options=options)
    assert not (tmp_path / "models").exists()
