"""What is known about a verdict, as numbered facts: the only things that an explanation may say. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from inspector.explain.names import number, safe_name, safe_phrase, safe_unit
from inspector.explain.place import extent_of_heatmap, place_of_box
from inspector.types import (
    Detection,
    FrameResult,
    PartEvidence,
    ReasonCode,
    ResultStatus,
    SensorEvent,
    Verdict,
    VerdictRecord,
)

MAX_DETECTIONS = 2
MAX_ABNORMAL = 3
MAX_NORMAL = 4
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.-])-?\d+(?:\.\d+)?")
_STATUS_WORDS = {
    ResultStatus.DROPPED: "the frame was dropped because the detector was too far behind",
    ResultStatus.INVALID_FRAME: "the frame was incomplete or of the wrong format",
    ResultStatus.ENGINE_ERROR: "the detector failed on the frame",
}


@dataclass(frozen=True, slots=True)
class CameraView:
    """What one camera sees: frame size in pixels (0: unknown) and its scale (None: unknown)."""

    width_px: int = 0
    height_px: int = 0
    mm_per_px: float | None = None


@dataclass(frozen=True, slots=True)
class LineContext:
    """What the site's configuration adds to the evidence."""

    cameras: Mapping[str, CameraView] = field(default_factory=dict)
    confirm_confidence: float = 0.75
    emergency_urgency: float = 0.8


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it is written in a fact, and its unit ("" for none)."""

    number: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement. `names` are the sensors, cameras, labels and part ids that stand in `text`."""

    id: int
    kind: str  # decision | vision | sensor | normal | missing
    text: str
    quantities: tuple[Quantity, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one verdict, numbered from 1. `abnormal` are sensors beyond a limit, worst first."""

    verdict: Verdict
    facts: tuple[Fact, ...]
    labels: tuple[str, ...]
    cameras: tuple[str, ...]
    abnormal: tuple[SensorEvent, ...]
    missing: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for fact in self.facts for name in fact.names)

    @property
    def quantities(self) -> frozenset[Quantity]:
        return frozenset(quantity for fact in self.facts for quantity in fact.quantities)

    def of_kind(self, kind: str) -> tuple[Fact, ...]:
        return tuple(fact for fact in self.facts if fact.kind == kind)


class _Numbering:
    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def add(self, kind: str, text: str, quantities: list[Quantity], names: list[str] | None = None) -> None:
        self.facts.append(
            Fact(
                id=len(self.facts) + 1,
                kind=kind,
                text=text,
                quantities=tuple(quantities),
                names=tuple(names or ()),
            )
        )


def gather(record: VerdictRecord, context: LineContext) -> Facts:
    """Return the facts of `record`, the decision first."""
    verdict, evidence = record.verdict, record.evidence
    numbering = _Numbering()
    _decision(numbering, verdict, context)
    labels, cameras = _vision(numbering, evidence, context)
    abnormal = rank_abnormal(evidence, verdict)
    for event in abnormal[:MAX_ABNORMAL]:
        _abnormal_sensor(numbering, event)
    _normal_sensors(numbering, evidence, abnormal)
    missing = _missing(numbering, verdict, evidence)
    return Facts(
        verdict=verdict,
        facts=tuple(numbering.facts),
        labels=labels,
        cameras=cameras,
        abnormal=abnormal[:MAX_ABNORMAL],
        missing=missing,
    )


def rank_abnormal(evidence: PartEvidence, verdict: Verdict) -> tuple[SensorEvent, ...]:
    """Return the latest abnormal event of each sensor: urgent, telling and near in time first."""
    latest: dict[str, SensorEvent] = {}
    for event in sorted(evidence.events, key=lambda event: event.observed_ns):
        if event.abnormal is not None or event.sensor_id == verdict.cause:
            latest[event.sensor_id] = event
    return tuple(
        sorted(
            latest.values(),
            key=lambda event: (
                event.sensor_id != verdict.cause,
                -event.urgency,
                -(event.p_defect if event.p_defect is not None else 0.5),
                abs(event.observed_ns - evidence.trigger_ns),
                event.sensor_id,
            ),
        )
    )


def sensor_value(event: SensorEvent) -> str:
    """Return the reading with its unit: ``7.8 mm/s``."""
    return f"{number(event.value, 4)} {safe_unit(event.unit)}".strip()


def limit_broken(event: SensorEvent) -> str:
    """Return the limit that the event broke in safe words, or ""."""
    return safe_phrase(event.abnormal) if event.abnormal else ""


def _decision(numbering: _Numbering, verdict: Verdict, context: LineContext) -> None:
    part = safe_name(verdict.part_id) if verdict.part_id else ""
    text = f"{f'part {part}' if part else 'line'}: action {verdict.action}"
    quantities: list[Quantity] = []
    if verdict.reason_code in (ReasonCode.EMERGENCY, ReasonCode.LATCHED):
        if verdict.reason_code is ReasonCode.LATCHED:
            text += ", an earlier emergency stop is not reset"
    elif verdict.reason_code is ReasonCode.TRIGGER_LATE:
        text += ", its trigger came after the deadline"
    elif verdict.p_defect is not None:
        p_defect = number(verdict.p_defect, 2)
        needed = number(context.confirm_confidence)
        confidence = number(verdict.confidence, 2)
        relation = "above" if verdict.confidence > context.confirm_confidence else "below"
        text += f", defect probability {p_defect}, confidence {confidence} is {relation} the {needed} needed"
        quantities += [Quantity(p_defect), Quantity(needed), Quantity(confidence)]
    numbering.add("decision", text, quantities, [part] if part else [])


def _vision(
    numbering: _Numbering, evidence: PartEvidence, context: LineContext
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    labels: list[str] = []
    cameras: list[str] = []
    for result in evidence.results:
        camera = safe_name(result.camera_id)
        cameras.append(camera)
        if result.status is not ResultStatus.OK:
            numbering.add("missing", f"{camera}: {_STATUS_WORDS[result.status]}", [], [camera])
            continue
        view = context.cameras.get(result.camera_id, CameraView())
        found = sorted(result.detections, key=lambda detection: -detection.score)
        for detection in found[:MAX_DETECTIONS]:
            labels.append(safe_name(detection.label))
            _detection(numbering, camera, detection, view)
        if not found:
            _no_detection(numbering, camera, result)
    return tuple(dict.fromkeys(labels)), tuple(dict.fromkeys(cameras))


def _detection(numbering: _Numbering, camera: str, detection: Detection, view: CameraView) -> None:
    label = safe_name(detection.label)
    x0, y0, x1, y1 = detection.box_px
    width, height = str(x1 - x0), str(y1 - y0)
    score = number(detection.score, 2)
    quantities = [Quantity(score), Quantity(width), Quantity(height, "px")]
    text = f"{camera}: {label}, score {score}"
    place = place_of_box(detection.box_px, view.width_px, view.height_px)
    if place:
        text += f", {place} of the image"
    text += f", {width} x {height} px"
    area_mm2 = detection.area_mm2
    if area_mm2 is not None:
        area = number(area_mm2, 2)
        text += f", {area} mm2"
        quantities.append(Quantity(area, "mm2"))
    elif view.mm_per_px is not None:
        wide = number((x1 - x0) * view.mm_per_px, 2)
        high = number((y1 - y0) * view.mm_per_px, 2)
        text += f", {wide} x {high} mm"
        quantities += [Quantity(wide), Quantity(high, "mm")]
    numbering.add("vision", text, quantities, [camera, label])


def _no_detection(numbering: _Numbering, camera: str, result: FrameResult) -> None:
    quantities: list[Quantity] = []
    text = f"{camera}: no defect located"
    if result.p_defect is not None:
        p_defect = number(result.p_defect, 2)
        text += f", defect probability {p_defect}"
        quantities.append(Quantity(p_defect))
    extent = extent_of_heatmap(result.heatmap) if result.heatmap is not None else None
    if extent is not None:
        percent = number(extent.percent, 2)
        text = f"{camera}: abnormal surface over {percent} % of the image, {extent.place}" + (
            f", defect probability {quantities[0].number}" if quantities else ""
        )
        quantities.append(Quantity(percent, "%"))
    numbering.add("vision", text, quantities, [camera])


def _abnormal_sensor(numbering: _Numbering, event: SensorEvent) -> None:
    sensor, kind, unit = safe_name(event.sensor_id), safe_name(event.kind), safe_unit(event.unit)
    limit = limit_broken(event)
    quantities = [Quantity(number(event.value, 4), unit)]
    quantities += [Quantity(found, unit) for found in _NUMBER.findall(limit)]
    text = f"{sensor} ({kind}): {sensor_value(event)}, ABNORMAL"
    if limit:
        text += f", {limit}"
    numbering.add("sensor", text, quantities, [sensor, kind])


def _normal_sensors(numbering: _Numbering, evidence: PartEvidence, abnormal: tuple[SensorEvent, ...]) -> None:
    beyond = {event.sensor_id for event in abnormal}
    latest = {event.sensor_id: event for event in evidence.events if event.sensor_id not in beyond}
    shown = [latest[sensor_id] for sensor_id in sorted(latest)][:MAX_NORMAL]
    if shown:
        numbering.add(
            "normal",
            "within limits: "
            + "; ".join(f"{safe_name(event.sensor_id)} {sensor_value(event)}" for event in shown),
            [Quantity(number(event.value, 4), safe_unit(event.unit)) for event in shown],
            [safe_name(event.sensor_id) for event in shown],
        )


def _missing(numbering: _Numbering, verdict: Verdict, evidence: PartEvidence) -> tuple[str, ...]:
    missing = tuple(safe_name(name) for name in dict.fromkeys(verdict.missing + evidence.missing))
    if missing:
        shown = list(missing[:MAX_NORMAL])
        numbering.add("missing", f"no data from {', '.join(shown)}", [], shown)
    return missing
