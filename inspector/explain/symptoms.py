"""What to search the site's knowledge for: everything abnormal, and the sensors that are not. Pure."""

from inspector.explain.facts import Facts
from inspector.explain.recall import Symptom
from inspector.explain.terms import TERMS

_SENSOR = 1.0
_FIRST_LABEL = 1.0


def symptoms(facts: Facts) -> tuple[Symptom, ...]:
    """Return the symptoms of an incident. Weights: a label by its score, a sensor by its urgency."""
    found = [Symptom(_spelled(label), _FIRST_LABEL * score) for label, score in facts.scores]
    found += [
        Symptom((sensor.name, *_spelled(sensor.kind)), _SENSOR * (0.5 + sensor.urgency), sensor.side)
        for sensor in facts.abnormal
    ]
    abnormal_kinds = {sensor.kind for sensor in facts.abnormal}
    found += [
        Symptom((name,) if kind in abnormal_kinds else (name, *_spelled(kind)), 0.0)
        for name, kind in facts.normal
    ]
    return tuple(found)


def _spelled(name: str) -> tuple[str, ...]:
    """Return a label or kind with what it is called in other languages: an FMEA is written in the site's."""
    return tuple(dict.fromkeys((name, *(terms.name(name) for terms in TERMS.values()))))
