"""What a fault run must never show, and what explains the rest. Pure.

Never: a part without a verdict (lost), with two, with one that came too late although nothing stood
between the line and the cell (late) or after its validity (stale), a message against
docs/mqtt.md (violation), an emergency that did not stop the belt (missed), a cell that does not
come back (cell).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from line_sim.plc_outputs import Fields
from line_sim.scenario import Scenario
from line_sim.score import PartOutcome, Score

NS_PER_MS: Final = 1_000_000
_RECONNECT_NS: Final = 5_000 * NS_PER_MS  # both ends try again every 1 to 2 s, and catch up
_DECIDES: Final = "arbiter"  # while it is away nobody decides; its parts come after its return, late
_RESTART_NS: Final = 5_000 * NS_PER_MS
_SLOW_MS: Final = 10.0  # a broker that is slower than this may cost the delivery margin
_SPARE_MS: Final = 60.0  # a trigger that comes with less than this left cannot be answered in time


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be. `kind` as in the module's text."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why no verdict could come in time from `begin_ns` to `end_ns`."""

    cause: str
    begin_ns: int
    end_ns: int


@dataclass(slots=True)
class Record:
    """One run, as it is kept and reported. Counters by cause say what became of the other parts."""

    number: int
    faults: list[str]
    parts: int = 0
    one_verdict: int = 0
    findings: list[Finding] = field(default_factory=list)
    excused: Counter[str] = field(default_factory=Counter)  # late, by what stood in between
    refused: int = 0  # came after their validity over a way that was not open; the PLC saw it, and refused
    failsafe: Counter[str] = field(default_factory=Counter)  # failsafe verdicts, by why
    escapes: int = 0
    emergencies: int = 0
    seconds: float = 0.0
    stall_ms: float = 0.0  # the longest that the machine itself stood still
    reproduced: bool | None = None  # None: not tried
    scenario_file: str = ""  # of the shortest scenario that still fails

    @property
    def failed(self) -> bool:
        return bool(self.findings)


Event = tuple[str, int, Fields]
"""Name, CLOCK_MONOTONIC ns, fields of an event of the line."""


def excuses(events: Sequence[Event]) -> list[Excuse]:
    """Return when the way between line and cell was not open, from the line's own log."""
    found: list[Excuse] = []
    began: dict[tuple[object, object, object], int] = {}
    for name, at_ns, fields in events:
        if name != "disturbance" or not _may_delay(fields):
            continue
        key = (fields["kind"], fields["part_number"], fields["service"])
        if fields["began"]:
            began[key] = at_ns
        elif key in began:
            cause, after_ns = str(fields["kind"]), 200 * NS_PER_MS
            if fields["service"] == _DECIDES:
                cause, after_ns = f"{cause} {_DECIDES}", _RESTART_NS
            elif cause.startswith("broker"):
                after_ns = _RECONNECT_NS
            found.append(Excuse(cause, began.pop(key), at_ns + after_ns))
    last_ns = max((at_ns for _, at_ns, _ in events), default=0)
    found += [Excuse(str(kind), at_ns, last_ns) for (kind, _, _), at_ns in began.items()]
    return found


def _may_delay(fields: Fields) -> bool:
    kind = str(fields["kind"])
    if kind == "broker_slow":
        delay = fields.get("delay_ms")
        return isinstance(delay, int | float) and delay > _SLOW_MS
    return kind.startswith("broker") or kind == "plc_clock" or fields["service"] == _DECIDES


def judge_run(
    record: Record,
    scenario: Scenario,
    *,
    outcomes: Sequence[PartOutcome],
    score: Score,
    events: Sequence[Event],
    deadline_ms: float,
) -> None:
    """Fill in the record of one finished run."""
    windows = excuses(events)
    late_triggers = _late_triggers(scenario, deadline_ms)
    record.parts, record.one_verdict = score.parts, score.parts_with_one_verdict
    record.escapes, record.emergencies = score.escapes, score.emergencies_braked
    if score.parts != scenario.parts:
        text = f"{score.parts} of {scenario.parts} parts came to the photo-eye"
        record.findings.append(Finding("cell", text))
    for outcome in outcomes:
        begin_ns = outcome.deadline_ns - round(deadline_ms * NS_PER_MS)
        excuse = _excuse(windows, begin_ns, outcome.deadline_ns)
        if not excuse and outcome.part_id in late_triggers:
            excuse = "late_trigger"
        _judge_part(record, outcome, begin_ns, excuse)
    for name, at_ns, fields in events:
        if name == "violation":
            text = f"{fields['topic']} {fields['part_id']}: {fields['text']}"
            record.findings.append(Finding("violation", text))
        elif name == "emergency_missed" and not _excuse(windows, at_ns - _RECONNECT_NS, at_ns):
            record.findings.append(Finding("missed", "an emergency did not stop the belt in time"))
        elif name == "verdict" and fields["failsafe"]:
            record.failsafe[_why(fields)] += 1


def _judge_part(record: Record, outcome: PartOutcome, begin_ns: int, excuse: str) -> None:
    part = outcome.part_id
    if not outcome.verdicts:
        record.findings.append(Finding("lost", f"{part} has no verdict"))
    elif len(outcome.verdicts) > 1:
        ids = ", ".join(verdict.verdict_id for verdict in outcome.verdicts)
        record.findings.append(Finding("duplicate", f"{part} has verdicts {ids}"))
    elif not outcome.in_time and excuse:
        record.excused[excuse] += 1
    elif not outcome.in_time:
        seen = outcome.verdicts[0]
        after_ms = (seen.received_ns - begin_ns) / NS_PER_MS
        what = "came" if seen.usable else "was told undelivered"
        record.findings.append(Finding("late", f"{part} {what} {after_ms:.0f} ms after its trigger"))
    if any(verdict.stale for verdict in outcome.verdicts) and excuse:
        record.refused += 1
    elif any(verdict.stale for verdict in outcome.verdicts):
        record.findings.append(Finding("stale", f"{part} was delivered after its validity"))


def _why(fields: Fields) -> str:
    """Why a verdict was the failsafe, in few words that can be counted."""
    reason, missing = str(fields["reason"]), str(fields["missing"])
    if reason != "EVIDENCE_MISSING":
        return reason
    cause = str(fields["cause"])
    return cause if cause.endswith(" down") else f"{missing} missing"


def _late_triggers(scenario: Scenario, deadline_ms: float) -> set[str]:
    return {
        f"P{number:06d}"
        for fault in scenario.faults
        if fault.kind == "late_trigger" and (fault.delay_ms or 0.0) > deadline_ms - _SPARE_MS
        for number in range(fault.part, fault.part + fault.count)
    }


def _excuse(windows: Sequence[Excuse], begin_ns: int, end_ns: int) -> str:
    """Return what stood between line and cell at some time from `begin_ns` to `end_ns`, or ""."""
    return next((w.cause for w in windows if w.begin_ns <= end_ns and begin_ns <= w.end_ns), "")
