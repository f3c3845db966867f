"""The arbiter service: everything that happened, in order, to the pure arbiter; its words to the PLC.

An input is journaled with the time at which it was taken. A verdict goes to the broker first;
the record, the journal and everything else come after it.
"""

from collections import deque
from collections.abc import Iterator

import msgspec

from inspector.bus import FrameSubscriber
from inspector.config import DecisionConfig, Site
from inspector.decide.arbiter import Arbiter
from inspector.decide.rules import emergency
from inspector.errors import InvariantError
from inspector.plc.incoming import Incoming
from inspector.plc.link import PlcLink
from inspector.plc.sparkplug_bridge import SparkplugBridge
from inspector.plc.state import CellState, State
from inspector.sensors.curve_file import load_scorers
from inspector.sensors.intake import SensorIntake
from inspector.services.changeover import RecipeCommands
from inspector.services.journal import Journal, entry_of
from inspector.services.loop import Context
from inspector.services.setup import arbiter_setup, outbox_folder
from inspector.services.statements import Statements
from inspector.services.table import services
from inspector.topics import (
    DELIVERIES,
    EXPLANATIONS,
    FAULTS,
    HEALTH,
    JOURNAL,
    JOURNAL_TAKEN,
    MISSED_FAULTS,
    OPINION_REQUESTS,
    OPINIONS,
    RESULTS,
    STATEMENTS,
    VERDICTS,
    MqttTopics,
)
from inspector.types import (
    Action,
    Command,
    CommandKind,
    Fault,
    Health,
    Message,
    OpinionRequest,
    PartTrigger,
    Resumed,
    SensorEvent,
    ServiceState,
    VerdictRecord,
)

_LINK = "plc"  # the name under which the link reports its own faults
_CATCH_UP_NS = 20_000_000  # between two bursts of the journal, so that the recorder keeps up
_COUNT_EVERY_NS = 100_000_000  # more often than a heartbeat, which carries the counters
_UP = {ServiceState.READY, ServiceState.DEGRADED}


class ArbiterService:
    """Wiring between the bus, the PLC link and the arbiter."""

    def __init__(self, context: Context) -> None:
        site = context.site
        self._context = context
        self._clock = context.clock
        self._arbiter = Arbiter(arbiter_setup(site))
        self._epoch = f"{self._clock.utc_ns() // 1_000_000:x}"
        self._journal_seq = 0
        self._next_count_ns = 0
        bus = context.bus
        self._results = bus.subscriber(RESULTS)
        self._opinions = bus.subscriber(OPINIONS)
        self._explanations = bus.subscriber(EXPLANATIONS)
        self._health = bus.subscriber(HEALTH)
        self._faults = bus.subscriber(FAULTS)
        self._missed = bus.subscriber(MISSED_FAULTS)
        self._told: deque[Fault] = deque(maxlen=64)
        self._verdicts = bus.publisher(VERDICTS)
        self._journal = Journal(bus.publisher(JOURNAL))
        self._journal_taken = bus.subscriber(JOURNAL_TAKEN)
        self._deliveries = bus.publisher(DELIVERIES)
        self._requests = bus.publisher(OPINION_REQUESTS)
        self._trigger_frames = _trigger_frames(context)
        self._states = {spec.name: ServiceState.STARTING for spec in services(site)}
        self._required = {spec.name for spec in services(site) if spec.required} - {context.name}
        topics = MqttTopics(site.site.base_topic)
        curves = load_scorers(site.site.sensors, site.root)
        sensors = SensorIntake(site.site.sensors, topics, curves=curves)
        self._statements = Statements(context, bus.subscriber(STATEMENTS), sensors)
        self._link = PlcLink(
            site.site.broker,
            topics,
            outbox_folder(site),
            self._clock,
            bus.wake,
            sensors=sensors,
            service=_LINK,
            failsafe=Action(site.site.decision.failsafe.value),
            recipe=site.site.recipe,
        )
        self._sparkplug = _sparkplug(context)
        self._state = CellState(stopped=self._link.left.stopped)
        self._recipes = RecipeCommands(context)
        self._resume()
        self._link.start()

    def step(self) -> int | None:
        for event in self._incoming():
            if isinstance(event, Command):
                self._obey(event)
            self._take(event)
        for statement in self._statements.events():
            self._take(statement)
        for result in self._results.drain():
            self._take(result)
        for opinion in self._opinions.drain():
            self._take(opinion)
        for health in self._health.drain():
            self._see(health)
        wake_ns = self._arbiter.next_wakeup_ns
        if wake_ns is not None and wake_ns <= self._clock.now_ns():
            self._take(None)
        self._link.taken()
        for explanation in self._explanations.drain():
            self._link.send_explanation(explanation)
        for fault in (*self._missed.drain(), *self._faults.drain()):
            # The link's own are on their way already; another one may have been missed and heard.
            if fault.service != _LINK and fault not in self._told:
                self._told.append(fault)
                self._link.send_fault(fault)
                if self._sparkplug is not None:
                    self._sparkplug.fault(fault)
        self._report()
        now_ns = self._clock.now_ns()
        return now_ns + _CATCH_UP_NS if self._journaled(now_ns) else self._arbiter.next_wakeup_ns

    def close(self) -> None:
        if self._sparkplug is not None:
            self._sparkplug.close()
        # With another recipe the cell is back in a moment, and still stopped.
        self._link.close(State.PREOPERATIONAL if self._recipes.changing else State.HALTED)

    # -- inputs ----------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Take over from an arbiter that was killed: parts that it left open get their verdicts now."""
        left = self._link.left
        self._take(Resumed(judged=left.judged, seq=left.seq, latched_by=left.latched_by))
        for trigger in left.opened:
            try:
                self._take(trigger)
            except InvariantError as error:
                # It would come back at every start: one part without a verdict, not a dead cell.
                self._context.fault("PART_NOT_RESUMED", str(error), part_id=trigger.part_id)

    def _incoming(self) -> Iterator[Incoming]:
        """What came over MQTT, and triggers that are frames."""
        waiting = urgent_first(self._link.poll(), self._context.site.site.decision)
        for fault in self._link.faults():
            self._context.fault_sink(fault)
        yield from waiting
        if self._trigger_frames is not None:
            for frame in self._trigger_frames.drain():
                trigger = PartTrigger(
                    part_id=f"{frame.meta.camera_id}-{frame.meta.frame_id}",
                    seq=frame.meta.frame_id,
                    trigger_ns=frame.meta.exposure_start_ns,
                    received_ns=frame.meta.received_ns,
                )
                self._link.note_opened(trigger)
                yield trigger

    def _obey(self, command: Command) -> None:
        if command.kind is CommandKind.SELECT_RECIPE:
            self._recipes.take(
                command.recipe,
                stopped=self._state.stopped,
                latched=self._arbiter.latched_by is not None,
                parts_open=self._arbiter.next_wakeup_ns is not None,
            )
            self._state.changing(self._recipes.changing)
            return
        self._state.command(command)
        self._link.note_stopped(self._state.stopped)

    def _see(self, health: Health) -> None:
        """Changes of state are inputs; the heartbeats between them are not."""
        if self._states.get(health.service) == health.state:
            return
        self._states[health.service] = health.state
        if self._journal.see(health):
            list(self._journal_taken.drain())
        self._take(health)

    def _take(self, item: Message | None) -> None:
        if isinstance(item, PartTrigger):
            self._statements.see(item)
        self._journal_seq += 1
        entry = entry_of(self._journal_seq, self._epoch, self._clock.now_ns(), item)
        latched_by = self._arbiter.latched_by
        outputs = self._arbiter.step(entry)
        latched = self._arbiter.latched_by is not latched_by
        if latched:
            self._link.note_latch(self._arbiter.latched_by)
        sent = [self._sent(output) if isinstance(output, VerdictRecord) else output for output in outputs]
        if latched:
            self._link.sync_notes()  # wakes a thread, which an emergency must not wait for
        for output in sent:
            if isinstance(output, VerdictRecord):
                self._verdicts.send(output)
                if self._sparkplug is not None:
                    self._sparkplug.verdict(output.verdict)
                self._context.metrics.observe_ns("decide", _since_last_evidence_ns(output))
                self._context.counters["verdicts"] += 1
            elif isinstance(output, OpinionRequest):
                self._requests.send(output)
        self._journal.take(entry)

    def _sent(self, record: VerdictRecord) -> VerdictRecord:
        """Send a verdict to the PLC, and return the record of what was sent."""
        verdict = self._link.send_verdict(record.verdict, _latency_ms(record))
        return record if verdict is record.verdict else msgspec.structs.replace(record, verdict=verdict)

    def _journaled(self, now_ns: int) -> bool:
        """Send what the recorder can take. Returns whether there is more."""
        for each in self._journal_taken.drain():
            if each.epoch == self._epoch:
                self._journal.taken(each.seq, now_ns)
        return self._journal.step(now_ns)

    # -- what others should know -----------------------------------------------------------------

    def _report(self) -> None:
        if all(self._states[name] in _UP for name in self._required):
            self._state.services_up()
        latched = self._arbiter.latched_by is not None
        self._state.latched(latched)
        self._recipes.poll()
        self._state.changing(self._recipes.changing)
        self._link.set_state(self._state.now, emergency_latched=latched)
        if self._sparkplug is not None:
            self._sparkplug.state(self._state.now, emergency_latched=latched)
            for fault in self._sparkplug.poll():
                self._context.fault_sink(fault)
        for delivery in self._link.deliveries():
            self._deliveries.send(delivery)
        for latency_ns in self._link.ack_latencies_ns():
            self._context.metrics.observe_ns("plc_ack", latency_ns)
        self._context.degraded = "" if self._link.connected else "no connection to the broker"
        now_ns = self._clock.now_ns()
        if now_ns >= self._next_count_ns:
            self._next_count_ns = now_ns + _COUNT_EVERY_NS
            self._count()

    def _count(self) -> None:
        counters = self._context.counters
        for name, count in (*self._arbiter.counters.items(), *self._link.counters.items()):
            counters[name] = count
        counters["results_dropped"] = self._results.dropped
        counters["journal_overrun"] = self._journal.overrun


def urgent_first(waiting: list[Incoming], policy: DecisionConfig) -> list[Incoming]:
    """Return what came in one turn: emergencies, other sensor events, all else; each in its order."""

    def rank(item: Incoming) -> int:
        if not isinstance(item, SensorEvent):
            return 2
        return 0 if emergency(item, policy) else 1

    return sorted(waiting, key=rank) if len(waiting) > 1 else waiting


def make(context: Context, argument: str) -> ArbiterService:
    del argument
    return ArbiterService(context)


def _sparkplug(context: Context) -> SparkplugBridge | None:
    """The bridge to a Sparkplug B host, where the site file wants one; connecting."""
    site = context.site
    if site.site.sparkplug is None:
        return None
    folder = outbox_folder(site)
    bridge = SparkplugBridge(
        site.site.broker,
        site.site.sparkplug,
        folder,
        context.clock,
        context.bus.wake,
        recipe=site.site.recipe,
    )
    bridge.start()
    return bridge


def _trigger_frames(context: Context) -> FrameSubscriber | None:
    """Where each frame of the first camera is a part, its frames."""
    site: Site = context.site
    if site.site.decision.trigger == "photo_eye":
        return None
    return context.bus.frame_subscriber(site.cameras[0].id)


def _latency_ms(record: VerdictRecord) -> float:
    """From the last frame complete to now; -1 without a frame."""
    complete_ns = max((result.received_ns for result in record.evidence.results), default=None)
    return -1.0 if complete_ns is None else (record.verdict.decided_ns - complete_ns) / 1e6


def _since_last_evidence_ns(record: VerdictRecord) -> int:
    times = [result.finished_ns for result in record.evidence.results]
    times += [event.received_ns for event in record.evidence.events]
    return max(0, record.verdict.decided_ns - max(times, default=record.verdict.decided_ns))
