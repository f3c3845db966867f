"""Promises about parts to come, checked on parts to come."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_box_model import HEIGHT, WIDTH, write_box_model
from tiny_model import write_tiny_model

from inspector.detect.model.manifest import Calibration, load_manifest
from inspector.detect.risk.calibrate_command import calibrate_model, parse_rate, with_limit, words
from inspector.detect.risk.calibration import probability
from inspector.detect.risk.conformal import (
    as_seen,
    clopper_pearson,
    control_escapes,
    control_false_rejects,
    fewest,
)
from inspector.errors import ConfigError


@pytest.mark.parametrize("most", [0.02, 0.05, 0.2])
def test_the_promise_holds_on_average_over_parts_to_come(most: float) -> None:
    rng = np.random.default_rng(0)
    escaped, rejected = [], []
    for _ in range(400):
        good, defect = rng.normal(0, 1, 120), rng.normal(2, 1, 120)
        escaped.append((rng.normal(2, 1, 500) < control_escapes(good, defect, most).score).mean())
        rejected.append((rng.normal(0, 1, 500) >= control_false_rejects(good, defect, most).score).mean())
    assert most - 0.02 < np.mean(escaped) < most + 0.003
    assert most - 0.02 < np.mean(rejected) < most + 0.003


def test_too_few_examples_are_said_and_how_many_it_takes() -> None:
    scores = np.linspace(1, 2, 40)
    with pytest.raises(ConfigError, match=r"40 defects .* 0\.100%: it takes 999; .* is 2\.44%"):
        control_escapes(scores, scores, 0.001)
    with pytest.raises(ConfigError, match="40 good parts"):
        control_false_rejects(scores, scores[:0], 0.001)
    assert fewest(0.001) == 999
    assert control_escapes(scores, np.arange(1.0, 1000.0), 0.001).score == 1.0


def test_good_parts_alone_promise_a_false_reject_rate() -> None:
    good = np.arange(1.0, 100.0)
    found = control_false_rejects(good, good[:0], 0.01)
    assert found.escape is None
    assert found.false_reject is not None
    assert found.false_reject[0] == 0.0
    assert found.score > 99.0
    assert "at most 1.000% of parts to come" in words(found, "disc", 99, 0, written=False)


@given(st.integers(1, 60), st.data())
def test_the_interval_holds_the_share(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    low, high = clopper_pearson(hits, count)
    assert 0.0 <= low <= hits / count <= high <= 1.0


def test_the_interval_is_the_published_one() -> None:
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert clopper_pearson(5, 10) == pytest.approx((0.1871, 0.8129), abs=1e-4)


def test_the_limit_moves_and_the_slope_stays(tmp_path: Path) -> None:
    manifest = write_tiny_model(tmp_path / "tiny")
    moved = with_limit(manifest, 3.21, "escape")
    assert moved.calibration.slope == manifest.calibration.slope
    assert float(probability(3.21, moved.calibration)) >= 0.5
    assert float(probability(3.2099, moved.calibration)) < 0.5


def test_the_model_rejects_no_more_good_parts_than_promised_among_equal_ones(tmp_path: Path) -> None:
    manifest = write_tiny_model(tmp_path / "tiny")
    for good in (np.arange(1.0, 100.0), np.repeat([1.0, 2.0, 3.0], 33)):
        found = control_false_rejects(good, good[:0], 0.02)  # of 99 and the one to come: one
        moved = with_limit(manifest, found.score, found.promised)
        rejected = probability(good, moved.calibration) >= moved.thresholds["defect"]
        assert rejected.sum() <= 1
        assert as_seen(found, rejected, rejected[:0]) == found
        escapes = control_escapes(good, good, 0.02)
        moved = with_limit(manifest, escapes.score, escapes.promised)
        assert (probability(good, moved.calibration) < moved.thresholds["defect"]).sum() <= 1


def test_the_rates_are_those_of_the_verdicts() -> None:
    scores = np.arange(1.0, 100.0)
    found = as_seen(control_false_rejects(scores, scores, 0.02), scores > 97.0, scores > 10.0)
    assert found.false_reject is not None
    assert found.escape is not None
    assert found.false_reject[0] == pytest.approx(2 / 99)
    assert found.escape[0] == pytest.approx(10 / 99)


def test_a_score_of_zero_is_no_limit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="where none can be set"):
        with_limit(write_tiny_model(tmp_path / "tiny"), 0.0, "escape")


def test_rates_as_people_write_them() -> None:
    assert parse_rate("0.1%") == pytest.approx(0.001)
    assert parse_rate("0.02") == pytest.approx(0.02)
    for wrong in ("0", "150%", "much", ""):
        with pytest.raises(ConfigError):
            parse_rate(wrong)


def test_a_calibration_of_probabilities_is_moved_on_its_own_scale() -> None:
    logit = Calibration(slope=1.0, offset=0.0, source="none", scale="logit")
    assert float(probability(0.3, logit)) == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("defects", [0, 12])
def test_good_parts_without_any_box_stay_good(defects: int, tmp_path: Path) -> None:
    folder = write_box_model(tmp_path / "boxes")
    for kind, greys in (("test_good", [0] * 20), ("test_defect", [150 + i for i in range(defects)])):
        for index, grey in enumerate(greys):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            image = np.full((HEIGHT, WIDTH), grey, dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "data" / kind / f"{index:02}.png"), image)
    calibrate_model(model=str(folder), data=tmp_path / "data", max_false_reject="10%", threads=1)
    manifest = load_manifest(folder)
    assert float(probability(0.0, manifest.calibration)) < 0.05
    assert float(probability(0.06, manifest.calibration)) >= manifest.thresholds["defect"]


def test_defects_without_any_box_promise_no_escape_rate(tmp_path: Path) -> None:
    folder = write_box_model(tmp_path / "boxes")
    (tmp_path / "data" / "test_good").mkdir(parents=True)
    (tmp_path / "data" / "test_defect").mkdir()
    for index in range(12):
        image = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        for kind in ("test_good", "test_defect"):
            cv2.imwrite(str(tmp_path / "data" / kind / f"{index:02}.png"), image + index % 2)
    with pytest.raises(ConfigError, match="where none can be set"):
        calibrate_model(model=str(folder), data=tmp_path / "data", max_escape="10%", threads=1)
