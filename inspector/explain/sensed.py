"""What the sensors measured, as facts. Pure."""

import re

from inspector.explain.draft import Draft
from inspector.explain.facts import AbnormalSensor, FactKind, LineContext, Quantity
from inspector.explain.names import number, safe_name, safe_phrase, safe_unit
from inspector.types import PartEvidence, Quality, SensorEvent, Verdict

MAX_ABNORMAL = 3
MAX_NORMAL = 3
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.-])-?\d+(?:\.\d+)?")


def rank_abnormal(evidence: PartEvidence, verdict: Verdict) -> tuple[SensorEvent, ...]:
    """Return the sensors beyond a limit by their worst event, at most MAX_ABNORMAL.

    The one that the verdict names comes first, then by urgency, by what it says of a defect, and
    by nearness to the trigger.
    """
    worst: dict[str, SensorEvent] = {}
    for event in sorted(evidence.events, key=lambda event: _rank(event, evidence.trigger_ns)):
        if event.quality is Quality.BAD:
            continue
        if event.abnormal is not None or event.sensor_id == verdict.cause:
            worst.setdefault(event.sensor_id, event)
    first = sorted(worst.values(), key=lambda event: event.sensor_id != verdict.cause)
    return tuple(first[:MAX_ABNORMAL])


def _rank(event: SensorEvent, trigger_ns: int) -> tuple[float, float, int, str]:
    p_defect = 0.5 if event.p_defect is None else event.p_defect
    return (-event.urgency, -p_defect, abs(event.observed_ns - trigger_ns), event.sensor_id)


def describe(event: SensorEvent, context: LineContext) -> AbnormalSensor:
    """Return the event in safe words, the limit that it broke without its value said twice."""
    limit = safe_phrase(event.abnormal or "")
    name, kind, side = safe_name(event.sensor_id), safe_name(event.kind), _side(limit)
    reading = f"{event.value:g} {event.unit}".strip()
    before, _, after = limit.partition(", ")
    if after and before.endswith(safe_phrase(reading)):
        limit = after
    if not limit and event.urgency > context.emergency_urgency:
        # An emergency button has no limit: what speaks is the urgency that it came with.
        return AbnormalSensor(
            name=name,
            kind=kind,
            urgency=event.urgency,
            value=f"urgency {number(event.urgency, 2)}",
            limit=f"above the emergency limit {number(context.emergency_urgency, 2)}",
        )
    return AbnormalSensor(
        name=name, value=_value(event), limit=limit, kind=kind, urgency=event.urgency, side=side
    )


def _side(limit: str) -> str:
    return next((side for side in ("above", "below") if side in limit.split()), "")


def abnormal_fact(event: SensorEvent, context: LineContext) -> Draft:
    """Return the fact about one sensor beyond a limit."""
    sensor, kind = describe(event, context), safe_name(event.kind)
    text = f"{sensor.name} ({kind}): {sensor.value}, ABNORMAL"
    told = f"{sensor.value}, {sensor.limit}"
    unit = safe_unit(event.unit)
    return Draft(
        FactKind.ABNORMAL,
        f"{text}, {sensor.limit}" if sensor.limit else text,
        tuple(
            Quantity(found.group(), unit if unit and told[found.end() :].startswith(f" {unit}") else "")
            for found in _NUMBER.finditer(told)
        ),
        (sensor.name, kind),
    )


def normal_sensors(evidence: PartEvidence, abnormal: tuple[SensorEvent, ...]) -> tuple[tuple[str, str], ...]:
    """Return the name and kind of every sensor that has limits and kept them."""
    return tuple((safe_name(event.sensor_id), safe_name(event.kind)) for event in _kept(evidence, abnormal))


def _kept(evidence: PartEvidence, abnormal: tuple[SensorEvent, ...]) -> list[SensorEvent]:
    beyond = {event.sensor_id for event in abnormal}
    latest = {
        event.sensor_id: event
        for event in sorted(evidence.events, key=lambda event: event.observed_ns)
        if event.p_defect is not None and event.abnormal is None and event.quality is not Quality.BAD
    }
    return [latest[sensor_id] for sensor_id in sorted(latest) if sensor_id not in beyond]


def normal_fact(evidence: PartEvidence, abnormal: tuple[SensorEvent, ...]) -> list[Draft]:
    """Return one fact about the sensors that have limits and kept them; none when there are none."""
    shown = _kept(evidence, abnormal)[:MAX_NORMAL]
    if not shown:
        return []
    told = "; ".join(f"{safe_name(event.sensor_id)} {_value(event)}" for event in shown)
    return [
        Draft(
            FactKind.NORMAL,
            f"within limits: {told}",
            tuple(Quantity(_number(event), safe_unit(event.unit)) for event in shown),
            tuple(safe_name(event.sensor_id) for event in shown),
        )
    ]


def _number(event: SensorEvent) -> str:
    return number(event.value, 6)


def _value(event: SensorEvent) -> str:
    return f"{_number(event)} {safe_unit(event.unit)}".strip()
