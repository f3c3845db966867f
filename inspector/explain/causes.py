"""The causes that the facts allow, best first, found by rules. The language model only words them.

A cause here is what coincided with the verdict; the words never claim more than that. Pure.
"""

from dataclasses import dataclass
from enum import StrEnum

from inspector.explain.facts import Facts, limit_broken, sensor_value
from inspector.explain.names import safe_name
from inspector.types import ReasonCode, SensorEvent


class CauseCode(StrEnum):
    EMERGENCY = "EMERGENCY"  # a sensor asked for a stop
    LATCHED = "LATCHED"  # an earlier stop has not been reset
    TRIGGER_LATE = "TRIGGER_LATE"
    EVIDENCE_MISSING = "EVIDENCE_MISSING"
    SENSOR_AND_DEFECT = "SENSOR_AND_DEFECT"  # both at the same part
    SENSOR_ONLY = "SENSOR_ONLY"  # beyond a limit, and the camera located nothing
    DEFECT_ONLY = "DEFECT_ONLY"  # located, and no sensor beyond a limit
    SURFACE = "SURFACE"  # abnormal by its score, nothing located, no sensor beyond a limit
    NONE = "NONE"  # nothing was wrong


@dataclass(frozen=True, slots=True)
class Cause:
    """One allowed cause. `must_name` are names that a text about it has to contain."""

    code: CauseCode
    text: str
    action: str
    must_name: tuple[str, ...] = ()


def rank_causes(facts: Facts) -> tuple[Cause, ...]:
    """Return the causes that the facts allow, the likeliest first; at least one."""
    reason = facts.verdict.reason_code
    if reason is ReasonCode.EMERGENCY:
        return (_emergency(facts),)
    if reason is ReasonCode.LATCHED:
        return (
            Cause(
                code=CauseCode.LATCHED,
                text="an earlier emergency stop has not been reset",
                action="Clear the line, then reset the emergency stop.",
            ),
        )
    if reason is ReasonCode.TRIGGER_LATE:
        return (
            Cause(
                code=CauseCode.TRIGGER_LATE,
                text="the trigger arrived after the deadline of the part",
                action="Check the part by hand; check the network and the clocks of PLC and cell.",
            ),
        )
    if reason is ReasonCode.GOOD:
        return (_nothing(facts),)
    found: list[Cause] = []
    if facts.missing or facts.of_kind("missing"):
        found.append(_missing(facts))
    if facts.abnormal:
        found.append(_sensor(facts))
    elif facts.labels:
        found.append(_defect_only(facts))
    elif reason is not ReasonCode.EVIDENCE_MISSING:
        found.append(_surface(facts))
    if reason is ReasonCode.DEFECT and len(found) > 1:
        found.reverse()  # confirmed with what was there: what is missing explains less
    return tuple(found) or (_missing(facts),)


def _described(event: SensorEvent) -> str:
    limit = limit_broken(event)
    sensor = safe_name(event.sensor_id)
    return f"{sensor} at {sensor_value(event)}" + (f", {limit}" if limit else "")


def _and(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _sensor_names(facts: Facts) -> tuple[str, ...]:
    return tuple(safe_name(event.sensor_id) for event in facts.abnormal)


def _emergency(facts: Facts) -> Cause:
    if not facts.abnormal:
        return Cause(
            code=CauseCode.EMERGENCY,
            text="an emergency was reported"
            + (f" by {safe_name(facts.verdict.cause)}" if facts.verdict.cause else ""),
            action="Make the line safe and find the source before a reset.",
        )
    worst = facts.abnormal[0]
    name = safe_name(worst.sensor_id)
    return Cause(
        code=CauseCode.EMERGENCY,
        text=f"emergency from {_described(worst)}",
        action=f"Make the line safe, check {name}, and reset only when it is back to normal.",
        must_name=(name,),
    )


def _missing(facts: Facts) -> Cause:
    if not facts.missing:
        camera = facts.of_kind("missing")[0].names[0] if facts.of_kind("missing") else "a source"
        return Cause(
            code=CauseCode.EVIDENCE_MISSING,
            text=f"{camera} gave no usable image",
            action=f"Check the part by hand; check {camera}.",
            must_name=(camera,) if facts.of_kind("missing") else (),
        )
    shown = facts.missing[:4]
    return Cause(
        code=CauseCode.EVIDENCE_MISSING,
        text=f"no data came from {_and(shown)} in time",
        action=f"Check the part by hand; check {_and(shown)} and its connection.",
        must_name=shown,
    )


def _sensor(facts: Facts) -> Cause:
    names = _sensor_names(facts)
    described = _and(tuple(_described(event) for event in facts.abnormal))
    if facts.labels:
        return Cause(
            code=CauseCode.SENSOR_AND_DEFECT,
            text=f"{described}, at the same time as {_and(facts.labels)}",
            action=f"Check what {_and(names)} measures at this station, and look for "
            f"{_and(facts.labels)} on the next parts.",
            must_name=(*names, *facts.labels),
        )
    return Cause(
        code=CauseCode.SENSOR_ONLY,
        text=f"{described}, and no defect was located",
        action=f"Check what {_and(names)} measures at this station, and check the part by hand.",
        must_name=names,
    )


def _defect_only(facts: Facts) -> Cause:
    cameras = f" seen by {_and(facts.cameras)}" if facts.cameras else ""
    normal = ", with the reported sensors within limits" if facts.of_kind("normal") else ""
    return Cause(
        code=CauseCode.DEFECT_ONLY,
        text=f"{_and(facts.labels)}{cameras}{normal}",
        action=f"Check the part for {_and(facts.labels)} and the stations before the camera.",
        must_name=facts.labels,
    )


def _surface(facts: Facts) -> Cause:
    normal = ", with the reported sensors within limits" if facts.of_kind("normal") else ""
    seen = f"the image from {_and(facts.cameras)}" if facts.cameras else "the evidence"
    return Cause(
        code=CauseCode.SURFACE,
        text=f"{seen} differs from good parts{normal}",
        action="Check the part by hand and record what you find in the review queue.",
        must_name=facts.cameras,
    )


def _nothing(facts: Facts) -> Cause:
    warned = f"; note {_and(_sensor_names(facts))}" if facts.abnormal else ""
    return Cause(
        code=CauseCode.NONE,
        text=f"nothing found that speaks against the part{warned}",
        action="None.",
        must_name=_sensor_names(facts),
    )
