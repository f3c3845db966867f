"""Carries messages from the outbox over the connection, and what became of them onto the disk.

Runs in the caller's thread and never blocks.
"""

from collections.abc import Callable

from inspector.clock import NS_PER_S, Clock
from inspector.plc import payloads
from inspector.plc.connection import Connection
from inspector.plc.events import Acked, Connected, LinkEvent, Lost, SubscriptionRefused
from inspector.plc.fault_log import FaultLog
from inspector.plc.ledger import Ledger
from inspector.plc.outbox import Entry, Kind, Outbox
from inspector.plc.outbox_file import Answered, End, OutboxFile, Record, to_entry, to_record
from inspector.topics import MqttTopics
from inspector.types import Delivery, DeliveryState

NOBODY = "No matching subscribers"  # reason code 0x10 of MQTT 5, section 3.4.2.1
_WORTH_TELLING_NS = 600 * NS_PER_S  # an older verdict that never left is no news to a PLC
KEPT_OUTSIDE = 2  # places of the broker's window for state and availability


class Dispatcher:
    """See the module. `on_connected` is called for each new connection, before anything is sent.

    `deliveries` collects what became of verdicts, `ack_latencies_ns` how long after the sending
    the PLC acknowledged them; the owner takes them out.
    """

    def __init__(
        self,
        *,
        topics: MqttTopics,
        connection: Connection,
        file: OutboxFile,
        ledger: Ledger,
        faults: FaultLog,
        clock: Clock,
        on_connected: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._file = file
        self._ledger = ledger
        self._faults = faults
        self._clock = clock
        self._on_connection = on_connected
        self._topic_of = {
            Kind.VERDICT: topics.verdict,
            Kind.UNDELIVERED: topics.undelivered,
            Kind.EXPLANATION: topics.explanation,
            Kind.FAULT: topics.fault,
        }
        self._generation = 0  # of the connection that we know of; 0: none
        self._key_of: dict[int, int] = {}  # packet id to outbox key, of this connection
        self._outside: dict[int, str] = {}  # packet id to topic, of what is not in the outbox
        self._records: list[Record] = []
        self.outbox = Outbox()
        self._due_ns: int | None = 0  # when the outbox must be looked at although nothing happened
        self.deliveries: list[Delivery] = []
        self.ack_latencies_ns: list[int] = []
        self._next_key = self._load()

    def put(
        self,
        kind: Kind,
        payload: bytes,
        *,
        verdict_id: str = "",
        part_id: str = "",
        valid_until_ns: int | None = None,
        urgent: bool = False,
    ) -> None:
        """Take one message; the next `advance` sends it if it can be sent."""
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
        self._due_ns = 0
        record = to_record(entry, self._utc_offset_ns())
        if kind is Kind.VERDICT:
            self._ledger.judged(record)  # the file comes after the wire; this comes before it
        self._records.append(record)
        for dropped in self.outbox.put(entry):
            self._close_entry(dropped)

    def advance(self, next_beat_ns: int) -> None:
        """Take in what the network thread told, send what can be sent, then have it written.

        Wakes the owner at `next_beat_ns`, or before, when a validity ends. Costs next to nothing when
        nothing has happened, since it is called several times a turn.
        """
        events = self._connection.drain()
        due = self._due_ns is not None and self._clock.now_ns() >= self._due_ns
        if events or due or self._records or self._file.wants_compaction:
            self._advance(events)
        due_ns = self._due_ns
        self._connection.wake_at_ns = next_beat_ns if due_ns is None else min(due_ns, next_beat_ns)

    def _advance(self, events: list[LinkEvent]) -> None:
        for event in events:
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
        # Only now, when everything is on the wire.
        for record in self._records:
            self._file.append(record)
        self._records.clear()
        if self._file.wants_compaction:
            offset_ns = self._utc_offset_ns()
            entries = (to_record(entry, offset_ns) for entry in self.outbox.entries())
            self._file.compact(entries, self.outbox.awaiting, self._next_key)
        self._due_ns = self.outbox.next_due_ns()

    def publish_now(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> bool:
        """Send something that is worth nothing later, or drop it. Returns whether it was sent."""
        if not self._generation:
            return False
        mid = self._connection.publish(self._generation, topic, payload, qos=qos, retain=retain)
        if mid is not None and qos:
            self._outside[mid] = topic
        return mid is not None

    def on_plc_ack(self, verdict_id: str) -> None:
        """The PLC has acted on this verdict."""
        self._due_ns = 0
        answer = self.outbox.acknowledged(verdict_id, self._clock.now_ns())
        if answer.key is not None:
            self._records.append(End(key=answer.key, out=True))
        if answer.delivery is not None:
            self._records.append(Answered(verdict_id=verdict_id))
            self.deliveries.append(answer.delivery)
        if answer.latency_ns is not None:
            self.ack_latencies_ns.append(answer.latency_ns)

    def _utc_offset_ns(self) -> int:
        return self._clock.utc_ns() - self._clock.now_ns()

    def _load(self) -> int:
        """Take over what the last process left; returns the next free key."""
        loaded = self._file.loaded
        offset_ns = self._utc_offset_ns()
        for record in loaded.entries:
            self.outbox.put(to_entry(record, offset_ns))
        for verdict_id, part_id in loaded.awaiting:
            self.outbox.await_ack(verdict_id, part_id)
        if loaded.corrupt_lines:
            self._faults.add(
                "OUTBOX_CORRUPT", f"{loaded.corrupt_lines} lines of the outbox were torn and skipped"
            )
        # Verdicts that the last process gave and did not live to hand to the file.
        recent_utc_ns = self._clock.utc_ns() - _WORTH_TELLING_NS
        lost = [
            put
            for put in self._ledger.left.verdicts
            if put.key >= loaded.next_key and (put.valid_until_utc_ns or 0) > recent_utc_ns
        ]
        for record in lost:
            self.outbox.put(to_entry(record, offset_ns))
            self._records.append(record)
        return max([loaded.next_key, *(put.key + 1 for put in lost)])

    def _step(self) -> bool:
        """One round of the outbox; returns whether there must be another one."""
        now_ns = self._clock.now_ns()
        step = self.outbox.step(now_ns)
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
        self._outside.clear()
        self.outbox.lost()

    def _close_entry(self, entry: Entry) -> None:
        """An entry ended without the broker having it; a verdict leaves a notice."""
        if entry.kind is Kind.VERDICT:
            self._leave_notice(entry)  # before its end is recorded: a crash in between repeats it
        self._records.append(End(key=entry.key, out=False))

    def _leave_notice(self, entry: Entry) -> None:
        now_ns = self._clock.now_ns()
        self.deliveries.append(
            Delivery(
                verdict_id=entry.verdict_id,
                part_id=entry.part_id,
                state=DeliveryState.UNDELIVERED,
                at_ns=now_ns,
            )
        )
        until_utc_ns = (entry.valid_until_ns or now_ns) + self._utc_offset_ns()
        self.put(
            Kind.UNDELIVERED,
            payloads.undelivered_payload(entry.payload, until_utc_ns),
            verdict_id=entry.verdict_id,
            part_id=entry.part_id,
        )

    def _on_connected(self, event: Connected) -> None:
        self._drop_connection()
        self._generation = event.generation
        self.outbox.connected(event.window - KEPT_OUTSIDE)
        self._on_connection()

    def _on_lost(self, event: Lost) -> None:
        self._faults.add(event.code, event.reason)
        if event.generation == self._generation:
            self._drop_connection()

    def _on_acked(self, event: Acked) -> None:
        if event.generation != self._generation:
            return
        key = self._key_of.pop(event.mid, None)
        if key is None:
            topic = self._outside.pop(event.mid, None)
            if topic is not None and not event.taken:
                self._tell_refusal(topic, event.reason)
            return
        now_ns = self._clock.now_ns()
        if event.taken:
            kept = self.outbox.unheard(key, now_ns) if event.reason == NOBODY else None
            if kept is not None:
                if kept.kind is Kind.VERDICT:
                    topic = self._topic_of[Kind.VERDICT]
                    text = f"nobody is subscribed to {topic}; check the PLC"
                    self._faults.add("NOBODY_LISTENS", text)
                return
            delivery = self.outbox.delivered(key, now_ns)
            self._records.append(End(key=key, out=True))
            if delivery is not None:
                self.deliveries.append(delivery)
            return
        entry = self.outbox.refused(key)
        if entry is not None:
            self._tell_refusal(self._topic_of[entry.kind], event.reason)
            self._close_entry(entry)

    def _tell_refusal(self, topic: str, reason: str) -> None:
        hint = "check its ACL and how large a message may be"
        self._faults.add("PUBLISH_REFUSED", f"the broker refuses {topic} ({reason}); {hint}")
