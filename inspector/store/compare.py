"""Which verdicts differ between two runs over the same parts, and why. Pure.

Why is answered by asking what would have been: the part is judged again with one thing exchanged
for the other run's. If that alone gives the other run's action, it is the reason.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from inspector.config import ArbiterSetup
from inspector.decide.rules import judge, missing_evidence
from inspector.strict_data import to_plain
from inspector.types import Action, Decision, PartEvidence, ReasonCode, VerdictRecord

_BY_TIME = {ReasonCode.TRIGGER_LATE, ReasonCode.LATCHED, ReasonCode.EMERGENCY}


class Why(StrEnum):
    """What made the difference, the first of these that does."""

    ONLY_A = "only in the first"
    ONLY_B = "only in the second"
    TIMING = "timing"  # evidence that came in time in one run and not in the other
    EMERGENCY = "emergency"
    THRESHOLD = "threshold"  # the decision's policy
    MODEL = "model"  # what was seen on the same picture
    SENSORS = "sensors"
    OPINION = "opinion"
    SEVERAL = "several of these"


@dataclass(frozen=True, slots=True)
class Change:
    """One part whose action is another. `detail` says in words what differs."""

    part_id: str
    was: Action | None
    now: Action | None
    why: Why
    detail: str


@dataclass(slots=True)
class Comparison:
    """`moved` are parts with the same action but another probability or confidence."""

    parts: int = 0
    same: int = 0
    moved: int = 0
    changes: list[Change] = field(default_factory=list)
    policy: dict[str, tuple[str, str]] = field(default_factory=dict)
    models: tuple[str, str] = ("", "")

    @property
    def by_why(self) -> Counter[str]:
        return Counter(str(change.why) for change in self.changes)

    @property
    def by_action(self) -> Counter[str]:
        return Counter(f"{change.was or '-'} -> {change.now or '-'}" for change in self.changes)


def compare_runs(
    a: Iterable[VerdictRecord], b: Iterable[VerdictRecord], setup_a: ArbiterSetup, setup_b: ArbiterSetup
) -> Comparison:
    """Compare two runs part by part. Verdicts of the line itself (no part) are left out."""
    first, second = _by_part(a), _by_part(b)
    result = Comparison(
        policy=policy_changes(setup_a, setup_b), models=(setup_a.model_sha256, setup_b.model_sha256)
    )
    for part_id in [*first, *(part for part in second if part not in first)]:
        result.parts += 1
        one, other = first.get(part_id), second.get(part_id)
        if one is None or other is None:
            why = Why.ONLY_A if other is None else Why.ONLY_B
            was, now = (each.verdict.action if each else None for each in (one, other))
            result.changes.append(Change(part_id, was, now, why, ""))
        elif one.verdict.action is not other.verdict.action:
            result.changes.append(_change(one, other, setup_a, setup_b))
        else:
            result.same += 1
            result.moved += _moved(one, other)
    return result


def policy_changes(a: ArbiterSetup, b: ArbiterSetup) -> dict[str, tuple[str, str]]:
    """Return the keys of the decision's configuration that differ, with both values."""
    one, other = to_plain(a), to_plain(b)
    pairs = {f"decision.{key}": (value, other["decision"][key]) for key, value in one["decision"].items()}
    pairs |= {key: (one[key], other[key]) for key in ("cameras", "expected_sensors")}
    return {key: (str(x), str(y)) for key, (x, y) in pairs.items() if x != y}


def _by_part(records: Iterable[VerdictRecord]) -> dict[str, VerdictRecord]:
    """The first verdict of each part; a part has one, but a session may hold it twice."""
    found: dict[str, VerdictRecord] = {}
    for record in records:
        if record.verdict.part_id:
            found.setdefault(record.verdict.part_id, record)
    return found


def _moved(a: VerdictRecord, b: VerdictRecord) -> bool:
    return (a.verdict.p_defect, a.verdict.confidence) != (b.verdict.p_defect, b.verdict.confidence)


def _change(a: VerdictRecord, b: VerdictRecord, setup_a: ArbiterSetup, setup_b: ArbiterSetup) -> Change:
    why, detail = _why(a, b, setup_a, setup_b)
    return Change(a.verdict.part_id, a.verdict.action, b.verdict.action, why, detail)


def _why(a: VerdictRecord, b: VerdictRecord, setup_a: ArbiterSetup, setup_b: ArbiterSetup) -> tuple[Why, str]:
    one, other = a.verdict, b.verdict
    reasons = {one.reason_code, other.reason_code}
    if Decision.EMERGENCY_BRAKE in {one.decision, other.decision}:
        return Why.EMERGENCY, f"{one.reason_code} -> {other.reason_code}"
    if len(reasons) > 1 and reasons & _BY_TIME:
        return Why.TIMING, f"{one.reason_code} -> {other.reason_code}"
    if one.missing != other.missing and setup_a.cameras == setup_b.cameras:
        return Why.TIMING, f"missing {_list(one.missing)} -> {_list(other.missing)}"
    if one.failsafe and other.failsafe:
        return Why.THRESHOLD, f"decision.failsafe {one.action} -> {other.action}"
    return _what_if(a, b, setup_a, setup_b)


def _what_if(
    a: VerdictRecord, b: VerdictRecord, setup_a: ArbiterSetup, setup_b: ArbiterSetup
) -> tuple[Why, str]:
    """Exchange one thing after the other, until the action is that of the second run."""
    wanted = b.verdict.action
    if _action(a.evidence, setup_b) is wanted:
        changes = ", ".join(f"{k} {x} -> {y}" for k, (x, y) in policy_changes(setup_a, setup_b).items())
        return Why.THRESHOLD, changes or "the same policy by another version"
    exchanged = (
        (Why.MODEL, {"results": b.evidence.results}, _seen(a, b)),
        (Why.SENSORS, {"events": b.evidence.events}, _read(a, b)),
        (Why.OPINION, {"opinion": b.evidence.opinion}, ""),
    )
    for why, part, detail in exchanged:
        if _action(msgspec.structs.replace(a.evidence, **part), setup_b) is wanted:
            return why, detail
    return Why.SEVERAL, f"p_defect {_number(a.verdict.p_defect)} -> {_number(b.verdict.p_defect)}"


def _action(evidence: PartEvidence, setup: ArbiterSetup) -> Action:
    """What the policy makes of this evidence."""
    missing = missing_evidence(evidence, setup)
    return judge(msgspec.structs.replace(evidence, missing=missing), setup.decision).action


def _seen(a: VerdictRecord, b: VerdictRecord) -> str:
    now = {result.camera_id: result.p_defect for result in b.evidence.results}
    pairs = ((r.camera_id, r.p_defect, now.get(r.camera_id)) for r in a.evidence.results)
    return ", ".join(f"{camera} {_number(was)} -> {_number(p)}" for camera, was, p in pairs if was != p)


def _read(a: VerdictRecord, b: VerdictRecord) -> str:
    now = {event.sensor_id: event.value for event in b.evidence.events}
    pairs = ((e.sensor_id, e.value, now.get(e.sensor_id)) for e in a.evidence.events)
    return ", ".join(f"{sensor} {was} -> {value}" for sensor, was, value in pairs if was != value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _list(names: tuple[str, ...]) -> str:
    return ",".join(names) or "nothing"
