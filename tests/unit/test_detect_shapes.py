"""Which curve turns scores into probabilities best, judged on parts left out, and that it always rises."""

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import HEIGHT, WIDTH, write_tiny_model
from typer.testing import CliRunner

from inspector.cli import app
from inspector.detect.model.manifest import (
    UNCALIBRATED,
    Calibration,
    dump_manifest,
    load_manifest,
    parse_manifest,
)
from inspector.detect.risk.calibrate_command import shape_words, with_limit
from inspector.detect.risk.calibration import fit_with_defects, moved, probability, score_at
from inspector.detect.risk.shapes import Shape, choose_shape, fit_shape
from inspector.errors import ConfigError

NOW = Calibration(slope=4.0, offset=-2.0, source="good")
SCORES = st.lists(st.floats(0.05, 50.0), min_size=10, max_size=40)
SHAPES: tuple[Shape, ...] = ("line", "beta", "isotonic")
GRID = np.geomspace(1e-3, 1e3, 300)


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES, st.sampled_from(SHAPES))
def test_every_shape_rises_and_can_be_turned_round(
    good: list[float], defect: list[float], shape: Shape
) -> None:
    found = fit_shape(shape, np.array(good), np.array(defect), NOW)
    p = probability(GRID, found)
    assert np.isfinite(p).all()
    assert (np.diff(p) >= 0).all()
    for wanted in (0.2, 0.5, 0.8):
        score = score_at(wanted, found)
        if 1e-6 < score < 1e6:
            assert probability(score, found) == pytest.approx(wanted, abs=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(SHAPES), st.floats(-5, 5))
def test_moving_moves_all_log_odds_alike(shape: Shape, by: float) -> None:
    rng = np.random.default_rng(0)
    found = fit_shape(shape, np.exp(rng.normal(0, 0.3, 30)), np.exp(rng.normal(1, 0.5, 30)), NOW)
    before, after = (np.clip(probability(GRID, each), 1e-12, 1 - 1e-12) for each in (found, moved(found, by)))
    both = (np.abs(np.log(before / (1 - before))) < 20) & (np.abs(np.log(after / (1 - after))) < 20)
    difference = np.log(after / (1 - after)) - np.log(before / (1 - before))
    np.testing.assert_allclose(difference[both], by, atol=1e-4)


def skewed(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose log-odds rise slowly where they are low and fast where they are high."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, count)
    odds = 4.0 * np.logaddexp(0, 2 * x) - 0.2 * np.logaddexp(0, -2 * x) - 2.5
    defective = rng.random(count) < 1 / (1 + np.exp(-odds))
    return np.exp(x[~defective]), np.exp(x[defective])


def log_loss(good: np.ndarray, defect: np.ndarray, calibration: Calibration) -> float:
    low, high = probability(good, calibration), probability(defect, calibration)
    return float(-(np.log(1 - np.minimum(low, 1 - 1e-9)).mean() + np.log(np.maximum(high, 1e-9)).mean()) / 2)


def test_a_curve_is_taken_where_it_is_better_on_parts_to_come() -> None:
    good, defect = skewed(800, 1)
    now = fit_with_defects(good, defect)
    choice = choose_shape(good, defect, now)
    assert choice.shape in ("beta", "isotonic")
    fresh = skewed(20_000, 2)
    assert log_loss(*fresh, choice.calibration) < log_loss(*fresh, now) - 0.005
    for each in choice.judged:  # what was said of parts left out holds for parts to come
        whole = fit_shape(each.shape, good, defect, now)
        assert each.log_loss == pytest.approx(log_loss(*fresh, whole), abs=0.05)


def test_what_fits_already_stays() -> None:
    rng = np.random.default_rng(3)
    good, defect = np.exp(rng.normal(0, 0.5, 300)), np.exp(rng.normal(1, 0.5, 300))
    now = Calibration(slope=4.0, offset=-2.0, source="good")  # the true odds of these two
    assert choose_shape(good, defect, now).calibration == now


def test_scores_of_a_network_that_mostly_finds_nothing() -> None:
    rng = np.random.default_rng(7)
    good, defect = np.zeros(60), np.clip(rng.normal(0.7, 0.2, 40), 0.01, 0.99)
    good[:5], defect[:3] = 0.3, 0.0
    choice = choose_shape(good, defect, UNCALIBRATED)
    assert len(choice.judged) == 4
    for shape in SHAPES:
        found = fit_shape(shape, good, defect, UNCALIBRATED)
        p = probability(np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), found)
        assert np.isfinite(p).all()
        assert (np.diff(p) >= 0).all()
        assert 0.0 < score_at(0.5, found) < 1.0


def test_few_parts_change_no_shape() -> None:
    good, defect = (scores[:9] for scores in skewed(100, 4))
    choice = choose_shape(good, defect, NOW)
    assert (choice.shape, choice.calibration, choice.judged) == ("as it was", NOW, ())
    assert "takes 10 parts of each kind" in shape_words(choice)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("promised", ["escape", "false_reject"])
def test_the_manifest_holds_it_in_plain_numbers_with_the_threshold_where_it_was_set(
    shape: Shape, promised: str, tmp_path: Path
) -> None:
    good, defect = skewed(60, 5)
    manifest = write_tiny_model(tmp_path / "disc")
    fitted = fit_shape(shape, good, defect, manifest.calibration)
    limit = float(np.sort(defect)[3])
    changed = with_limit(manifest, limit, "escape" if promised == "escape" else "false_reject", fitted)
    again = parse_manifest(dump_manifest(changed), "test")
    assert again == changed
    np.testing.assert_array_equal(
        probability(defect, again.calibration), probability(defect, changed.calibration)
    )
    rejected = probability(defect, again.calibration) >= 0.5
    assert int((~rejected).sum()) == (3 if promised == "escape" else 4)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A tiny model, and parts of both kinds whose brightness overlaps a little."""
    write_tiny_model(tmp_path / "disc")
    for kind, greys in (("good", range(20, 140, 4)), ("defect", range(120, 240, 4))):
        (tmp_path / "data" / f"test_{kind}").mkdir(parents=True)
        for grey in greys:
            image = np.full((HEIGHT, WIDTH), grey, dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "data" / f"test_{kind}" / f"{grey}.png"), image)
    return tmp_path


def test_the_command_prints_how_each_shape_did_and_writes_the_best(labelled: Path) -> None:
    words = ["calibrate", "model", str(labelled / "disc"), str(labelled / "data"), "--max-escape", "10%"]
    done = CliRunner().invoke(app, [*words, "--dry-run"])
    assert done.exit_code == 0, done.output
    for name in ("as it was ", "line ", "beta ", "isotonic "):
        assert name in done.stdout.replace("\n", " ")
    before = load_manifest(labelled / "disc").calibration
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout.splitlines()[-1])
    assert [each["shape"] for each in told["shapes"]] == ["as it was", "line", "beta", "isotonic"]
    losses = {each["shape"]: each["log_loss"] for each in told["shapes"]}
    assert losses[told["shape"]] <= losses["as it was"]
    after = load_manifest(labelled / "disc").calibration
    assert after != before
    assert probability(told["score"], after) == pytest.approx(0.5, abs=1e-6)
    assert told["escape"][0] <= 0.1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"beta": (-1.0, 1.0, 0.0)}, "must not be negative"),
        ({"beta": (0.0, 0.0, 0.0)}, "one of them over 0"),
        ({"beta": (1.0, float("nan"), 0.0)}, "not finite"),
        ({"knots": ((0.0, 0.0),)}, "two or more"),
        ({"knots": ((0.0, 0.0), (1.0, 0.0))}, "must rise"),
        ({"knots": ((1.0, 0.0), (1.0, 1.0))}, "must rise"),
    ],
)
def test_a_curve_that_does_not_rise_is_refused(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    manifest = write_tiny_model(tmp_path / "disc")
    spoiled = msgspec.structs.replace(
        manifest, calibration=msgspec.structs.replace(manifest.calibration, **changes)
    )
    with pytest.raises(ConfigError, match=said):
        parse_manifest(dump_manifest(spoiled), "manifest.yaml")
