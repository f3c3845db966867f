"""Weights that know the circumstances: what they gain, and what they must never do."""

from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from labelled_parts import NORMAL_LIGHT, evidence, line_of_parts

from inspector.config import ContextTerm, FusionWeights, ModalityFusion
from inspector.fusion.context import Drift, fixed, fuse
from inspector.fusion.fit import LEAST_EXAMPLES, Example, fit, in_order
from inspector.fusion.pool import OPINION, SENSORS, VISION, modalities, pool
from inspector.fusion.score import Score, calibration_error, score
from inspector.types import PartEvidence, Quality

BASE = {VISION: 0.6, SENSORS: 0.4, OPINION: 0.4}
PROBABILITY = st.floats(0.001, 0.999)


def scores(weights: FusionWeights, examples: list[Example]) -> tuple[Score, Score]:
    """By the fixed weights, and by these."""
    truth = [each.defective for each in examples]
    before = [fuse(each.evidence, fixed(BASE), each.drift).p_defect or 0.5 for each in examples]
    after = [fuse(each.evidence, weights, each.drift).p_defect or 0.5 for each in examples]
    return score(before, truth, 0.75), score(after, truth, 0.75)


def test_in_degraded_circumstances_they_gain_and_stay_calibrated() -> None:
    found = fit(line_of_parts(3000, 1, degraded=True), BASE)
    assert found.weights is not None, found.why
    before, after = scores(found.weights, line_of_parts(6000, 2, degraded=True))
    assert after.accuracy >= before.accuracy + 0.03
    assert after.ece < 0.02 < before.ece


def test_in_normal_circumstances_they_lose_nothing() -> None:
    found = fit(line_of_parts(1500, 3, degraded=False), BASE)
    if found.weights is not None:
        before, after = scores(found.weights, line_of_parts(4000, 4, degraded=False))
        assert after.accuracy >= before.accuracy - 0.005


@pytest.mark.parametrize("count", [0, 1, LEAST_EXAMPLES - 1])
def test_with_few_examples_the_fixed_weights_stay(count: int) -> None:
    found = fit(line_of_parts(count, 5, degraded=True), BASE)
    assert found.weights is None
    assert f"it takes {LEAST_EXAMPLES}" in found.why
    assert found.by_fixed == found.by_fitted


def test_with_hardly_any_defects_the_fixed_weights_stay() -> None:
    examples = [each for each in line_of_parts(900, 6, degraded=True) if not each.defective]
    assert fit(examples, BASE).weights is None


def test_parts_left_out_are_scored_as_they_would_be_judged() -> None:
    # A sensor that speaks the wrong way round: its weight ends at 0, and so it does in the score.
    random = Random(11)
    parts: list[tuple[PartEvidence, bool | None]] = []
    for number in range(400):
        defective = random.random() < 0.4
        p_vision = None if number % 10 == 0 else random.uniform(0.4, 0.9) - (0.0 if defective else 0.3)
        wrong = random.uniform(0.05, 0.4) + (0.0 if defective else 0.5)
        parts.append((evidence(number, p_vision, wrong), defective))
    found = fit(in_order(parts), BASE)
    assert [found.by_fitted[n] for n in range(0, 400, 10)] == pytest.approx([0.5] * 40)


def test_the_figures_are_for_parts_that_were_left_out() -> None:
    examples = line_of_parts(3000, 7, degraded=True)
    found = fit(examples, BASE)
    assert found.weights is not None
    told = score(found.by_fitted, [each.defective for each in examples], 0.75)
    _, unseen = scores(found.weights, line_of_parts(6000, 8, degraded=True))
    assert told.accuracy == pytest.approx(unseen.accuracy, abs=0.02)


@given(p=PROBABILITY, q=PROBABILITY)
def test_the_fixed_weights_in_this_form_are_the_pool(p: float, q: float) -> None:
    for one in (evidence(1, p, q), evidence(1, p)):
        by_pool, by_context = pool(modalities(one), BASE), fuse(one, fixed(BASE), 0.0)
        assert by_context.p_defect == pytest.approx(by_pool.p_defect)
        assert by_context.weights == pytest.approx(by_pool.weights)


MOVED = FusionWeights(
    examples=1000,
    vision=ModalityFusion(
        weight=1.0,
        offset=-1.0,
        terms=(ContextTerm(name="dim", centre=-2.0, scale=0.1, weight=-0.5, offset=-2.0),),
    ),
    sensors=ModalityFusion(
        weight=0.5, terms=(ContextTerm(name="health", centre=0.0, scale=0.25, weight=-0.3),)
    ),
    opinion=ModalityFusion(weight=0.5),
)


@given(q=PROBABILITY)
def test_an_absent_camera_brings_neither_weight_nor_offset(q: float) -> None:
    alone = fuse(evidence(1, None, q), MOVED, 0.0)
    assert alone.weights == {SENSORS: 0.5}
    assert (alone.p_defect or 0.0) >= 0.5 if q >= 0.5 else (alone.p_defect or 0.0) <= 0.5


def test_nothing_present_is_no_opinion() -> None:
    assert fuse(evidence(1, None), MOVED, 3.0).p_defect is None


@settings(max_examples=50)
@given(p=PROBABILITY, q=PROBABILITY, light=st.floats(0.0, 1.0), drift=st.floats(-1e9, 1e9), ill=st.booleans())
def test_no_circumstance_makes_a_modality_a_liar_or_a_number_wild(
    p: float, q: float, light: float, drift: float, ill: bool
) -> None:
    quality = Quality.BAD if ill else Quality.GOOD
    fused = fuse(evidence(1, p, q, light=light, quality=quality), MOVED, drift)
    assert fused.p_defect is not None
    assert 0.0 < fused.p_defect < 1.0
    assert all(0.0 <= weight <= 3.0 for weight in fused.weights.values())


@given(p=PROBABILITY, more=st.floats(0.0, 0.5))
def test_in_the_same_circumstances_more_suspicion_never_lowers_the_probability(p: float, more: float) -> None:
    lower = fuse(evidence(1, p, 0.5, light=NORMAL_LIGHT / 2), MOVED, 0.0).p_defect
    upper = fuse(evidence(1, min(0.999, p + more), 0.5, light=NORMAL_LIGHT / 2), MOVED, 0.0).p_defect
    assert lower is not None
    assert upper is not None
    assert upper >= lower - 1e-12


def test_drift_follows_the_parts_slowly_and_one_part_hardly_moves_it() -> None:
    drift = Drift()
    assert drift.log_odds == 0.0
    for _ in range(100):
        drift.see(0.01)
    calm = drift.log_odds
    drift.see(0.999999)
    assert drift.log_odds - calm < 0.6
    for _ in range(100):
        drift.see(0.9)
    assert drift.log_odds > 1.5


def test_a_part_is_judged_by_the_drift_of_those_before_it_labelled_or_not() -> None:
    first, third = in_order([(evidence(1, 0.9), True), (evidence(2, 0.5), None), (evidence(3, 0.9), False)])
    assert first.drift == 0.0
    expected = Drift()
    expected.see(0.9)
    expected.see(0.5)
    assert third.drift == expected.log_odds


def test_calibration_error_of_certain_and_of_wrong_words() -> None:
    assert calibration_error([1.0, 0.0], [True, False]) == 0.0
    assert calibration_error([0.9] * 10, [False] * 10) == pytest.approx(0.9)
    assert calibration_error([], []) == 0.0
