"""The PLC's program: one decision for each part, by its deadline, come what may. Pure.

It takes time and payloads and returns what is to be done. When no verdict is there at a part's
deadline it applies its own failsafe (HOLD); a verdict that comes later is counted, not obeyed.
"""

from dataclasses import dataclass, field
from typing import Final

from line_sim.parts import PlannedPart
from line_sim.plc_checks import (
    EXPLANATION_MAX_BYTES,
    STRING_MAX_CHARS,
    VERDICT_MAX_BYTES,
    Flat,
    SequenceCheck,
    VerdictMessage,
    check_verdict,
    read_flat,
)
from line_sim.plc_outputs import Acknowledge, Act, Brake, Fields, Note, PlcOutput
from line_sim.score import LineCounts, PartOutcome, VerdictSeen

FAILSAFE_ACTION: Final = "HOLD"
NS_PER_MS: Final = 1_000_000


@dataclass(slots=True)
class _Part:
    part: PlannedPart
    trigger_ns: int
    deadline_ns: int
    action: str | None = None
    verdicts: list[VerdictSeen] = field(default_factory=list)


class Plc:
    """All `*_ns` arguments are CLOCK_MONOTONIC, `utc_ns` is UTC. One thread."""

    def __init__(self, deadline_ms: float) -> None:
        self._deadline_ns = round(deadline_ms * NS_PER_MS)
        self._parts: dict[str, _Part] = {}
        self._open: dict[str, _Part] = {}  # no action yet; in the order of their deadlines
        self._unanswered: dict[str, _Part] = {}  # no verdict yet, deadline not passed
        self._seen: dict[str, str] = {}  # verdict_id to part_id
        self._explain: set[str] = set()
        self._explained: set[str] = set()
        self._undelivered: set[str] = set()
        self._sequence = SequenceCheck()
        self._emergency_ns: int | None = None  # raised, and not braked yet
        self._raised = self._braked = self._redelivered = self._faults = self._violations = 0
        self.latched: bool | None = None

    # -- from the line ---------------------------------------------------------------------------

    def trigger(self, part: PlannedPart, now_ns: int) -> None:
        """A part is at the photo-eye."""
        entry = _Part(part, now_ns, now_ns + self._deadline_ns)
        self._parts[part.part_id] = self._open[part.part_id] = entry
        self._unanswered[part.part_id] = entry

    def urgent(self, now_ns: int) -> None:
        """A sensor has said something that must stop the belt."""
        if self._emergency_ns is None:
            self._raised += 1
            self._emergency_ns = now_ns

    def tick(self, now_ns: int) -> list[PlcOutput]:
        """Apply the failsafe to every part whose deadline has passed."""
        outputs: list[PlcOutput] = []
        for part_id, entry in list(self._open.items()):
            if now_ns <= entry.deadline_ns:
                break
            self._unanswered.pop(part_id, None)
            fields: Fields = {"part_id": part_id, "deadline_ns": entry.deadline_ns}
            outputs.append(Note("late", {**fields, "action": FAILSAFE_ACTION}))
            outputs += self._decide(entry, FAILSAFE_ACTION, "failsafe")
        if self._emergency_ns is not None and now_ns > self._emergency_ns + self._deadline_ns:
            self._emergency_ns = None
            outputs.append(Note("emergency_missed", {"deadline_ns": now_ns}))
        return outputs

    def next_deadline_ns(self) -> int | None:
        """When `tick` has something to do next; None: nothing."""
        times = [entry.deadline_ns + 1 for entry in list(self._open.values())[:1]]
        if self._emergency_ns is not None:
            times.append(self._emergency_ns + self._deadline_ns + 1)
        return min(times, default=None)

    def hold_until_ns(self) -> int | None:
        """Until when the cell still owes an answer; None when it does not."""
        times = [entry.deadline_ns + 1 for entry in self._unanswered.values()]
        if self._emergency_ns is not None:
            times.append(self._emergency_ns + self._deadline_ns + 1)
        return max(times, default=None)

    # -- from the cell ---------------------------------------------------------------------------

    def verdict(self, payload: bytes, received_ns: int, utc_ns: int) -> list[PlcOutput]:
        """A message on BASE/verdict."""
        checked = check_verdict(payload)
        outputs: list[PlcOutput] = []
        verdict = checked.verdict
        name = verdict.part_id if verdict else ""
        for text in checked.violations:
            outputs.append(self._violation("verdict", name, text))
        if verdict is None:
            return outputs
        if verdict.verdict_id in self._seen:
            self._redelivered += 1
            return [*outputs, Note("redelivered", {"verdict_id": verdict.verdict_id})]
        if (gap := self._sequence.take(verdict.seq)) is not None:
            # Verdicts that could not be delivered leave a gap that is explained: see counts().
            outputs.append(Note("sequence_gap", {"seq": verdict.seq, "text": gap}))
            if "back" in gap or "counts" in gap:
                outputs.append(self._violation("verdict", name, gap))
        self._seen[verdict.verdict_id] = verdict.part_id
        stale = utc_ns > verdict.valid_until_utc_ns
        entry = self._parts.get(verdict.part_id)
        if verdict.action != "PASS":
            self._explain.add(verdict.verdict_id)
        outputs.append(self._note(verdict, entry, received_ns, stale))
        if entry is None:
            if verdict.part_id:
                outputs.append(self._violation("verdict", name, "no such part is on the line"))
            return [*outputs, *self._brake(verdict, stale, received_ns), *self._ack(verdict, None)]
        self._unanswered.pop(verdict.part_id, None)
        entry.verdicts.append(
            VerdictSeen(
                verdict_id=verdict.verdict_id,
                decision=verdict.decision,
                action=verdict.action,
                received_ns=received_ns,
                p_defect=verdict.p_defect,
                stale=stale,
            )
        )
        outputs += self._brake(verdict, stale, received_ns)
        if not stale and entry.action is None and received_ns <= entry.deadline_ns:
            outputs += self._decide(entry, verdict.action, "verdict")
        return [*outputs, *self._ack(verdict, entry)]

    def undelivered(self, payload: bytes, received_ns: int) -> list[PlcOutput]:
        """A message on BASE/undelivered: the part's verdict, but nothing to act on."""
        data, outputs = self._read("undelivered", payload, VERDICT_MAX_BYTES, STRING_MAX_CHARS)
        if data is None:
            return outputs
        verdict_id, part_id = str(data.get("verdict_id", "")), str(data.get("part_id", ""))
        outputs.append(Note("undelivered", {**data, "received_ns": received_ns}))
        if verdict_id in self._undelivered:
            return outputs
        self._undelivered.add(verdict_id)
        entry = self._parts.get(part_id)
        if entry is None or verdict_id in self._seen:
            return outputs
        self._seen[verdict_id] = part_id
        self._unanswered.pop(part_id, None)
        if str(data.get("action", "")) != "PASS":
            self._explain.add(verdict_id)
        entry.verdicts.append(
            VerdictSeen(
                verdict_id=verdict_id,
                decision=str(data.get("decision", "")),
                action=str(data.get("action", "")),
                received_ns=received_ns,
                p_defect=None,
                stale=False,
                usable=False,
            )
        )
        return outputs

    def explanation(self, payload: bytes, received_ns: int) -> list[PlcOutput]:
        """A message on BASE/explanation."""
        data, outputs = self._read("explanation", payload, EXPLANATION_MAX_BYTES, EXPLANATION_MAX_BYTES)
        if data is None:
            return outputs
        self._explained.add(str(data.get("verdict_id", "")))
        return [*outputs, Note("explanation", {**data, "received_ns": received_ns})]

    def notice(self, leaf: str, payload: bytes, received_ns: int) -> list[PlcOutput]:
        """A message on BASE/fault, BASE/state or BASE/availability."""
        data, outputs = self._read(leaf, payload, EXPLANATION_MAX_BYTES, EXPLANATION_MAX_BYTES)
        if data is None:
            return outputs
        if leaf == "fault":
            self._faults += 1
        if leaf == "state":
            self.latched = data.get("emergency_latched") is True
        return [*outputs, Note(leaf, {**data, "received_ns": received_ns})]

    # -- the result ------------------------------------------------------------------------------

    def outcomes(self) -> list[PartOutcome]:
        """Every part that was triggered, in that order."""
        return [
            PartOutcome(
                part_id=part_id,
                defective=entry.part.defective,
                deadline_ns=entry.deadline_ns,
                verdicts=tuple(entry.verdicts),
                action=entry.action,
            )
            for part_id, entry in self._parts.items()
        ]

    def counts(self) -> LineCounts:
        """A gap in `seq` is a violation as far as no undelivered notice accounts for it."""
        unexplained = max(0, self._sequence.skipped - len(self._undelivered))
        return LineCounts(
            emergencies_raised=self._raised,
            emergencies_braked=self._braked,
            explanations_expected=len(self._explain),
            explanations=len(self._explained),
            undelivered=len(self._undelivered),
            redelivered=self._redelivered,
            violations=self._violations + unexplained,
            faults=self._faults,
        )

    def missing_explanations(self) -> int:
        return len(self._explain - self._explained)

    def undecided(self) -> int:
        """Parts that have no action yet."""
        return len(self._open)

    def unanswered(self) -> int:
        """Parts that have no verdict at all, late or not."""
        return sum(not entry.verdicts for entry in self._parts.values())

    # -- inside ----------------------------------------------------------------------------------

    def _violation(self, leaf: str, part_id: str, text: str) -> Note:
        self._violations += 1
        return Note("violation", {"topic": leaf, "part_id": part_id, "text": text})

    def _read(
        self, leaf: str, payload: bytes, max_bytes: int, max_chars: int
    ) -> tuple[Flat | None, list[PlcOutput]]:
        data, violations = read_flat(payload, max_bytes, max_chars)
        return data, [self._violation(leaf, "", text) for text in violations]

    def _decide(self, entry: _Part, action: str, by: str) -> list[PlcOutput]:
        entry.action = action
        self._open.pop(entry.part.part_id, None)
        fields: Fields = {"part_id": entry.part.part_id, "action": action, "by": by}
        return [Act(entry.part.number, action), Note("action", fields)]

    def _brake(self, verdict: VerdictMessage, stale: bool, received_ns: int) -> list[PlcOutput]:
        if verdict.decision != "EMERGENCY_BRAKE" or stale:
            return []
        since: float | None = None
        if self._emergency_ns is not None:
            since = round((received_ns - self._emergency_ns) / NS_PER_MS, 3)
            self._emergency_ns = None
            self._braked += 1
        fields: Fields = {
            "verdict_id": verdict.verdict_id,
            "part_id": verdict.part_id,
            "cause": verdict.cause,
            "received_ns": received_ns,
            "since_urgent_ms": since,
        }
        return [Brake(verdict.cause), Note("emergency", fields)]

    @staticmethod
    def _ack(verdict: VerdictMessage, entry: _Part | None) -> list[PlcOutput]:
        """Say what was really done, which for a late verdict is not what it asked for."""
        if entry is None:
            if verdict.part_id:
                return []
            return [Acknowledge(verdict.verdict_id, "", None, verdict.action)]
        action = entry.action or FAILSAFE_ACTION
        return [Acknowledge(verdict.verdict_id, verdict.part_id, entry.part.number, action)]

    @staticmethod
    def _note(verdict: VerdictMessage, entry: _Part | None, received_ns: int, stale: bool) -> Note:
        since = None if entry is None else (received_ns - entry.trigger_ns) / NS_PER_MS
        in_time = entry is None or (received_ns <= entry.deadline_ns and not stale)
        return Note(
            "verdict",
            {
                "verdict_id": verdict.verdict_id,
                "part_id": verdict.part_id,
                "seq": verdict.seq,
                "decision": verdict.decision,
                "action": verdict.action,
                "reason": verdict.reason,
                "cause": verdict.cause,
                "missing": verdict.missing,
                "confidence": verdict.confidence,
                "p_defect": verdict.p_defect,
                "failsafe": verdict.failsafe,
                "latency_ms": verdict.latency_ms,
                "received_ns": received_ns,
                "since_trigger_ms": None if since is None else round(since, 3),
                "in_time": in_time,
                "stale": stale,
                "defect": None if entry is None else entry.part.defect,
            },
        )
