"""Limits to urgency, probability and words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.config import LimitRule
from inspector.sensors.rules import judge

HIGH = LimitRule(warn_high=4.0, alarm_high=8.0, p_defect_at_alarm=0.9, urgency_at_alarm=0.85)
BOTH = LimitRule(warn_high=80.0, alarm_high=90.0, warn_low=10.0, alarm_low=5.0)


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.mark.parametrize("value", [-100.0, 0.0, 3.9, 4.0])
def test_within_limits_it_says_nothing(value: float) -> None:
    judgement = judge(HIGH, "vibration", value, "mm/s")
    assert (judgement.urgency, judgement.p_defect, judgement.abnormal) == (0.0, 0.5, None)


def test_between_warn_and_alarm_the_log_odds_rise_evenly() -> None:
    judgement = judge(HIGH, "vibration", 6.0, "mm/s")
    assert log_odds(judgement.p_defect) == pytest.approx(log_odds(0.9) / 2)
    assert judgement.urgency == 0.0
    assert judgement.abnormal == "vibration 6 mm/s, above its warn limit 4 mm/s"


def test_at_and_past_the_alarm() -> None:
    at = judge(HIGH, "vibration", 8.0, "mm/s")
    assert at.urgency == 0.85
    assert at.p_defect == pytest.approx(0.9)
    assert at.abnormal == "vibration 8 mm/s, at its alarm limit 8 mm/s"
    past = judge(HIGH, "vibration", 80.5, "mm/s")
    assert past.urgency == 0.85
    assert past.p_defect == pytest.approx(0.9)
    assert past.abnormal == "vibration 80.5 mm/s, above its alarm limit 8 mm/s"


def test_low_limits() -> None:
    assert judge(BOTH, "pressure", 50.0, "bar").abnormal is None
    low = judge(BOTH, "pressure", 4.0, "bar")
    assert low.abnormal == "pressure 4 bar, below its alarm limit 5 bar"
    assert low.p_defect == pytest.approx(0.9)
    assert judge(BOTH, "pressure", 85.0, "bar").abnormal == ("pressure 85 bar, above its warn limit 80 bar")


def test_certainty_is_not_given() -> None:
    rule = LimitRule(warn_high=1.0, alarm_high=2.0, p_defect_at_alarm=1.0)
    assert 0.99 < judge(rule, "x", 5.0, "").p_defect < 1.0


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_further_out_is_never_less_likely_defective(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert judge(HIGH, "x", low, "").p_defect <= judge(HIGH, "x", high, "").p_defect + 1e-12
    assert 0.0 < judge(BOTH, "x", a, "").p_defect < 1.0
