"""The cell's door to the PLC, the sensors and the broker: what the arbiter uses.

Everything here runs in the caller's thread and never blocks; see `connection` for the thread
behind it, `outbox` for what is sent when and `dispatch` for how the two meet.
"""

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from inspector.clock import NS_PER_S, Clock
from inspector.config import BrokerConfig
from inspector.errors import InvariantError
from inspector.plc import payloads
from inspector.plc.client import read_access
from inspector.plc.connection import Connection
from inspector.plc.dispatch import Dispatcher
from inspector.plc.events import Will
from inspector.plc.fault_log import FaultLog
from inspector.plc.inbox import MAX_BYTES, Inbox, Received, Token
from inspector.plc.incoming import Decoder, Incoming
from inspector.plc.ledger import Ledger, Left
from inspector.plc.outbox import Kind
from inspector.plc.outbox_file import OutboxFile
from inspector.plc.sensor_decoder import SensorDecoder
from inspector.plc.state import State
from inspector.topics import MqttTopics
from inspector.types import (
    Action,
    Decision,
    Delivery,
    Explanation,
    Fault,
    PartTrigger,
    SensorEvent,
    Verdict,
)

CLOSE_S = 1.0
TURN = 64  # messages that are decoded in one go: about 1 ms


class PlcLink:
    """Messages in, verdicts out, over one broker.

    `failsafe` is what a part gets whose verdict cannot be written, `recipe` is told with the state. One
    thread calls all of it.
    `on_wake` is called from another thread whenever `poll` has something to do; it must only set a
    flag or the like. Call `poll` then, and every 100 ms.
    Raises ConfigError when a password, a certificate or the outbox folder cannot be used; an
    unreachable broker is no error here: it is told as a Fault and retried for ever.
    """

    def __init__(
        self,
        config: BrokerConfig,
        topics: MqttTopics,
        outbox_dir: Path,
        clock: Clock,
        on_wake: Callable[[], None],
        *,
        sensors: SensorDecoder,
        service: str = "arbiter",
        failsafe: Action = Action.HOLD,
        recipe: str = "",
    ) -> None:
        self._failsafe = failsafe
        self._recipe = recipe
        self._topics = topics
        self._clock = clock
        self._sensors = sensors
        self._faults = FaultLog(service)
        plc_topics = (topics.trigger, topics.command, topics.ack)
        self._inbox = Inbox(dict.fromkeys(plc_topics, MAX_BYTES) | dict(sensors.topics))
        access = read_access(config)
        self._file = OutboxFile(outbox_dir)
        self._ledger = Ledger(outbox_dir, self._utc_offset_ns())
        self._waiting: deque[Received] = deque()  # taken out of the inbox, and not decoded yet
        self._on_wake = on_wake
        self._taken: list[Token] = []
        self._connection = Connection(
            config,
            access,
            subscriptions=(*plc_topics, *sensors.subscriptions),
            will=lambda: Will(
                topics.availability, payloads.availability_payload(available=False), retain=True
            ),
            clock=clock,
            on_message=self._inbox.put,
            on_wake=on_wake,
        )
        self._dispatcher = Dispatcher(
            topics=topics,
            connection=self._connection,
            file=self._file,
            ledger=self._ledger,
            faults=self._faults,
            clock=clock,
            on_connected=self._on_connected,
        )
        self._decoder = Decoder(
            topics=topics,
            sensors=sensors,
            dispatcher=self._dispatcher,
            ledger=self._ledger,
            faults=self._faults,
        )
        self._connected_ns = 0
        self._told: list[Fault] = []
        self._state: tuple[str, bool] | None = None
        self._beats = 0
        self._not_noted = 0  # of what the ledger could not hold, what is told
        self._next_beat_ns = clock.now_ns()

    # -- what the arbiter calls ------------------------------------------------------------------

    def start(self) -> None:
        """Start connecting; returns at once."""
        self._connection.start()

    @property
    def connected(self) -> bool:
        """Whether the broker is there. A verdict given meanwhile waits, while it is valid."""
        return self._connection.connected

    @property
    def left(self) -> Left:
        """What the process before this one left: its open and judged parts, and its emergency."""
        return self._ledger.left

    def note_opened(self, trigger: PartTrigger) -> None:
        """Note a part that did not come over MQTT, for who comes after a crash."""
        self._ledger.opened(trigger, self._utc_offset_ns())

    def note_latch(self, event: SensorEvent | None) -> None:
        """Note the emergency that holds the line, or that none does, for who comes after a crash.

        Before its verdict is sent; `sync_notes` comes after.
        """
        self._ledger.latch(event)

    def sync_notes(self) -> None:
        """Have what was noted on the disk soon, for who comes after a power cut."""
        self._file.sync_beside(self._ledger.sync)

    def note_stopped(self, stopped: bool) -> None:
        """Note whether an operator has stopped the line, for who comes after a crash."""
        self._ledger.stop(stopped)
        self._file.sync_beside(self._ledger.sync)

    @property
    def counters(self) -> Counter[str]:
        """How many messages were refused, dropped, sent and so on; they only grow."""
        counters = self._dispatcher.outbox.counters + self._file.counters
        for refused in (self._decoder.intake.refused, self._sensors.refused):
            counters.update({f"refused_{reason}": n for reason, n in refused.items()})
        for topic, n in self._inbox.dropped.items():
            leaf = topic.removeprefix(f"{self._topics.base}/").replace("/", "_")
            counters[f"dropped_{leaf or 'unlisted'}"] += n
        counters["trigger_clock_ahead"] += self._decoder.intake.clock_ahead
        counters["ledger_too_large"] = self._ledger.too_large
        counters["heartbeats"] += self._beats
        return counters

    def poll(self) -> list[Incoming]:
        """Do what is due, and return what has arrived, valid and in order.

        After `TURN` messages it stops and wakes the caller again: whatever comes in, a due verdict
        waits no longer than that. What the call before returned is acknowledged to the broker now, if
        `taken` has not said so.
        Raises InvariantError when the network thread has died.
        """
        if not self._connection.alive:
            raise InvariantError("the MQTT network thread has died")
        self.taken()
        if not self._waiting:
            self._waiting.extend(self._inbox.take_all())
        received = [self._waiting.popleft() for _ in range(min(TURN, len(self._waiting)))]
        self._taken += [r.token for r in received if r.token is not None]
        self._taken += self._inbox.dropped_tokens()
        self._advance()
        offset_ns = self._utc_offset_ns()
        incoming = [message for r in received for message in self._decoder.decode(r, offset_ns)]
        now_ns = self._clock.now_ns()
        if self.connected and self._connected_ns:
            incoming += self._sensors.overdue(now_ns, self._connected_ns)
        for topic, payload in self._sensors.requests(self._clock.utc_ns()):
            self._dispatcher.publish_now(topic, payload, qos=0, retain=False)
        self._beat(now_ns)
        if self._file.failure is not None:
            self._faults.add("OUTBOX_DISK", self._file.failure)
        if self._ledger.too_large > self._not_noted:
            self._not_noted = self._ledger.too_large
            self._faults.add(
                "LEDGER_TOO_LARGE", "a part is too long to be noted for a restart; shorten its id"
            )
        for fault in self._faults.take(now_ns):
            self._told.append(fault)
            self.send_fault(fault)
        self._advance()
        if self._waiting:
            self._on_wake()
        return incoming

    def taken(self) -> None:
        """All that `poll` returned has been dealt with: the broker need not send it again."""
        taken, self._taken = self._taken, []
        self._connection.acknowledge(taken)

    def send_verdict(self, verdict: Verdict, latency_ms: float) -> Verdict:
        """Send a verdict at once, or as soon as the broker is back, if it is still valid then.

        `latency_ms` is the time since the last frame was complete, -1 without a frame. Returns what was
        sent: one that breaks its schema is told as a fault, and the failsafe goes in its place.
        """
        offset_ns = self._utc_offset_ns()
        try:
            payload = payloads.verdict_payload(verdict, latency_ms, offset_ns)
        except InvariantError as error:
            self._faults.add("VERDICT_BROKEN", f"{verdict.verdict_id[:32]}: {error}; the failsafe was sent")
            verdict = payloads.plain_verdict(verdict, self._failsafe)
            payload = payloads.verdict_payload(verdict, -1.0, offset_ns)
        self._dispatcher.put(
            Kind.VERDICT,
            payload,
            verdict_id=verdict.verdict_id,
            part_id=verdict.part_id,
            valid_until_ns=verdict.valid_until_ns,
            urgent=verdict.decision is Decision.EMERGENCY_BRAKE,
        )
        self._advance()
        return verdict

    def send_explanation(self, explanation: Explanation) -> None:
        """Send an explanation, after the verdicts."""
        self._dispatcher.put(
            Kind.EXPLANATION,
            payloads.explanation_payload(explanation),
            verdict_id=explanation.verdict_id,
            part_id=explanation.part_id,
        )
        self._advance()

    def send_fault(self, fault: Fault) -> None:
        """Send a fault, after the verdicts."""
        self._dispatcher.put(Kind.FAULT, payloads.fault_payload(fault, self._utc_offset_ns()))
        self._advance()

    def set_state(self, state: str, emergency_latched: bool) -> None:
        """Publish the state, retained, if it changed; again after each reconnect.

        `state` is a name of OPC 40100-1, such as ContinuousExecution.
        """
        if self._state != (state, emergency_latched):
            self._state = (state, emergency_latched)
            self._publish_state()

    def deliveries(self) -> list[Delivery]:
        """Return what became of verdicts since the last call, for the record."""
        taken, self._dispatcher.deliveries = self._dispatcher.deliveries, []
        return taken

    def ack_latencies_ns(self) -> list[int]:
        """Return how long after its sending each verdict was acknowledged by the PLC, since the last call."""
        taken, self._dispatcher.ack_latencies_ns = self._dispatcher.ack_latencies_ns, []
        return taken

    def faults(self) -> list[Fault]:
        """Return the link's own faults since the last call; they are on their way to MQTT."""
        taken, self._told = self._told, []
        return taken

    def close(self, last: State = State.HALTED) -> None:
        """Say that the cell is offline, disconnect and let go of the outbox. Takes up to 3 s.

        `last` is the state that is left with the broker. Raises StoreError when the disk hangs.
        """
        self._advance()
        self.set_state(last, emergency_latched=self._state is not None and self._state[1])
        offline = payloads.availability_payload(available=False)
        self._dispatcher.publish_now(self._topics.availability, offline, qos=1, retain=True)
        self._connection.close(CLOSE_S)
        self._file.close()
        self._ledger.close()

    # -- inside ----------------------------------------------------------------------------------

    def _utc_offset_ns(self) -> int:
        return self._clock.utc_ns() - self._clock.now_ns()

    def _advance(self) -> None:
        self._dispatcher.advance(self._next_beat_ns)

    def _on_connected(self) -> None:
        self._connected_ns = self._clock.now_ns()
        self._publish_presence()

    def _publish_presence(self) -> None:
        online = payloads.availability_payload(available=True)
        self._dispatcher.publish_now(self._topics.availability, online, qos=1, retain=True)
        self._publish_state()

    def _publish_state(self) -> None:
        if self._state is not None:
            state, latched = self._state
            payload = payloads.state_payload(state, latched, self._recipe, self._clock.utc_ns())
            self._dispatcher.publish_now(self._topics.state, payload, qos=1, retain=True)

    def _beat(self, now_ns: int) -> None:
        """Send the heartbeat. It comes from the caller's thread, so that it stops with it."""
        if now_ns < self._next_beat_ns:
            return
        payload = payloads.heartbeat_payload(self._beats + 1, self._clock.utc_ns())
        if self._dispatcher.publish_now(self._topics.heartbeat, payload, qos=0, retain=False):
            self._beats += 1
            latched = self._state is not None and self._state[1]
            short = payloads.heartbeat_pb_payload(self._beats, self._clock.utc_ns(), latched)
            self._dispatcher.publish_now(self._topics.heartbeat_pb, short, qos=0, retain=False)
            self._next_beat_ns = now_ns + NS_PER_S
        else:
            self._next_beat_ns = now_ns + NS_PER_S // 10  # soon after the broker is back
