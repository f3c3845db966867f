"""The answer that a language model should have given: one sentence that says all that it must. Pure.

It is made from the facts by code, so that it is faithful by construction, in the style of the examples in
`prompt`; `check` has the last word on each (a test has it look at hundreds).
"""

import json
import re
from collections.abc import Iterable

from inspector.explain.causes import Cause, CauseCode, listed
from inspector.explain.facts import Fact, FactKind, Facts
from inspector.explain.template import matters

_LIMIT = re.compile(r"(limit)( -?\d)")
_CAUSE_ALONE = frozenset({CauseCode.LATCHED, CauseCode.NONE})


def answer(facts: Facts, causes: tuple[Cause, ...]) -> str:
    """Return the JSON text of an answer that `grammar.schema_for` allows and `check` accepts."""
    cause = causes[0]
    told = [fact for fact in facts.facts if any(matters(fact, each) for each in causes)]
    used = [fact for fact in told if fact.kind not in (FactKind.NORMAL, FactKind.DECISION)]
    body = {
        "cause": 1,
        "text": f"{facts.opening} because {_reason(facts, cause, used)}.",
        "cited": sorted({1, *(fact.id for fact in used)}),
    }
    return json.dumps(body, separators=(",", ":"))


def _reason(facts: Facts, cause: Cause, used: list[Fact]) -> str:
    if cause.code is CauseCode.TRIGGER_LATE:
        return "its trigger came after the deadline"
    if cause.code in _CAUSE_ALONE:
        return cause.brief if cause.code is CauseCode.LATCHED else f"there was {cause.brief}"
    if cause.code is CauseCode.EMERGENCY:
        readings = " and ".join(_sensors(facts))
        return f"of an emergency: {readings}" if readings else cause.brief
    said = [_missing(facts)] if any(fact.kind is FactKind.MISSING for fact in used) else []
    said += _seen(fact for fact in used if not _is_bare(fact))
    bare = [f"{fact.names[0]} located no defect" for fact in used if _is_bare(fact)]
    sensors = " and ".join(_sensors(facts))
    if not said:
        return f"{sensors} while {' and '.join(bare)}" if sensors and bare else sensors or cause.brief
    if cause.code is CauseCode.SURFACE:
        said += bare  # each camera has to be named
    return " and ".join(said) + (f" while {sensors}" if sensors else "")


def _is_bare(fact: Fact) -> bool:
    return fact.kind is FactKind.VISION and ": no defect located" in fact.text


def _sensors(facts: Facts) -> list[str]:
    said: list[str] = []
    for sensor in facts.abnormal:
        limit = _LIMIT.sub(r"\1 of\2", sensor.limit)
        said.append(f"{sensor.name} was at {sensor.value}" + (f", {limit}" if limit else ""))
    return said


def _missing(facts: Facts) -> str:
    names = facts.missing or tuple(fact.names[0] for fact in facts.of_kind(FactKind.MISSING))
    return f"no usable data came from {listed(names)} in time" + (f", {facts.outage}" if facts.outage else "")


def _seen(used: Iterable[Fact]) -> list[str]:
    """Each camera once, with all that it located."""
    found: dict[str, list[str]] = {}
    for fact in used:
        if fact.kind is FactKind.VISION:
            camera, _, rest = fact.text.partition(": ")
            found.setdefault(camera, []).append(_located(rest) if fact.names[1:] else _marked(rest))
    return [f"{camera} found {' and '.join(things)}" for camera, things in found.items()]


def _located(rest: str) -> str:
    """Turn ``label, score 0.9, upper left of the image`` into ``label at the upper left of the image``."""
    label, _score, *places = rest.split(", ")
    if places[0].endswith(" of the image"):
        return f"{label} at the {places[0]}"
    return f"{label} {places[0]}, {places[1]}"  # at x and y in pixels


def _marked(rest: str) -> str:
    """Turn ``abnormal surface on 3 % of the image, lower left, ...`` into words after ``found``."""
    surface, place, *_ = rest.split(", ")
    return f"an {surface} at the {place}"
