"""The weighted pool: one probability from those of the modalities that are present.

A logarithmic opinion pool (Genest and Zidek 1986): the log-odds of the modalities are added, each
times its weight. The weights renormalise so that the strongest modality present weighs 1: so an
absent modality neither vetoes nor confirms, one that says 0.5 (a reading within its limits) changes
nothing, and two that agree are surer than either (decision 013). A modality that is certain by
rounding alone must not silence the others, hence the clamp.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from inspector.fusion.portable import exp, log
from inspector.types import PartEvidence, ResultStatus, SensorEvent

VISION = "vision"
SENSORS = "sensors"
OPINION = "opinion"

_CERTAIN = 1e-4


@dataclass(frozen=True, slots=True)
class Fused:
    """`p_defect` is None when no modality was present; `weights` are the renormalised ones."""

    p_defect: float | None
    weights: dict[str, float]


def modalities(evidence: PartEvidence) -> dict[str, float]:
    """Return each present modality's probability that the part is defective.

    A part is as bad as its worst view and its most suspicious sensor, hence the maxima. A sensor of another
    modality that has spoken twice (an operator who corrects himself) means what it said last.
    """
    present: dict[str, float] = {}
    views = [
        result.p_defect
        for result in evidence.results
        if result.status is ResultStatus.OK and result.p_defect is not None
    ]
    if views:
        present[VISION] = max(views)
    last: dict[str, SensorEvent] = {}
    for event in evidence.events:  # in order of time, for each sensor
        if event.p_defect is None:
            continue
        if event.modality == SENSORS:
            present[SENSORS] = max(present.get(SENSORS, 0.0), event.p_defect)
        else:
            last[event.sensor_id] = event
    for event in last.values():
        present[event.modality] = max(present.get(event.modality, 0.0), event.p_defect or 0.0)
    if evidence.opinion is not None:
        present[OPINION] = evidence.opinion.p_defect
    return present


def pool(present: Mapping[str, float], weights: Mapping[str, float]) -> Fused:
    """Fuse the present modalities' probabilities.

    Raises:
        KeyError: a modality has no weight.
    """
    strongest = max((weights[name] for name in present), default=0.0)
    if strongest <= 0.0:
        return Fused(None, {})
    used = {name: weights[name] / strongest for name in sorted(present)}
    log_odds = 0.0
    for name, weight in used.items():  # not sum(): since Python 3.12 its last bit is another
        log_odds += weight * logit(present[name])
    return Fused(1.0 / (1.0 + exp(-log_odds)), used)


def logit(probability: float) -> float:
    """Log-odds, held within those of 1 in 10,000."""
    clamped = min(max(probability, _CERTAIN), 1.0 - _CERTAIN)
    return log(clamped / (1.0 - clamped))
