"""Calibration gives probabilities that the decision can use."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.detect.evaluating.evaluate import auroc, error_rates
from inspector.detect.model.manifest import Calibration
from inspector.detect.risk.calibration import (
    fit_good_only,
    fit_with_defects,
    probability,
    score_at,
)

SCORES = st.lists(st.floats(0.05, 50.0), min_size=5, max_size=60)


@given(SCORES, st.floats(1e-5, 0.1))
def test_a_higher_score_is_never_less_likely_a_defect(scores: list[float], rate: float) -> None:
    calibration = fit_good_only(np.array(scores), rate)
    p = probability(np.geomspace(1e-3, 1e3, 200), calibration)
    assert (np.diff(p) >= 0).all()
    assert p.min() >= 0.0
    assert p.max() <= 1.0


@given(SCORES, SCORES)
def test_with_defects_it_rises_too_whatever_the_scores(good: list[float], defect: list[float]) -> None:
    calibration = fit_with_defects(np.array(good), np.array(defect))
    assert calibration.slope > 0
    p = probability(np.geomspace(1e-3, 1e3, 50), calibration)
    assert np.isfinite(p).all()
    assert (np.diff(p) >= 0).all()


def test_good_only_confirms_clear_parts_on_both_sides() -> None:
    good = np.exp(np.random.default_rng(1).normal(0.0, 0.1, 200))
    calibration = fit_good_only(good, 0.001)
    p = probability(good, calibration)
    assert (p < 0.25).mean() > 0.95  # a good part passes with confidence over 0.75
    assert probability(2.0, calibration) > 0.9
    assert (p >= 0.5).mean() < 0.01


def test_a_rarer_false_reject_needs_a_higher_score() -> None:
    good = np.exp(np.random.default_rng(2).normal(0.0, 0.2, 100))
    strict, lax = fit_good_only(good, 0.0001), fit_good_only(good, 0.05)
    assert score_at(0.5, strict) > score_at(0.5, lax)


def test_few_parts_that_spread_widely_do_not_put_the_limit_over_the_defects() -> None:
    good = np.exp(np.array([0.0, 0.02, 0.05, 0.1, 0.3, 0.5, 0.6]))
    made_up = np.exp(np.array([0.7, 0.75, 0.8, 0.85]))
    alone, helped = fit_good_only(good, 0.001), fit_good_only(good, 0.001, made_up)
    assert score_at(0.5, alone) > np.median(made_up)
    assert good.max() < score_at(0.5, helped) < np.median(made_up)


def test_made_up_defects_that_score_like_good_parts_reject_no_good_part_seen() -> None:
    good = np.exp(np.random.default_rng(5).normal(0.0, 0.3, 20))
    limit = score_at(0.5, fit_good_only(good, 0.001, good))
    assert good.max() < limit < 1.1 * good.max()


def test_made_up_defects_never_raise_the_limit() -> None:
    good = np.exp(np.random.default_rng(6).normal(0.0, 0.05, 200))
    far = np.full(40, 100.0)
    assert score_at(0.5, fit_good_only(good, 0.01, far)) <= score_at(0.5, fit_good_only(good, 0.01)) + 1e-9


def test_with_defects_the_threshold_lies_between_the_classes() -> None:
    rng = np.random.default_rng(3)
    good, defect = np.exp(rng.normal(0, 0.1, 300)), np.exp(rng.normal(1, 0.2, 15))
    calibration = fit_with_defects(good, defect)
    assert np.quantile(good, 0.99) < score_at(0.5, calibration) < defect.min()
    assert probability(np.median(good), calibration) < 0.1
    assert probability(np.median(defect), calibration) > 0.9


def test_identical_scores_and_zero_are_no_trouble() -> None:
    calibration = fit_good_only(np.ones(5), 0.001)
    assert probability(1.0, calibration) < 0.05
    assert probability(0.0, calibration) == pytest.approx(0.0, abs=1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.1, 50), st.floats(-20, 20))
def test_score_at_is_the_inverse(p: float, slope: float, offset: float) -> None:
    calibration = Calibration(slope=slope, offset=offset, source="good")
    score = score_at(p, calibration)
    if 1e-300 < score < 1e300:
        assert probability(score, calibration) == pytest.approx(p, abs=1e-6)


def test_auroc_counts_pairs() -> None:
    assert auroc([1, 2, 3], [4, 5]) == 1.0
    assert auroc([4, 5], [1, 2, 3]) == 0.0
    assert auroc([1, 1], [1]) == 0.5
    assert auroc([1, 3], [2]) == 0.5
    assert np.isnan(auroc([], [1]))


def test_error_rates_name_escapes_and_overkill() -> None:
    rates = error_rates([0.1, 0.6, 0.2, 0.3], [0.9, 0.4], 0.5)
    assert rates["overkill_rate"] == 0.25
    assert rates["escape_rate"] == 0.5
    assert rates["accuracy"] == pytest.approx(4 / 6)
