"""The pool: what one modality says, and what its absence or silence must not change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.fusion.pool import OPINION, SENSORS, VISION, pool

WEIGHTS = {VISION: 0.6, SENSORS: 0.4, OPINION: 0.4}
PROBABILITY = st.floats(0.001, 0.999)


def fused(**present: float) -> float:
    p_defect = pool(present, WEIGHTS).p_defect
    assert p_defect is not None
    return p_defect


@given(p=PROBABILITY)
def test_a_modality_alone_is_taken_at_its_word(p: float) -> None:
    assert fused(vision=p) == pytest.approx(p)
    assert fused(sensors=p) == pytest.approx(p)


@given(p=PROBABILITY)
def test_a_neutral_modality_changes_nothing(p: float) -> None:
    assert fused(vision=p, sensors=0.5) == pytest.approx(p)
    assert fused(vision=p, sensors=0.5, opinion=0.5) == pytest.approx(p)


@given(p=PROBABILITY, q=PROBABILITY, more=st.floats(0.0, 0.5))
def test_more_suspicion_never_lowers_the_probability(p: float, q: float, more: float) -> None:
    assert fused(vision=p, sensors=min(0.999, q + more)) >= fused(vision=p, sensors=q) - 1e-12


@given(p=st.floats(0.51, 0.999), q=st.floats(0.51, 0.999))
def test_two_that_agree_are_surer_than_either(p: float, q: float) -> None:
    both = fused(vision=p, sensors=q)
    assert both > p
    assert fused(vision=1 - p, sensors=1 - q) == pytest.approx(1 - both)


@given(q=st.floats(0.0, 1.0))
def test_certainty_by_rounding_silences_nobody(q: float) -> None:
    assert 0.0 < fused(vision=0.0, sensors=q) < 1.0
    assert fused(vision=0.0, sensors=1.0) > fused(vision=0.0, sensors=0.5)


def test_nothing_present_is_no_opinion() -> None:
    assert pool({}, WEIGHTS).p_defect is None


def test_the_weights_used_are_those_of_who_was_there() -> None:
    assert pool({VISION: 0.9, SENSORS: 0.5}, WEIGHTS).weights == pytest.approx({VISION: 1.0, SENSORS: 2 / 3})
    assert pool({SENSORS: 0.9}, WEIGHTS).weights == {SENSORS: 1.0}
