"""Made-up incidents whose cause is known, from a seed: what `inspector explain eval` asks. Pure.

Each case has a site of its own: sensors, defect labels and an FMEA drawn anew, so that no example of
the prompt and no earlier case gives the answer away. The cause is that of the only row whose symptoms
are all there; a second abnormal sensor and sensors within their limits stand beside them to mislead.
"""

import random
from dataclasses import dataclass

import msgspec

from inspector.explain.eval_words import EVAL_WORDS, Kind, Words
from inspector.explain.facts import CameraView, LineContext
from inspector.explain.knowledge import Known
from inspector.explain.probe import PROBE
from inspector.types import (
    Action,
    Decision,
    Detection,
    FrameResult,
    ReasonCode,
    ResultStatus,
    SensorEvent,
    VerdictRecord,
)

_ROWS = 7
_THRESHOLD = 0.5
_SHARE_KNOWN = 0.7
"""How many of the cases have a row in the FMEA; the others are what else happens on a line."""


@dataclass(frozen=True, slots=True)
class Case:
    """An incident and what must be said of it. `named` must all stand in the text."""

    record: VerdictRecord
    context: LineContext
    known: tuple[Known, ...]
    cause: str
    action: str
    named: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SiteSensor:
    """A sensor of a made-up site."""

    id: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Row:
    label: str | None
    sensor: SiteSensor | None
    cause: str
    action: str


@dataclass(frozen=True, slots=True)
class _Site:
    sensors: tuple[SiteSensor, ...]
    labels: tuple[str, ...]
    rows: tuple[_Row, ...]
    known: tuple[Known, ...]
    context: LineContext


def cases(seed: int, count: int, words: Words = EVAL_WORDS) -> list[Case]:
    """Return `count` cases made of `words`; the same for the same seed."""
    return [_case(random.Random(f"{seed}/{number}"), number, words) for number in range(count)]


def _case(rng: random.Random, number: int, words: Words) -> Case:
    kinds = rng.sample(words.sensors, 4)
    sensors = [SiteSensor(kind.id or _sensor_id(rng, kind), kind) for kind in kinds]
    labels = rng.sample(words.labels, 4)
    rows = _rows(rng, sensors, labels, words)
    known = tuple(
        Known(f"fmea.csv line {line}", _symptom(rng, row), row.cause, row.action)
        for line, row in enumerate(rows, 2)
    )
    camera = rng.choice(words.cameras)
    context = LineContext(
        cameras={camera: CameraView(1600, 1200, rng.choice((None, 0.04)))},
        thresholds=dict.fromkeys(words.labels, _THRESHOLD),
    )
    site = _Site(tuple(sensors), tuple(labels), tuple(rows), known, context)
    make = Maker(rng, number, camera)
    return _known_case(rng, make, site) if rng.random() < _SHARE_KNOWN else _plain_case(rng, make, site)


def _sensor_id(rng: random.Random, kind: Kind) -> str:
    short = rng.choice((kind.name, kind.name.split("_")[0], f"{kind.name[:4]}_st"))
    return f"{short}{rng.randint(1, 9)}"


def _rows(rng: random.Random, sensors: list[SiteSensor], labels: list[str], words: Words) -> list[_Row]:
    causes = rng.sample(words.causes, _ROWS)
    pairs: list[tuple[str | None, SiteSensor | None]] = [(labels[0], sensors[0]), (labels[1], sensors[1])]
    pairs += [(labels[0], sensors[2]), (labels[2], None), (None, sensors[3]), (labels[2], sensors[0])]
    pairs += [(labels[1], sensors[2])]
    rng.shuffle(pairs)
    return [_Row(label, sensor, *cause) for (label, sensor), cause in zip(pairs, causes, strict=True)]


def _symptom(rng: random.Random, row: _Row) -> str:
    said: list[str] = []
    if row.label:
        label = row.label.replace("_", " ")
        said.append(rng.choice((f"{label} on the part", label, f"{label} at the edge", f"part with {label}")))
    if row.sensor:
        kind = row.sensor.kind.name.replace("_", " ")
        high = row.sensor.kind.high
        said.append(
            rng.choice(
                (
                    f"{kind} too {'high' if high else 'low'}",
                    f"{'excessive' if high else 'insufficient'} {kind}",
                    f"{row.sensor.id} {'above' if high else 'below'} its limit",
                )
            )
        )
    return ", ".join(said)


@dataclass(slots=True)
class Maker:
    """Makes records with a fresh part name and numbers."""

    rng: random.Random
    number: int
    camera: str

    def event(self, sensor: SiteSensor, level: str) -> SensorEvent:
        kind, rng = sensor.kind, self.rng
        normal, warn, alarm = kind.normal, kind.warn, kind.alarm
        if level == "normal":
            value = normal + (warn - normal) * rng.uniform(-0.3, 0.6)
        elif level == "warn":
            value = warn + (alarm - warn) * rng.uniform(0.15, 0.85)
        else:
            value = alarm + (alarm - warn) * rng.uniform(0.05, 0.9)
        value = float(f"{value:.3g}")
        broken, limit = ("alarm", alarm) if level != "warn" else ("warn", warn)
        side = "above" if kind.high else "below"
        words = f"{kind.name} {value:g} {kind.unit}, {side} its {broken} limit {limit:g} {kind.unit}"
        return msgspec.structs.replace(
            PROBE.evidence.events[0],
            sensor_id=sensor.id,
            kind=kind.name,
            unit=kind.unit,
            value=value,
            urgency={"normal": 0.0, "warn": 0.0, "alarm": 0.6, "urgent": 0.95}[level],
            p_defect={"normal": 0.5, "warn": 0.6}.get(level, 0.8),
            abnormal=None if level == "normal" else words,
        )

    def result(self, *labels: str, p_defect: float, status: ResultStatus = ResultStatus.OK) -> FrameResult:
        found = []
        for place, label in enumerate(labels):
            x, y = self.rng.randint(0, 1400), self.rng.randint(0, 1000)
            w, h = self.rng.randint(12, 180), self.rng.randint(9, 150)
            score = round(self.rng.uniform(0.8, 0.98) - 0.2 * place, 2)
            found.append(Detection(label=label, score=score, box_px=(x, y, x + w, y + h)))
        return msgspec.structs.replace(
            PROBE.evidence.results[0],
            camera_id=self.camera,
            p_defect=p_defect if status is ResultStatus.OK else None,
            status=status,
            detections=tuple(found),
        )

    def record(
        self,
        action: Action,
        reason: ReasonCode,
        results: tuple[FrameResult, ...],
        events: list[SensorEvent],
        *,
        p_defect: float | None = None,
        missing: tuple[str, ...] = (),
        cause: str = "",
    ) -> VerdictRecord:
        failsafe = reason not in (ReasonCode.DEFECT, ReasonCode.EMERGENCY, ReasonCode.LATCHED)
        stop = action is Action.STOP
        part = f"{self.rng.choice(('HX', 'B', 'lot5-', ''))}{self.rng.randint(1000, 99999)}"
        decision = Decision.PENDING if failsafe else Decision.CONFIRMED_ACTION
        verdict = msgspec.structs.replace(
            PROBE.verdict,
            verdict_id=f"case{self.number}",
            part_id=part,
            decision=Decision.EMERGENCY_BRAKE if stop else decision,
            action=action,
            reason_code=reason,
            confidence=1.0 if stop else max(p_defect, 1.0 - p_defect) if p_defect is not None else 0.0,
            p_defect=p_defect,
            missing=missing,
            failsafe=failsafe,
            cause=cause,
        )
        self.rng.shuffle(events)
        evidence = msgspec.structs.replace(
            PROBE.evidence, part_id=part, results=results, events=tuple(events), missing=missing
        )
        return VerdictRecord(verdict=verdict, evidence=evidence)


def _known_case(rng: random.Random, make: Maker, site: _Site) -> Case:
    row = rng.choice(site.rows)
    # A sensor misleads only where no row would then have all of its symptoms as well.
    misleading = [
        sensor
        for sensor in site.sensors
        if sensor is not row.sensor
        and not any(other.sensor is sensor and other.label in (None, row.label) for other in site.rows)
    ]
    wrong = rng.choice(misleading) if misleading and rng.random() < 0.4 else None
    events = []
    for sensor in site.sensors:
        level = "alarm" if sensor is row.sensor else "warn" if sensor is wrong else "normal"
        events.append(make.event(sensor, level))
    p_defect = round(rng.uniform(0.8, 0.99), 2)
    seen = make.result(*((row.label,) if row.label else ()), p_defect=p_defect)
    record = make.record(Action.REJECT, ReasonCode.DEFECT, (seen,), events, p_defect=p_defect)
    named = tuple(name for name in (row.label, row.sensor.id if row.sensor else None) if name)
    return Case(record, site.context, site.known, row.cause, row.action, named)


def _plain_case(rng: random.Random, make: Maker, site: _Site) -> Case:
    sensors, known, context = site.sensors, site.known, site.context
    normal = [make.event(sensor, "normal") for sensor in sensors]
    vision = f"vision.{make.camera}"
    match rng.choice(("missing", "emergency", "late", "defect", "dropped", "latched")):
        case "missing":
            record = make.record(
                Action.HOLD,
                ReasonCode.EVIDENCE_MISSING,
                (),
                normal,
                missing=(vision,),
                cause=f"camera.{make.camera} down",
            )
            return Case(record, context, known, f"no usable data came from {vision}", vision, (vision,))
        case "dropped":
            lost = make.result(p_defect=0.5, status=ResultStatus.DROPPED)
            record = make.record(Action.HOLD, ReasonCode.EVIDENCE_MISSING, (lost,), normal, missing=(vision,))
            return Case(record, context, known, f"no usable data came from {vision}", vision, (vision,))
        case "emergency":
            worst = sensors[rng.randrange(3)]
            events = [make.event(each, "urgent" if each is worst else "normal") for each in sensors]
            record = make.record(Action.STOP, ReasonCode.EMERGENCY, (), events, cause=worst.id)
            alone = tuple(row for row in known if row.source == "")  # no row fits a stop here
            return Case(
                record, context, alone, f"emergency from {worst.id}", f"check {worst.id}", (worst.id,)
            )
        case "late":
            record = make.record(Action.HOLD, ReasonCode.TRIGGER_LATE, (), [], missing=(vision,))
            return Case(record, context, known, "the trigger arrived after", "clocks", ())
        case "latched":
            record = make.record(Action.STOP, ReasonCode.LATCHED, (), normal)
            return Case(record, context, known, "an earlier emergency has not been reset", "reset", ())
    label = site.labels[3]  # no row of the FMEA has it
    p_defect = round(rng.uniform(0.8, 0.99), 2)
    seen = make.result(label, p_defect=p_defect)
    record = make.record(Action.REJECT, ReasonCode.DEFECT, (seen,), normal, p_defect=p_defect)
    return Case(
        record, context, known, f"{label} seen by {make.camera}", f"Check the part for {label}", (label,)
    )
