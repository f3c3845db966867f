"""The cell's door to the PLC, the sensors and the broker: what the arbiter uses.

Everything here runs in the caller's thread and never blocks; see `connection` for the thread
behind it and `outbox` for what is sent when.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from inspector.clock import NS_PER_S, Clock
from inspector.config import BrokerConfig
from inspector.errors import InvariantError
from inspector.flat import RefusedError
from inspector.plc import payloads
from inspector.plc.client import read_access
from inspector.plc.connection import Connection
from inspector.plc.events import Acked, Connected, Lost, SubscriptionRefused
from inspector.plc.fault_log import FaultLog
from inspector.plc.inbox import Inbox, Received
from inspector.plc.intake import Acknowledgement, PlcIntake, SensorDecoder
from inspector.plc.outbox import Entry, Kind, Outbox
from inspector.plc.outbox_file import End, OutboxFile, Put, to_entry, to_record
from inspector.topics import MqttTopics
from inspector.types import (
    Command,
    Decision,
    Delivery,
    DeliveryState,
    Explanation,
    Fault,
    PartTrigger,
    SensorEvent,
    Verdict,
)

Incoming = PartTrigger | SensorEvent | Command | Acknowledgement
KEPT_OUTSIDE = 2  # places of the broker's window for state and availability
CLOSE_S = 1.0


class PlcLink:
    """Messages in, verdicts out, over one broker.

    One thread calls all of it. `on_wake` is called from another thread whenever `poll` has
    something to do; it must only set a flag or the like. Call `poll` then, and every 100 ms.
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
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._sensors = sensors
        self._intake = PlcIntake()
        self._faults = FaultLog(service)
        sensor_topics = tuple(topics.sensor(sensor_id) for sensor_id in sensors.sensor_ids)
        self._inbox = Inbox((topics.trigger, topics.command, topics.ack, *sensor_topics))
        access = read_access(config)
        self._file = OutboxFile(outbox_dir)
        self._connection = Connection(
            config,
            access,
            subscriptions=(topics.trigger, topics.command, topics.ack, topics.sensors),
            will=(topics.availability, payloads.availability_payload(available=False)),
            clock=clock,
            on_message=self._inbox.put,
            on_wake=on_wake,
        )
        self._topic_of = {
            Kind.VERDICT: topics.verdict,
            Kind.UNDELIVERED: topics.undelivered,
            Kind.EXPLANATION: topics.explanation,
            Kind.FAULT: topics.fault,
        }
        self._outbox = Outbox()
        self._generation = 0  # of the connection that we know of; 0: none
        self._key_of: dict[int, int] = {}  # packet id to outbox key, of this connection
        self._records: list[Put | End] = []
        self._deliveries: list[Delivery] = []
        self._told: list[Fault] = []
        self._state: tuple[str, bool] | None = None
        self._beats = 0
        self._next_beat_ns = clock.now_ns()
        self._next_key = self._load()

    # -- what the arbiter calls ------------------------------------------------------------------

    def start(self) -> None:
        """Start connecting; returns at once."""
        self._connection.start()

    @property
    def connected(self) -> bool:
        """Whether the broker is there. A verdict given meanwhile waits, while it is valid."""
        return self._connection.connected

    @property
    def counters(self) -> Counter[str]:
        """How many messages were refused, dropped, sent and so on; they only grow."""
        counters = self._outbox.counters + self._file.counters
        counters.update({f"refused_{r}": n for r, n in self._intake.refused.items()})
        counters.update({f"dropped_{t or 'other'}": n for t, n in self._inbox.dropped.items()})
        counters["trigger_clock_ahead"] += self._intake.clock_ahead
        counters["heartbeats"] += self._beats
        return counters

    def poll(self) -> list[Incoming]:
        """Do what is due, and return what has arrived, valid and in order.

        Raises InvariantError when the network thread has died.
        """
        if not self._connection.alive:
            raise InvariantError("the MQTT network thread has died")
        received = self._inbox.take_all()
        self._advance()
        incoming = [message for r in received if (message := self._decode(r)) is not None]
        now_ns = self._clock.now_ns()
        self._beat(now_ns)
        if self._file.failure is not None:
            self._faults.add("OUTBOX_DISK", self._file.failure)
        for fault in self._faults.take(now_ns):
            self._told.append(fault)
            self.send_fault(fault)
        self._advance()
        return incoming

    def send_verdict(self, verdict: Verdict, latency_ms: float) -> None:
        """Send a verdict at once, or as soon as the broker is back, if it is still valid then.

        `latency_ms` is the time since the last frame was complete, -1 without a frame.
        """
        payload = payloads.verdict_payload(verdict, latency_ms, self._utc_offset_ns())
        self._put(
            Kind.VERDICT,
            payload,
            verdict_id=verdict.verdict_id,
            part_id=verdict.part_id,
            valid_until_ns=verdict.valid_until_ns,
            urgent=verdict.decision is Decision.EMERGENCY_BRAKE,
        )
        self._advance()

    def send_explanation(self, explanation: Explanation) -> None:
        """Send an explanation, after the verdicts."""
        self._put(
            Kind.EXPLANATION,
            payloads.explanation_payload(explanation),
            verdict_id=explanation.verdict_id,
            part_id=explanation.part_id,
        )
        self._advance()

    def send_fault(self, fault: Fault) -> None:
        """Send a fault, after the verdicts."""
        self._put(Kind.FAULT, payloads.fault_payload(fault, self._utc_offset_ns()))
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
        taken, self._deliveries = self._deliveries, []
        return taken

    def faults(self) -> list[Fault]:
        """Return the link's own faults since the last call; they are on their way to MQTT."""
        taken, self._told = self._told, []
        return taken

    def close(self) -> None:
        """Say that the cell is offline, disconnect and let go of the outbox. Takes up to 3 s.

        Raises StoreError when the disk hangs.
        """
        self._advance()
        if self._generation:
            offline = payloads.availability_payload(available=False)
            self._publish_retained(self._topics.availability, offline)
        self._connection.close(CLOSE_S)
        self._file.close()

    # -- inside ----------------------------------------------------------------------------------

    def _utc_offset_ns(self) -> int:
        return self._clock.utc_ns() - self._clock.now_ns()

    def _load(self) -> int:
        """Take over what the last process left; returns the next free key."""
        loaded = self._file.loaded
        offset_ns = self._utc_offset_ns()
        for record in loaded.entries:
            self._outbox.put(to_entry(record, offset_ns))
        for verdict_id, part_id in loaded.awaiting:
            self._outbox.await_ack(verdict_id, part_id)
        if loaded.corrupt_lines:
            self._faults.add(
                "OUTBOX_CORRUPT", f"{loaded.corrupt_lines} lines of the outbox were torn and skipped"
            )
        return loaded.next_key

    def _put(
        self,
        kind: Kind,
        payload: bytes,
        *,
        verdict_id: str = "",
        part_id: str = "",
        valid_until_ns: int | None = None,
        urgent: bool = False,
    ) -> None:
        entry = Entry(
            key=self._next_key,
            kind=kind,
            payload=payload,
            verdict_id=verdict_id,
            part_id=part_id,
            valid_until_ns=valid_until_ns,
            urgent=urgent,
        )
        self._next_key += 1
        self._records.append(to_record(entry, self._utc_offset_ns()))
        for dropped in self._outbox.put(entry):
            self._close_entry(dropped)

    def _advance(self) -> None:
        """Take in what the network thread told, send what can be sent, then have it written."""
        for event in self._connection.drain():
            match event:
                case Connected():
                    self._on_connected(event)
                case Lost():
                    self._on_lost(event)
                case Acked():
                    self._on_acked(event)
                case SubscriptionRefused():
                    self._faults.add("SUBSCRIBE_REFUSED", event.reason)
        while self._step():
            continue
        for record in self._records:
            self._file.append(record)
        self._records.clear()
        if self._file.wants_compaction:
            offset_ns = self._utc_offset_ns()
            self._file.compact(to_record(entry, offset_ns) for entry in self._outbox.entries())
        due = [d for d in (self._outbox.next_due_ns(), self._next_beat_ns) if d is not None]
        self._connection.wake_at_ns = min(due)

    def _step(self) -> bool:
        """One round of the outbox; returns whether there must be another one."""
        now_ns = self._clock.now_ns()
        step = self._outbox.step(now_ns)
        for entry in step.send:
            if not self._publish_entry(entry, now_ns):
                self._drop_connection()
                break
        for entry in step.expired:
            self._close_entry(entry)
        if step.cut:
            self._connection.cut(self._generation)
            self._drop_connection()
        return step.cut or bool(step.expired)

    def _publish_entry(self, entry: Entry, now_ns: int) -> bool:
        until = entry.valid_until_ns
        mid = self._connection.publish(
            self._generation,
            self._topic_of[entry.kind],
            entry.payload,
            expiry_s=None if until is None else payloads.expiry_s(until, now_ns),
        )
        if mid is None:
            return False
        self._key_of[mid] = entry.key
        return True

    def _drop_connection(self) -> None:
        self._generation = 0
        self._key_of.clear()
        self._outbox.lost()

    def _close_entry(self, entry: Entry) -> None:
        """An entry ended without the broker having it; a verdict leaves a notice."""
        self._records.append(End(key=entry.key, out=False))
        if entry.kind is not Kind.VERDICT:
            return
        now_ns = self._clock.now_ns()
        self._deliveries.append(
            Delivery(
                verdict_id=entry.verdict_id,
                part_id=entry.part_id,
                state=DeliveryState.UNDELIVERED,
                at_ns=now_ns,
            )
        )
        until_utc_ns = (entry.valid_until_ns or now_ns) + self._utc_offset_ns()
        self._put(
            Kind.UNDELIVERED,
            payloads.undelivered_payload(entry.payload, until_utc_ns),
            verdict_id=entry.verdict_id,
            part_id=entry.part_id,
        )

    def _on_connected(self, event: Connected) -> None:
        self._drop_connection()
        self._generation = event.generation
        self._outbox.connected(event.window - KEPT_OUTSIDE)
        online = payloads.availability_payload(available=True)
        self._publish_retained(self._topics.availability, online)
        self._publish_state()

    def _on_lost(self, event: Lost) -> None:
        self._faults.add("BROKER_LOST", event.reason)
        if event.generation == self._generation:
            self._drop_connection()

    def _on_acked(self, event: Acked) -> None:
        if event.generation != self._generation:
            return
        key = self._key_of.pop(event.mid, None)
        if key is None:
            return
        if event.taken:
            delivery = self._outbox.delivered(key, self._clock.now_ns())
            self._records.append(End(key=key, out=True))
            if delivery is not None:
                self._deliveries.append(delivery)
                if event.reason == "No matching subscribers":
                    self._faults.add(
                        "NOBODY_LISTENS",
                        f"nobody is subscribed to {self._topics.verdict}; check the PLC",
                    )
            return
        entry = self._outbox.refused(key)
        if entry is not None:
            topic = self._topic_of[entry.kind]
            self._faults.add("PUBLISH_REFUSED", f"the broker refuses {topic} ({event.reason}); check its ACL")
            self._close_entry(entry)

    def _publish_state(self) -> None:
        if self._state is not None:
            state, latched = self._state
            payload = payloads.state_payload(state, latched, self._clock.utc_ns())
            self._publish_retained(self._topics.state, payload)

    def _publish_retained(self, topic: str, payload: bytes) -> None:
        if self._generation:
            self._connection.publish(self._generation, topic, payload, retain=True)

    def _beat(self, now_ns: int) -> None:
        """Send the heartbeat. It comes from the caller's thread, so that it stops with it."""
        if now_ns < self._next_beat_ns:
            return
        self._next_beat_ns = now_ns + NS_PER_S
        if self._generation:
            self._beats += 1
            payload = payloads.heartbeat_payload(self._beats, self._clock.utc_ns())
            self._connection.publish(self._generation, self._topics.heartbeat, payload, qos=0)

    def _decode(self, received: Received) -> Incoming | None:
        topic, payload = received.topic, received.payload
        at_ns, retained = received.received_ns, received.retained
        try:
            if topic == self._topics.trigger:
                return self._intake.trigger(
                    payload,
                    retained=retained,
                    received_ns=at_ns,
                    utc_offset_ns=self._utc_offset_ns(),
                )
            if topic == self._topics.command:
                return self._intake.command(payload, retained=retained, received_ns=at_ns)
            if topic == self._topics.ack:
                ack = self._intake.acknowledgement(payload, retained=retained, received_ns=at_ns)
                self._on_plc_ack(ack)
                return ack
            return self._sensors.accept(
                topic.removeprefix(self._topics.sensor("")),
                payload,
                retained=retained,
                received_ns=at_ns,
                utc_offset_ns=self._utc_offset_ns(),
            )
        except RefusedError as refused:
            if refused.reason != "duplicate":  # QoS 1 may repeat; that is no fault
                self._faults.add("MESSAGE_REFUSED", str(refused))
            return None

    def _on_plc_ack(self, ack: Acknowledgement) -> None:
        key, delivery = self._outbox.acknowledged(ack.verdict_id, self._clock.now_ns())
        if key is not None:
            self._records.append(End(key=key, out=True))
        if delivery is not None:
            self._deliveries.append(delivery)
