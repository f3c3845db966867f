"""What a reading means by the site's limits: how urgent, how likely a defect, and why. Pure."""

import math
from dataclasses import dataclass

from inspector.config import LimitRule

# Certainty is not a sensor's to give: 0 and 1 would silence every other modality in a pool of
# log-odds.
P_MIN, P_MAX = 1e-6, 1.0 - 1e-6


@dataclass(frozen=True, slots=True)
class Judgement:
    """`abnormal` is the broken limit in words, None within limits."""

    urgency: float
    p_defect: float
    abnormal: str | None


def judge(rule: LimitRule, kind: str, value: float, unit: str, rate_per_s: float | None = None) -> Judgement:
    """Judge one finite reading, in the unit of the rule; `rate_per_s` is its change since the last one.

    The probability of a defect is `p_defect_normal` up to the warn limit, rises linearly in log-odds to
    `p_defect_at_alarm` at the alarm limit, and stays there beyond it.
    """
    severity = 0.0
    abnormal: str | None = None
    for warn, alarm, side in (
        (rule.warn_high, rule.alarm_high, "above"),
        (rule.warn_low, rule.alarm_low, "below"),
    ):
        if warn is None or alarm is None:
            continue
        # A fraction over 0 is past warn, one of at least 1 is at or past alarm, on either side.
        fraction = (value - warn) / (alarm - warn)
        if fraction > severity:
            severity = fraction
            at_alarm = fraction >= 1.0
            limit, name = (alarm, "alarm") if at_alarm else (warn, "warn")
            where = "at" if value == limit else side
            abnormal = f"{kind} {value:g} {unit}, {where} its {name} limit {limit:g} {unit}"
    if rate_per_s is not None and rule.warn_rate is not None and rule.alarm_rate is not None:
        fraction = (abs(rate_per_s) - rule.warn_rate) / (rule.alarm_rate - rule.warn_rate)
        if fraction > severity:
            severity = fraction
            limit, name = (rule.alarm_rate, "alarm") if fraction >= 1.0 else (rule.warn_rate, "warn")
            abnormal = f"{kind} changes by {rate_per_s:g} {unit}/s, {name} limit {limit:g} {unit}/s"
    normal, alarm_odds = _log_odds(rule.p_defect_normal), _log_odds(rule.p_defect_at_alarm)
    log_odds = normal + min(severity, 1.0) * (alarm_odds - normal)
    return Judgement(
        urgency=rule.urgency_at_alarm if severity >= 1.0 else 0.0,
        p_defect=1.0 / (1.0 + math.exp(-log_odds)),
        abnormal=abnormal,
    )


def _log_odds(p_defect: float) -> float:
    clamped = min(max(p_defect, P_MIN), P_MAX)
    return math.log(clamped / (1.0 - clamped))
