"""The arbiter: a state machine from inputs and times to verdicts. No clock, no I/O, no thread.

`step` takes one `JournalEntry` (an input and the time at which it was taken) and returns what
must be said because of it. The same entries give the same outputs, bit for bit, which is what
makes a recorded session replayable. Between entries, `next_wakeup_ns` says when a tick is due.

States of a part, and what moves it: `states`. States of the line: running, latched.
"""

from collections import Counter

import msgspec

from inspector.config import ArbiterSetup
from inspector.decide.outages import Outages
from inspector.decide.parts import NS_PER_MS, Part, Parts
from inspector.decide.rules import Judgement, emergency, emergency_judgement, judge, missing_evidence
from inspector.decide.states import PartState, Why, after
from inspector.decide.verdicts import Times, make_record
from inspector.fusion.context import Drift
from inspector.fusion.matching import Matcher
from inspector.fusion.pool import VISION, modalities
from inspector.fusion.readings import Readings
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
    Resumed,
    SensorEvent,
    VerdictRecord,
)

Output = VerdictRecord | OpinionRequest

_EMERGENCY_VALIDITY_NS = 60_000_000_000  # a stop is worth delivering late; the latch is retained besides


class Arbiter:
    """One line's decisions. Not thread-safe; it belongs to the loop that feeds it."""

    def __init__(self, setup: ArbiterSetup) -> None:
        self._setup = setup
        self._policy = setup.decision
        self._skew_ns = self._policy.max_skew_ms * NS_PER_MS
        self._parts = Parts(self._policy)
        self._matcher = Matcher(
            setup.cameras,
            self._skew_ns,
            by_count=self._policy.frames_by == "count",
            numbered=setup.cameras[0] if self._policy.trigger == "frame" else "",
        )
        self._readings = Readings(self._policy.deadline_ms * NS_PER_MS + 2 * self._skew_ns)
        self._drift = Drift()
        self._outages = Outages()
        self._seq = 0
        self._resumed_ns: int | None = None
        self._counters: Counter[str] = Counter()
        self.latched_by: SensorEvent | None = None

    @property
    def next_wakeup_ns(self) -> int | None:
        """When the next tick is due, or None when nothing is open."""
        return self._parts.next_wakeup_ns

    @property
    def counters(self) -> Counter[str]:
        """What was not used, and why; they only grow."""
        thinned = Counter(readings_thinned=self._readings.thinned)
        return self._counters + self._matcher.counters + thinned

    def step(self, entry: JournalEntry) -> tuple[Output, ...]:
        """Take one input, or a tick of the clock, and return what follows from it, in order."""
        outputs: list[Output] = []
        touched: set[str] = self._parts.due(entry.now_ns)
        if entry.resumed is not None:
            self._on_resumed(entry.resumed, entry.now_ns)
        if entry.event is not None:
            outputs += self._on_event(entry.event, entry)
            touched |= self._parts.near(entry.event.observed_ns, self._skew_ns)
        if entry.trigger is not None:
            outputs += self._on_trigger(entry.trigger, entry)
            # A part nearby may have lost a result to this one, or have got one that it is not sure of.
            touched |= self._parts.near(entry.trigger.trigger_ns, 4 * self._skew_ns)
        if entry.result is not None:
            touched |= self._on_result(entry.result)
        if entry.opinion is not None:
            touched |= self._on_opinion(entry.opinion)
        if entry.command is not None:
            self._on_command(entry.command)
        if entry.health is not None:
            self._outages.see(entry.health)
            touched |= self._parts.open_ids()
        for part in self._parts.in_order(touched):
            outputs += self._consider(part, entry)
        return tuple(outputs)

    # -- inputs ----------------------------------------------------------------------------------

    def _on_resumed(self, resumed: Resumed, now_ns: int) -> None:
        self._resumed_ns = now_ns
        self._seq = resumed.seq
        for part in resumed.judged:
            self._parts.remember(part.part_id, part.trigger_ns)
        latched_by = self.latched_by or resumed.latched_by
        if latched_by is not None and latched_by.received_ns > now_ns:
            # From before a reboot, which begins the clock anew: a RESET from now on is a later one.
            latched_by = msgspec.structs.replace(latched_by, received_ns=now_ns)
        self.latched_by = latched_by

    def _on_event(self, event: SensorEvent, entry: JournalEntry) -> list[Output]:
        self._readings.add(event, entry.now_ns)
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
        judgement = emergency_judgement(ReasonCode.EMERGENCY, event.sensor_id)
        outputs: list[Output] = [self._say(line, judgement, entry, None)]
        for part in self._parts.in_order(self._parts.open_ids()):
            outputs.append(self._judged(part, Why.EMERGENCY, self._evidence(part), judgement, entry))
        return outputs

    def _on_trigger(self, trigger: PartTrigger, entry: JournalEntry) -> list[Output]:
        if self._parts.knows(trigger):
            self._counters["duplicate_triggers"] += 1
            return []
        part = self._parts.open(trigger)
        self._matcher.opened(trigger)
        if self.latched_by is not None:
            judgement = emergency_judgement(ReasonCode.LATCHED, self.latched_by.sensor_id)
            return [self._judged(part, Why.LATCHED_TRIGGER, self._evidence(part), judgement, entry)]
        if entry.now_ns >= part.due_ns:
            evidence = self._evidence(part)
            judgement = self._judge(evidence)
            return [self._judged(part, Why.LATE_TRIGGER, evidence, judgement, entry)]
        part.state = after(part.state, Why.TRIGGER)
        return []

    def _on_result(self, result: FrameResult) -> set[str]:
        part_id = self._matcher.take(result)
        return set() if part_id is None else {part_id}

    def _on_opinion(self, opinion: Opinion) -> set[str]:
        part = self._parts.get(opinion.part_id)
        if part is None or part.opinion is not None or part.state is not PartState.ASKED:
            self._counters["late_opinions"] += 1
            return set()
        part.opinion = opinion
        return {opinion.part_id}

    def _on_command(self, command: Command) -> None:
        if command.kind is not CommandKind.RESET or self.latched_by is None:
            return
        if command.received_ns < self.latched_by.received_ns:
            # Whoever sent it could not know of this emergency; events are taken before commands.
            self._counters["resets_before_emergency"] += 1
            return
        self.latched_by = None

    # -- deciding --------------------------------------------------------------------------------

    def _consider(self, part: Part, entry: JournalEntry) -> list[Output]:
        """Judge the part if it can be judged now; else set when to look again."""
        due = entry.now_ns >= part.due_ns
        part.wake_ns = part.due_ns
        if not (due or self._all_arrived(part)):
            return []
        evidence = self._evidence(part)
        judgement = self._judge(evidence)
        why = Why.DUE if due else self._why(part, evidence, judgement, entry.now_ns)
        if why is not None:
            state = after(part.state, why)
            if state is PartState.JUDGED:
                return [self._judged(part, why, evidence, judgement, entry)]
            part.state = state
        if why is Why.ASK:
            return [OpinionRequest(part_id=evidence.part_id, evidence=evidence, deadline_ns=part.due_ns)]
        if part.state is PartState.UNSURE and entry.now_ns < evidence.window_end_ns:
            part.wake_ns = min(part.due_ns, evidence.window_end_ns)
        return []

    def _why(self, part: Part, evidence: PartEvidence, judgement: Judgement, now_ns: int) -> Why | None:
        """What moves the part now that all of its evidence is there, if anything does."""
        if judgement.decision is Decision.CONFIRMED_ACTION:
            return Why.SURE
        if evidence.missing:
            return Why.USELESS if part.state is PartState.OPEN else None
        if part.state is PartState.ASKED:
            return None if part.opinion is None else Why.OPINION
        left_ms = (part.due_ns - now_ns) / NS_PER_MS
        if self._outages.opinions_offered and left_ms > self._policy.opinion_budget_ms:
            return Why.ASK
        if now_ns >= evidence.window_end_ns and not self._awaits(part.trigger.trigger_ns):
            return Why.WINDOW_CLOSED
        return Why.DOUBT if part.state is PartState.OPEN else None

    def _judge(self, evidence: PartEvidence) -> Judgement:
        return judge(evidence, self._policy, self._setup.fusion, self._drift.log_odds)

    def _all_arrived(self, part: Part) -> bool:
        """Whether nothing that could still change a confident verdict is on its way."""
        trigger = part.trigger
        expected = self._setup.expected_sensors
        return self._matcher.complete(trigger.part_id) and self._have_spoken(expected, trigger.trigger_ns)

    def _awaits(self, trigger_ns: int) -> bool:
        """Whether a sensor may still say something of a part in doubt."""
        return not self._have_spoken(self._setup.awaited_sensors, trigger_ns)

    def _have_spoken(self, sensors: tuple[str, ...], trigger_ns: int) -> bool:
        return all(self._readings.speaks(sensor, trigger_ns, self._skew_ns) for sensor in sensors)

    def _evidence(self, part: Part) -> PartEvidence:
        trigger_ns = part.trigger.trigger_ns
        evidence = PartEvidence(
            part_id=part.trigger.part_id,
            trigger_ns=trigger_ns,
            results=self._matcher.results(part.trigger.part_id),
            events=self._readings.near(trigger_ns, self._skew_ns),
            opinion=part.opinion,
            window_start_ns=trigger_ns - self._skew_ns,
            window_end_ns=trigger_ns + self._skew_ns,
        )
        missing = missing_evidence(evidence, self._setup)
        return msgspec.structs.replace(evidence, missing=missing) if missing else evidence

    # -- verdicts --------------------------------------------------------------------------------

    def _judged(
        self, part: Part, why: Why, evidence: PartEvidence, judgement: Judgement, entry: JournalEntry
    ) -> VerdictRecord:
        part.state = after(part.state, why)
        if judgement.decision is not Decision.EMERGENCY_BRAKE:
            judgement = self._explained(judgement, evidence, part, entry.now_ns)
        p_vision = modalities(evidence).get(VISION) if self._setup.fusion is not None else None
        if p_vision is not None:
            self._drift.see(p_vision)
        self._parts.close(part.trigger.part_id)
        self._matcher.closed(part.trigger.part_id)
        return self._say(evidence, judgement, entry, part)

    def _explained(self, judgement: Judgement, evidence: PartEvidence, part: Part, now_ns: int) -> Judgement:
        """Say why evidence is missing, where that is known; after the deadline only the failsafe is left."""
        trigger = part.trigger
        restarted = self._resumed_ns is not None and trigger.trigger_ns < self._resumed_ns
        if evidence.missing and restarted:
            return judgement.because("arbiter down")
        if trigger.received_ns >= part.due_ns or now_ns > part.deadline_ns:
            return judgement.too_late(self._policy)
        if not evidence.missing:
            return judgement
        down = self._outages.since(trigger.trigger_ns - self._skew_ns, evidence.missing)
        unplaced = [c for c in self._matcher.unplaced(trigger.part_id) if f"vision.{c}" in evidence.missing]
        clock = f"clock of {unplaced[0]} unknown" if unplaced else ""
        return judgement.because(down or clock or judgement.cause)

    def _say(
        self, evidence: PartEvidence, judgement: Judgement, entry: JournalEntry, part: Part | None
    ) -> VerdictRecord:
        """Number a verdict. `part` is None for the line itself."""
        deadline_ns = part.deadline_ns if part else entry.now_ns + self._policy.deadline_ms * NS_PER_MS
        emergency_brake = judgement.decision is Decision.EMERGENCY_BRAKE
        valid_until_ns = (
            entry.now_ns + _EMERGENCY_VALIDITY_NS
            if emergency_brake
            else deadline_ns + self._policy.verdict_validity_ms * NS_PER_MS
        )
        self._seq += 1
        return make_record(
            evidence,
            judgement,
            self._setup,
            verdict_id=f"{entry.epoch}-{self._seq}",
            seq=self._seq,
            times=Times(decided_ns=entry.now_ns, deadline_ns=deadline_ns, valid_until_ns=valid_until_ns),
        )
