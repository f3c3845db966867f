"""How good and how quick a language model's explanations are, on twenty made-up incidents.

    python tests/bench/bench_explain.py qwen2.5-coder-1.5b --threads 1

valid: the answer is the JSON that was asked for. faithful: it passes the whole check at the first
try; finally: at the second. Seconds are of the calls after the first, whose prompt is not cached.
"""

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field

import msgspec

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.errors import ConfigError, DataError, ModelError
from inspector.explain.causes import rank_causes
from inspector.explain.check import check
from inspector.explain.facts import CameraView, LineContext
from inspector.explain.gather import gather
from inspector.explain.grammar import schema_for
from inspector.explain.probe import PROBE
from inspector.explain.prompt import build, retry
from inspector.explain.start import open_engine
from inspector.types import (
    Action,
    Decision,
    Detection,
    FrameResult,
    Heatmap,
    Quality,
    ReasonCode,
    ResultStatus,
    SensorEvent,
    VerdictRecord,
)

LABELS = ("scratch", "dent", "missing_screw", "contamination", "crack")
SENSORS = (
    ("vibration1", "vibration", "mm/s", 8.25, "above its alarm limit 7.1"),
    ("gripper1", "gripper_force", "N", 24.0, "below its warn limit 30"),
    ("temperature1", "temperature", "degC", 63.5, "above its warn limit 60"),
)
CONTEXT = LineContext(cameras={"cam1": CameraView(1280, 960, 0.05), "cam2": CameraView()})
DEADLINE_S = 120


def result(
    camera: str, p_defect: float, *found: Detection, status: ResultStatus = ResultStatus.OK
) -> FrameResult:
    base = PROBE.evidence.results[0]
    heat = bytes(255 if i in (10, 11, 18) else 0 for i in range(64))
    return msgspec.structs.replace(
        base,
        camera_id=camera,
        status=status,
        p_defect=p_defect if status is ResultStatus.OK else None,
        detections=found,
        heatmap=Heatmap(width=8, height=8, data=heat) if not found and p_defect > 0.5 else None,
    )


def detection(i: int) -> Detection:
    x, y = (137 * i) % 1100, (211 * i) % 850
    return Detection(
        label=LABELS[i % len(LABELS)],
        score=0.62 + 0.017 * i,
        box_px=(x, y, x + 20 + 7 * i, y + 15 + 3 * i),
        area_mm2=1.5 * i if i % 2 else None,
    )


def event(i: int, *, abnormal: bool) -> SensorEvent:
    sensor_id, kind, unit, value, limit = SENSORS[i % len(SENSORS)]
    value = value if abnormal else {"mm/s": 2.1, "N": 45.0, "degC": 41.5}[unit]
    return msgspec.structs.replace(
        PROBE.evidence.events[0],
        sensor_id=sensor_id,
        kind=kind,
        unit=unit,
        value=value,
        urgency=0.5 if abnormal else 0.0,
        p_defect=0.7 if abnormal else 0.5,
        abnormal=f"{kind} {value:g} {unit}, {limit} {unit}" if abnormal else None,
        quality=Quality.GOOD,
    )


def record(
    i: int,
    action: Action,
    reason: ReasonCode,
    results: tuple[FrameResult, ...],
    events: tuple[SensorEvent, ...],
    *,
    p_defect: float | None,
    missing: tuple[str, ...] = (),
    cause: str = "",
) -> VerdictRecord:
    confidence = 0.0 if p_defect is None else max(p_defect, 1 - p_defect)
    stop = action is Action.STOP
    pending = reason in (ReasonCode.LOW_CONFIDENCE, ReasonCode.EVIDENCE_MISSING, ReasonCode.TRIGGER_LATE)
    decision = Decision.PENDING if pending else Decision.CONFIRMED_ACTION
    verdict = msgspec.structs.replace(
        PROBE.verdict,
        verdict_id=f"v{i}",
        part_id=f"P{7100 + 13 * i:06d}",
        decision=Decision.EMERGENCY_BRAKE if stop else decision,
        action=action,
        reason_code=reason,
        confidence=1.0 if stop else confidence,
        p_defect=p_defect,
        missing=missing,
        failsafe=pending,
        cause=cause,
    )
    evidence = msgspec.structs.replace(
        PROBE.evidence, part_id=verdict.part_id, results=results, events=events, missing=missing
    )
    return VerdictRecord(verdict=verdict, evidence=evidence)


def incidents() -> list[VerdictRecord]:
    made: list[VerdictRecord] = []
    reject, hold, stop = Action.REJECT, Action.HOLD, Action.STOP
    for i in range(6):  # a defect and an abnormal sensor
        events: tuple[SensorEvent, ...] = (event(i, abnormal=True), event(i + 1, abnormal=False))
        seen = result("cam1", 0.8 + 0.02 * i, detection(i + 1))
        made.append(record(i, reject, ReasonCode.DEFECT, (seen,), events, p_defect=0.82 + 0.02 * i))
    for i in range(6, 8):  # two abnormal sensors
        events = (event(i, abnormal=True), event(i + 1, abnormal=True), event(i + 2, abnormal=False))
        seen = result("cam1", 0.9, detection(i))
        made.append(record(i, reject, ReasonCode.DEFECT, (seen,), events, p_defect=0.93))
    for i in range(8, 11):  # a defect alone, one without a place, one with two defects
        found = (detection(i), detection(i + 1)) if i == 9 else (detection(i),) if i == 8 else ()
        seen = result("cam1", 0.94, *found)
        events = (event(i, abnormal=False), event(i + 1, abnormal=False))
        made.append(record(i, reject, ReasonCode.DEFECT, (seen,), events, p_defect=0.9))
    for i in range(11, 14):  # unsure
        seen = result("cam1", 0.4 + 0.05 * (i - 11))
        events = (event(i, abnormal=i == 12),)
        made.append(record(i, hold, ReasonCode.LOW_CONFIDENCE, (seen,), events, p_defect=0.58))
    reason = ReasonCode.EVIDENCE_MISSING
    cases = (
        (("vision.cam1",), "camera.cam1 down", ()),
        (("vision.cam2", "sensor.gripper1"), "", (result("cam1", 0.2),)),
        (("vision.cam1",), "", (result("cam1", 0, status=ResultStatus.DROPPED),)),
    )
    for i, (missing, cause, results) in enumerate(cases, 14):  # evidence missing
        known = 0.31 if results else None
        events = (event(i, abnormal=False),)
        made.append(record(i, hold, reason, results, events, p_defect=known, missing=missing, cause=cause))
    button = msgspec.structs.replace(
        event(0, abnormal=False),
        sensor_id="estop1",
        kind="emergency_button",
        unit="bool",
        value=1.0,
        urgency=0.95,
    )
    urgent = msgspec.structs.replace(event(0, abnormal=True), urgency=0.9)
    made.append(record(17, stop, ReasonCode.EMERGENCY, (), (button,), p_defect=None, cause="estop1"))
    made.append(record(18, stop, ReasonCode.EMERGENCY, (), (urgent,), p_defect=None, cause="vibration1"))
    made.append(record(19, hold, ReasonCode.TRIGGER_LATE, (), (), p_defect=None, missing=("vision.cam1",)))
    return made


@dataclass(slots=True)
class Score:
    valid: int = 0
    faithful: int = 0
    finally_faithful: int = 0
    seconds: list[float] = field(default_factory=list)
    characters: list[int] = field(default_factory=list)


def run(model: str, threads: int, count: int, *, show: bool) -> Score:
    clock = SystemClock()
    engine = open_engine(ExplainerConfig(model=model, threads=threads, nice=0), clock)
    score = Score()
    try:
        for number, incident in enumerate((PROBE, *incidents()[:count])):
            facts = gather(incident, CONTEXT)
            causes = rank_causes(facts)
            prompt, schema = build(facts, causes), schema_for(facts, causes)
            for attempt in (1, 2):
                began = time.perf_counter()
                try:
                    answer = engine.complete(prompt, schema, clock.now_ns() + DEADLINE_S * NS_PER_S)
                except ModelError as error:
                    print(f"{number}: {error}")
                    break
                took = time.perf_counter() - began
                problem = ""
                try:
                    text = check(answer, facts, causes).text
                except DataError as error:
                    problem, text = str(error), answer
                if show:
                    asked = prompt[-1].content if attempt == 1 else ""
                    print(
                        f"\n{asked}\n{took:5.1f} s  {text}" + (f"\n  REFUSED: {problem}" if problem else "")
                    )
                if number:  # the probe only fills the cache
                    score.seconds.append(took)
                    score.valid += attempt == 1 and json.loads(answer).keys() == {"cause", "text", "cited"}
                    score.faithful += attempt == 1 and not problem
                    score.finally_faithful += not problem
                    score.characters.append(len(text))
                if not problem:
                    break
                prompt = retry(prompt, problem)
    finally:
        engine.close()
    return score


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="qwen2.5-coder-1.5b")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--show", action="store_true", help="print the facts and the texts")
    chosen = parser.parse_args()
    try:
        score = run(chosen.model, chosen.threads, chosen.count, show=chosen.show)
    except (ConfigError, ModelError) as error:
        raise SystemExit(f"error: {error}") from error
    n = min(chosen.count, 20)
    print(f"{chosen.model}, {chosen.threads} thread(s), {n} incidents")
    print(f"valid {score.valid}/{n}  faithful {score.faithful}/{n}  finally {score.finally_faithful}/{n}")
    low, high = min(score.seconds), max(score.seconds)
    print(f"seconds a call: median {statistics.median(score.seconds):.1f}, {low:.1f} to {high:.1f}")


if __name__ == "__main__":
    main()
