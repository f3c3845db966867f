"""The arbiter: a state machine from inputs and times to verdicts. No clock, no I/O, no thread.

`step` takes one `JournalEntry` (an input and the time at which it was taken) and returns what
must be said because of it. The same entries give the same outputs, bit for bit, which is what
makes a recorded session replayable. Between entries, `next_wakeup_ns` says when a tick is due.

States of a part: open (its trigger came), then judged (its one verdict is out); it is remembered
so that a repeated trigger is not a second part. States of the line: running, latched.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

import msgspec

from inspector.config import ArbiterSetup
from inspector.decide.outages import Outages
from inspector.decide.rules import Judgement, emergency, emergency_judgement, judge, missing_evidence
from inspector.fusion.align import events_near, nearest_trigger, skew_ms
from inspector.types import (
    Command,
    CommandKind,
    Decision,
    FrameResult,
    JournalEntry,
    Opinion,
    OpinionRequest,
    PartEvidence,
    PartTrigger,
    ReasonCode,
    SensorEvent,
    Verdict,
    VerdictRecord,
)

Output = VerdictRecord | OpinionRequest

_NS_PER_MS = 1_000_000
_EMERGENCY_VALIDITY_NS = 60_000_000_000  # a stop is worth delivering late; the latch is retained besides
_REMEMBERED_PARTS = 4096
_WAITING_RESULTS = 128
_WAITING_EVENTS = 1024


@dataclass(slots=True)
class _Part:
    trigger: PartTrigger
    deadline_ns: int
    due_ns: int  # decide now at the latest, so that the verdict is there by the deadline
    wake_ns: int
    results: dict[str, FrameResult] = field(default_factory=dict)
    opinion: Opinion | None = None
    opinion_asked: bool = False


class Arbiter:
    """One line's decisions. Not thread-safe; it belongs to the loop that feeds it."""

    def __init__(self, setup: ArbiterSetup) -> None:
        self._setup = setup
        self._policy = setup.decision
        self._skew_ns = self._policy.max_skew_ms * _NS_PER_MS
        self._open: dict[str, _Part] = {}
        self._judged: deque[str] = deque(maxlen=_REMEMBERED_PARTS)
        self._judged_ids: set[str] = set()
        self._results: deque[FrameResult] = deque(maxlen=_WAITING_RESULTS)
        self._events: deque[SensorEvent] = deque(maxlen=_WAITING_EVENTS)
        self._outages = Outages()
        self._seq = 0
        self.latched_by: SensorEvent | None = None
        self.counters: Counter[str] = Counter()

    @property
    def next_wakeup_ns(self) -> int | None:
        """When the next tick is due, or None when nothing is open."""
        return min((part.wake_ns for part in self._open.values()), default=None)

    def step(self, entry: JournalEntry) -> tuple[Output, ...]:
        """Take one input, or a tick of the clock, and return what follows from it, in order."""
        outputs: list[Output] = []
        if entry.event is not None:
            outputs += self._on_event(entry.event, entry)
        if entry.trigger is not None:
            outputs += self._on_trigger(entry.trigger, entry)
        if entry.result is not None:
            self._on_result(entry.result)
        if entry.opinion is not None:
            self._on_opinion(entry.opinion)
        if entry.command is not None:
            self._on_command(entry.command)
        if entry.health is not None:
            self._outages.see(entry.health)
        for part in sorted(self._open.values(), key=lambda part: part.trigger.trigger_ns):
            outputs += self._consider(part, entry)
        return tuple(outputs)

    # -- inputs ----------------------------------------------------------------------------------

    def _on_event(self, event: SensorEvent, entry: JournalEntry) -> list[Output]:
        self._events.append(event)
        if not emergency(event, self._policy):
            return []
        self.latched_by = event
        line = PartEvidence(
            part_id="",
            trigger_ns=event.observed_ns,
            events=(event,),
            window_start_ns=event.observed_ns,
            window_end_ns=event.observed_ns,
        )
        outputs: list[Output] = [self._emergency(line, ReasonCode.EMERGENCY, entry)]
        for part in sorted(self._open.values(), key=lambda part: part.trigger.trigger_ns):
            outputs.append(self._emergency(self._evidence(part), ReasonCode.EMERGENCY, entry))
        return outputs

    def _on_trigger(self, trigger: PartTrigger, entry: JournalEntry) -> list[Output]:
        if trigger.part_id in self._open or trigger.part_id in self._judged_ids:
            self.counters["duplicate_triggers"] += 1
            return []
        deadline_ns = trigger.trigger_ns + self._policy.deadline_ms * _NS_PER_MS
        due_ns = deadline_ns - self._policy.delivery_margin_ms * _NS_PER_MS
        part = _Part(trigger, deadline_ns, due_ns, wake_ns=due_ns)
        self._open[trigger.part_id] = part
        self._claim_results()
        if self.latched_by is not None:
            return [self._emergency(self._evidence(part), ReasonCode.LATCHED, entry)]
        return []

    def _on_result(self, result: FrameResult) -> None:
        if len(self._results) == self._results.maxlen:
            self.counters["orphan_results"] += 1
        self._results.append(result)
        self._claim_results()

    def _claim_results(self) -> None:
        """Give each waiting result to the open part that it is nearest to."""
        waiting, self._results = self._results, deque(maxlen=_WAITING_RESULTS)
        triggers = [part.trigger for part in self._open.values()]
        for result in sorted(waiting, key=lambda result: (result.exposure_start_ns, result.camera_id)):
            trigger = nearest_trigger(result, triggers, self._skew_ns)
            if trigger is None or result.camera_id in self._open[trigger.part_id].results:
                self._results.append(result)
            else:
                self._open[trigger.part_id].results[result.camera_id] = result

    def _on_opinion(self, opinion: Opinion) -> None:
        part = self._open.get(opinion.part_id)
        if part is None or part.opinion is not None:
            self.counters["late_opinions"] += 1
        else:
            part.opinion = opinion

    def _on_command(self, command: Command) -> None:
        if command.kind is CommandKind.RESET:
            self.latched_by = None

    # -- deciding --------------------------------------------------------------------------------

    def _consider(self, part: _Part, entry: JournalEntry) -> list[Output]:
        """Judge the part if it can be judged now; else set when to look again."""
        evidence = self._evidence(part)
        due = entry.now_ns >= part.due_ns
        part.wake_ns = part.due_ns
        if not (self._all_arrived(part, evidence) or due):
            return []
        judgement = judge(evidence, self._policy)
        if judgement.decision is Decision.CONFIRMED_ACTION or due or evidence.missing:
            return [self._judged_now(evidence, part, judgement, entry)]
        # Unsure, with time left: a reading may still come inside the window, an opinion until it is due.
        if self._ask(part, entry.now_ns):
            part.opinion_asked = True
            return [OpinionRequest(part_id=evidence.part_id, evidence=evidence, deadline_ns=part.due_ns)]
        if part.opinion_asked and part.opinion is None:
            return []
        if entry.now_ns >= evidence.window_end_ns or part.opinion is not None:
            return [self._judged_now(evidence, part, judgement, entry)]
        part.wake_ns = min(part.due_ns, evidence.window_end_ns)
        return []

    def _ask(self, part: _Part, now_ns: int) -> bool:
        left_ms = (part.due_ns - now_ns) / _NS_PER_MS
        return (
            not part.opinion_asked
            and self._outages.opinions_offered
            and left_ms > self._policy.opinion_budget_ms
        )

    def _all_arrived(self, part: _Part, evidence: PartEvidence) -> bool:
        """Whether nothing that could still change a confident verdict is on its way."""
        if any(camera not in part.results for camera in self._setup.cameras):
            return False
        return not any(name.startswith("sensor.") for name in evidence.missing)

    def _evidence(self, part: _Part) -> PartEvidence:
        trigger_ns = part.trigger.trigger_ns
        evidence = PartEvidence(
            part_id=part.trigger.part_id,
            trigger_ns=trigger_ns,
            results=tuple(part.results[camera] for camera in sorted(part.results)),
            events=events_near(self._events, trigger_ns, self._skew_ns),
            opinion=part.opinion,
            window_start_ns=trigger_ns - self._skew_ns,
            window_end_ns=trigger_ns + self._skew_ns,
        )
        return msgspec.structs.replace(evidence, missing=missing_evidence(evidence, self._setup))

    # -- verdicts --------------------------------------------------------------------------------

    def _emergency(self, evidence: PartEvidence, reason: ReasonCode, entry: JournalEntry) -> VerdictRecord:
        cause = self.latched_by.sensor_id if self.latched_by is not None else ""
        part = self._open.pop(evidence.part_id, None)
        self._remember(evidence.part_id)
        deadline_ns = part.deadline_ns if part else entry.now_ns + self._policy.deadline_ms * _NS_PER_MS
        valid_until_ns = entry.now_ns + _EMERGENCY_VALIDITY_NS
        return self._verdict(evidence, emergency_judgement(reason, cause), entry, deadline_ns, valid_until_ns)

    def _judged_now(
        self, evidence: PartEvidence, part: _Part, judgement: Judgement, entry: JournalEntry
    ) -> VerdictRecord:
        del self._open[evidence.part_id]
        self._remember(evidence.part_id)
        judgement = self._explained(judgement, evidence, part)
        valid_until_ns = part.deadline_ns + self._policy.verdict_validity_ms * _NS_PER_MS
        return self._verdict(evidence, judgement, entry, part.deadline_ns, valid_until_ns)

    def _explained(self, judgement: Judgement, evidence: PartEvidence, part: _Part) -> Judgement:
        """Say why evidence is missing, where that is known."""
        if part.trigger.received_ns >= part.due_ns:
            return judgement.too_late(self._policy)
        if judgement.reason_code is ReasonCode.EVIDENCE_MISSING:
            down = self._outages.since(part.trigger.trigger_ns - self._skew_ns, evidence.missing)
            return judgement.because(down or judgement.cause)
        return judgement

    def _verdict(
        self,
        evidence: PartEvidence,
        judgement: Judgement,
        entry: JournalEntry,
        deadline_ns: int,
        valid_until_ns: int,
    ) -> VerdictRecord:
        self._seq += 1
        verdict = Verdict(
            verdict_id=f"{entry.epoch}-{self._seq}",
            part_id=evidence.part_id,
            seq=self._seq,
            decision=judgement.decision,
            action=judgement.action,
            reason_code=judgement.reason_code,
            confidence=judgement.confidence,
            p_defect=judgement.p_defect,
            weights=judgement.weights,
            skew_ms=skew_ms(evidence.results, evidence.events, evidence.trigger_ns),
            modalities=judgement.modalities,
            missing=evidence.missing,
            cause=judgement.cause,
            trigger_ns=evidence.trigger_ns,
            decided_ns=entry.now_ns,
            deadline_ns=deadline_ns,
            valid_until_ns=valid_until_ns,
            failsafe=judgement.failsafe,
            config_sha256=self._setup.config_sha256,
            model_sha256=self._setup.model_sha256,
        )
        return VerdictRecord(verdict=verdict, evidence=evidence)

    def _remember(self, part_id: str) -> None:
        if not part_id:
            return
        if len(self._judged) == self._judged.maxlen:
            self._judged_ids.discard(self._judged[0])
        self._judged.append(part_id)
        self._judged_ids.add(part_id)
