"""The causes that the facts allow, best first, found by rules. The language model only words them.

A cause here is what coincided with the verdict; the words never claim more than that. The
recommended action comes with the cause and is never a language model's: it is what people do. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from inspector.explain.beside import pictures_changed
from inspector.explain.facts import AbnormalSensor, FactKind, Facts
from inspector.explain.knowledge import Known
from inspector.explain.names import safe_name
from inspector.types import ReasonCode


class CauseCode(StrEnum):
    EMERGENCY = "EMERGENCY"  # a sensor asked for a stop
    LATCHED = "LATCHED"  # an earlier stop has not been reset
    TRIGGER_LATE = "TRIGGER_LATE"
    EVIDENCE_MISSING = "EVIDENCE_MISSING"
    SENSOR_AND_DEFECT = "SENSOR_AND_DEFECT"  # both at the same part
    SENSOR_ONLY = "SENSOR_ONLY"  # beyond a limit, and no camera located anything
    DEFECT_ONLY = "DEFECT_ONLY"  # located, and no sensor beyond a limit
    SURFACE = "SURFACE"  # suspicious by its score, nothing located, no sensor beyond a limit
    NONE = "NONE"  # nothing was wrong


@dataclass(frozen=True, slots=True)
class Cause:
    """One allowed cause. `brief` is for the prompt, where the facts already have the numbers.

    `must_name` are names that a text about it has to contain. `text` is always made by code: its words
    are those that the grammar and the check allow. `known` is what the site's knowledge says lies
    behind it, `likely` the same as a sentence with where it says so, or "": code adds them to what
    people read, so that no row of a table ever reaches a language model, or widens what it may say.
    `beside` is what of the line itself may be behind it, such as a lamp; it too is code's alone, or "".
    """

    code: CauseCode
    text: str
    brief: str
    action: str
    must_name: tuple[str, ...] = ()
    known: str = ""
    likely: str = ""
    beside: str = ""

    @property
    def told(self) -> str:
        """The cause as people read it: the site's own words first, where it has some."""
        said = f"{self.known} ({self.text})" if self.known else self.text
        return f"{said}; {self.beside}" if self.beside else said


def rank_causes(facts: Facts, known: Sequence[Known] = ()) -> tuple[Cause, ...]:
    """Return the causes that the facts allow, the likeliest first; at least one.

    `known` are the site's own causes that fit, the best first.
    """
    causes = tuple(_with_drift(cause, facts) for cause in _allowed(facts))
    if not known:
        return causes
    return tuple(_known(cause, known) if cause.code in _EXPLAINABLE else cause for cause in causes)


def _with_drift(cause: Cause, facts: Facts) -> Cause:
    """A defect that no sensor goes with may be a lamp or a lens: so may a picture that differs as a whole."""
    if cause.code not in (CauseCode.DEFECT_ONLY, CauseCode.SURFACE):
        return cause
    changed = [pictures_changed(camera, drift) for camera, drift in facts.drifts]
    lamps = tuple(camera for camera, drift in facts.drifts if drift.light is not None)
    lenses = tuple(camera for camera, drift in facts.drifts if drift.focus is not None)
    action = cause.action
    if lamps:
        action += f" Check lamp and exposure of {listed(lamps)}, and for stray light."
    if lenses:
        action += f" Clean the lens of {listed(lenses)}; check focus and gain."
    return replace(cause, action=action, beside="; ".join(text for text in changed if text))


def _known(cause: Cause, known: Sequence[Known]) -> Cause:
    said = ", or ".join(row.cause for row in known)
    return replace(
        cause,
        known=said,
        action=". ".join(row.action for row in known if row.action) + "."
        if known[0].action
        else cause.action,
        likely=f"Likely cause: {said} ({', '.join(row.source for row in known)}).",
    )


def _allowed(facts: Facts) -> tuple[Cause, ...]:
    match facts.verdict.reason_code:
        case ReasonCode.EMERGENCY:
            return (_emergency(facts),)
        case ReasonCode.LATCHED:
            return (_LATCHED,)
        case ReasonCode.TRIGGER_LATE:
            return (_TRIGGER_LATE,)
        case ReasonCode.GOOD:
            return (_nothing(facts),)
    found: list[Cause] = []
    if facts.of_kind(FactKind.MISSING):
        found.append(_missing(facts))
    if facts.abnormal:
        found.append(_sensor(facts))
    elif facts.labels:
        found.append(_defect_only(facts))
    elif not found:
        found.append(_surface(facts))
    return tuple(found)


_EXPLAINABLE = frozenset(
    {CauseCode.EMERGENCY, CauseCode.SENSOR_AND_DEFECT, CauseCode.SENSOR_ONLY, CauseCode.DEFECT_ONLY}
)
_LATCHED = Cause(
    code=CauseCode.LATCHED,
    text="an earlier emergency has not been reset",
    brief="an earlier emergency is not reset",
    action="Make sure that the line is clear, then reset the emergency.",
)
_TRIGGER_LATE = Cause(
    code=CauseCode.TRIGGER_LATE,
    text="the trigger arrived after the part's deadline",
    brief="the trigger came after the deadline",
    action="Check the part by hand; check the network and the clocks of the PLC and the cell.",
)


def listed(words: tuple[str, ...]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    return words[-1] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _described(sensor: AbnormalSensor) -> str:
    return f"{sensor.name} at {sensor.value}" + (f", {sensor.limit}" if sensor.limit else "")


def _emergency(facts: Facts) -> Cause:
    if not facts.abnormal:
        source = safe_name(facts.verdict.cause) if facts.verdict.cause else ""
        text = "an emergency was reported" + (f" by {source}" if source else "")
        action = "Make the line safe, and find the source before the reset."
        return Cause(code=CauseCode.EMERGENCY, text=text, brief=text, action=action)
    worst = facts.abnormal[0]
    return Cause(
        code=CauseCode.EMERGENCY,
        text=f"emergency from {_described(worst)}",
        brief=f"emergency from {worst.name}",
        action=f"Make the line safe, check {worst.name}, and reset when the reading is normal again.",
        must_name=(worst.name,),
    )


def _missing(facts: Facts) -> Cause:
    names = facts.missing or tuple(fact.names[0] for fact in facts.of_kind(FactKind.MISSING))
    text = f"no usable data came from {listed(names)} in time"
    if facts.outage:
        text += f", {facts.outage}"
    return Cause(
        code=CauseCode.EVIDENCE_MISSING,
        text=text,
        brief=text,
        action=f"Check the part by hand; check {listed(names)} and the connection.",
        must_name=names,
    )


def _sensor(facts: Facts) -> Cause:
    names = tuple(sensor.name for sensor in facts.abnormal)
    described = "; ".join(_described(sensor) for sensor in facts.abnormal)
    check = f"Check the station where {listed(names)} {'measures' if len(names) == 1 else 'measure'}"
    if facts.labels:
        return Cause(
            code=CauseCode.SENSOR_AND_DEFECT,
            text=f"{described}; at the same time as {listed(facts.labels)}",
            brief=f"{listed(names)} abnormal at the same time as {listed(facts.labels)}",
            action=f"{check}, and look for {listed(facts.labels)} on the parts before and after.",
            must_name=(*names, *facts.labels),
        )
    return Cause(
        code=CauseCode.SENSOR_ONLY,
        text=f"{described}; no defect was located in an image",
        brief=f"{listed(names)} abnormal, no defect located",
        action=f"{check}, and check the part by hand.",
        must_name=names,
    )


def _within_limits(facts: Facts) -> str:
    return ", with the sensors within limits" if facts.of_kind(FactKind.NORMAL) else ""


def _defect_only(facts: Facts) -> Cause:
    text = f"{listed(facts.labels)} seen by {listed(facts.cameras)}{_within_limits(facts)}"
    return Cause(
        code=CauseCode.DEFECT_ONLY,
        text=text,
        brief=text,
        action=f"Check the part for {listed(facts.labels)}, and the stations before the camera.",
        must_name=facts.labels,
    )


def _surface(facts: Facts) -> Cause:
    if facts.cameras:
        text = f"the image of {listed(facts.cameras)} is not enough for a decision"
        if facts.verdict.reason_code is ReasonCode.DEFECT:
            text = f"the image of {listed(facts.cameras)} differs from that of good parts"
    else:
        text = "the evidence is not enough for a decision"
    text += _within_limits(facts)
    return Cause(
        code=CauseCode.SURFACE,
        text=text,
        brief=text,
        action="Check the part by hand, and record the finding in the review queue.",
        must_name=facts.cameras,
    )


def _nothing(facts: Facts) -> Cause:
    names = tuple(sensor.name for sensor in facts.abnormal)
    text = "no evidence against the part" + (f" but {listed(names)} abnormal" if names else "")
    return Cause(
        code=CauseCode.NONE,
        text=text,
        brief=text,
        action=f"Watch {listed(names)}." if names else "None.",
        must_name=names,
    )
