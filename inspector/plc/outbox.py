"""What is to be sent, what was, and what has expired. Pure: time and connection are arguments.

An entry is QUEUED, then SENT, then gone: delivered (the broker acknowledged it) or, a verdict,
undelivered (its validity ended first). Losing the connection puts what was SENT back to QUEUED,
in the old order. Verdicts go before everything else; the rest (explanations, faults, notices)
goes in order of arrival, bounded, oldest dropped first.

A broker of MQTT 5 also says when it took a message that nobody is subscribed to. After an outage
the PLC may come back a moment after us, so such a verdict is sent again while it is valid, and a
notice for some seconds. Until the first one is heard there is only one on its way, so that those
behind it cannot overtake it. A notice that waits for a listener does not hold up explanations.

Nothing is left to the MQTT library's own queue, because it would resend a QoS 1 message after an
outage whatever its age.
"""

from collections import Counter, OrderedDict
from enum import StrEnum
from typing import NamedTuple

import msgspec

from inspector.clock import NS_PER_MS
from inspector.types import Delivery, DeliveryState

# A verdict that was written to the socket and not acknowledged by its end may sit in a stalled
# connection and come out of it later. After this much more time the connection is cut, so that
# it cannot. A broker that is merely busy answers sooner.
STALL_NS = 500 * NS_PER_MS
AWAITING_ACK = 1024
MAX_TRIES = 20  # of a notice without a subscriber; a verdict is tried until it expires
RESERVED = 2  # places of the window that are kept for emergencies


class Kind(StrEnum):
    VERDICT = "verdict"
    UNDELIVERED = "undelivered"
    EXPLANATION = "explanation"
    FAULT = "fault"


# How long a message without a subscriber waits before it is sent again.
AGAIN_NS = {Kind.VERDICT: 50 * NS_PER_MS, Kind.UNDELIVERED: 500 * NS_PER_MS}
BOUND = {Kind.VERDICT: 1024, Kind.UNDELIVERED: 1024, Kind.EXPLANATION: 256, Kind.FAULT: 256}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One message to deliver. `key` counts all entries, over restarts too.

    `valid_until_ns` is set for a verdict alone. `urgent` (an emergency) may use the whole window.
    """

    key: int
    kind: Kind
    payload: bytes
    verdict_id: str = ""
    part_id: str = ""
    valid_until_ns: int | None = None
    urgent: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now: send these, in order; tell of those that expired; cut the connection."""

    send: tuple[Entry, ...] = ()
    expired: tuple[Entry, ...] = ()
    cut: bool = False


class Awaited(NamedTuple):
    """A verdict that is out and that the PLC has not acknowledged. `sent_ns` is None after a restart."""

    part_id: str
    sent_ns: int | None


class Answer(NamedTuple):
    """What the PLC's acknowledgement means: the key of the entry that it closes, if one is open, the
    delivery to record, and how long after the last sending it came. All None for an unknown verdict.
    """

    key: int | None = None
    delivery: Delivery | None = None
    latency_ns: int | None = None


class Outbox:
    """The state machine. One thread. `counters` only grow."""

    def __init__(self) -> None:
        self._open: dict[Kind, OrderedDict[int, Entry]] = {kind: OrderedDict() for kind in Kind}
        self._sent: OrderedDict[int, int] = OrderedDict()  # key to when, while unacknowledged
        self._awaiting: OrderedDict[str, Awaited] = OrderedDict()  # by verdict id
        self._window = 0  # 0: not connected
        self._held_until_ns: dict[Kind, int] = {}  # because nobody listened
        self._heard: set[Kind] = set()  # kinds that had a listener on this connection
        self._tries: Counter[int] = Counter()  # key to how often nobody listened
        self.counters: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    @property
    def awaiting(self) -> tuple[tuple[str, str], ...]:
        """Verdict id and part id of what the PLC has not acknowledged, oldest first."""
        return tuple((verdict_id, awaited.part_id) for verdict_id, awaited in self._awaiting.items())

    def entries(self) -> tuple[Entry, ...]:
        """Everything that is open, by key."""
        everything = (e for queue in self._open.values() for e in queue.values())
        return tuple(sorted(everything, key=lambda entry: entry.key))

    def put(self, entry: Entry) -> tuple[Entry, ...]:
        """Take one entry; return those that its kind's bound pushed out (a verdict is expired)."""
        queue = self._open[entry.kind]
        queue[entry.key] = entry
        dropped = []
        while len(queue) > BOUND[entry.kind]:
            oldest = next(iter(queue.values()))
            self._sent.pop(oldest.key, None)
            self._remove(oldest)
            self.counters[f"{entry.kind}_dropped"] += 1
            dropped.append(oldest)
        return tuple(dropped)

    def connected(self, window: int) -> None:
        """The broker takes messages, at most `window` unacknowledged ones at once."""
        self._window = max(1, window)
        self._sent.clear()
        self._heard.clear()

    def lost(self) -> None:
        """The connection is gone; what was sent on it and not acknowledged is queued again."""
        self._window = 0
        self._sent.clear()

    def refused(self, key: int) -> Entry | None:
        """The broker will not take this entry (its ACL, most likely). It is closed."""
        self._sent.pop(key, None)
        entry = self._find(key)
        if entry is not None:
            self._remove(entry)
            self.counters[f"{entry.kind}_refused"] += 1
        return entry

    def unheard(self, key: int, now_ns: int) -> Entry | None:
        """The broker took this entry, and nobody is subscribed. Returns it if it stays open.

        If not, it counts as delivered, which the caller reports.
        """
        entry = self._find(key)
        if entry is None or entry.kind not in AGAIN_NS:
            return None
        self._tries[key] += 1
        if entry.kind is not Kind.VERDICT and self._tries[key] >= MAX_TRIES:
            return None
        self._sent.pop(key, None)
        self._heard.discard(entry.kind)
        self._held_until_ns[entry.kind] = now_ns + AGAIN_NS[entry.kind]
        self.counters[f"{entry.kind}_unheard"] += 1
        return entry

    def step(self, now_ns: int) -> Step:
        """Decide what to do now. The entries to send count as sent from here on."""
        expired: list[Entry] = []
        cut = False
        verdicts = self._open[Kind.VERDICT]
        for entry in [e for e in verdicts.values() if _is_over(e, now_ns)]:
            sent_ns = self._sent.get(entry.key)
            if sent_ns is None:
                self._remove(entry)
                self.counters["verdict_expired"] += 1
                expired.append(entry)
            elif now_ns - max(sent_ns, entry.valid_until_ns or 0) >= STALL_NS:
                cut = True
        self._held_until_ns = {k: ns for k, ns in self._held_until_ns.items() if ns > now_ns}
        send: list[Entry] = []
        if not cut:
            for kinds in ((Kind.VERDICT,), (Kind.UNDELIVERED, Kind.EXPLANATION, Kind.FAULT)):
                send += self._fill(kinds, now_ns)
        return Step(send=tuple(send), expired=tuple(expired), cut=cut)

    def delivered(self, key: int, now_ns: int) -> Delivery | None:
        """The broker has it. Returns the delivery to record if it was a verdict."""
        sent_ns = self._sent.pop(key, None)
        entry = self._find(key)
        if entry is None:
            return None
        self._remove(entry)
        self._heard.add(entry.kind)
        self.counters[f"{entry.kind}_delivered"] += 1
        if entry.kind is not Kind.VERDICT:
            return None
        self.await_ack(entry.verdict_id, entry.part_id, sent_ns)
        return _delivery(entry, DeliveryState.DELIVERED, now_ns)

    def await_ack(self, verdict_id: str, part_id: str, sent_ns: int | None = None) -> None:
        """Expect the PLC's acknowledgement of a verdict that is out."""
        self._awaiting[verdict_id] = Awaited(part_id, sent_ns)
        if len(self._awaiting) > AWAITING_ACK:
            self._awaiting.popitem(last=False)

    def acknowledged(self, verdict_id: str, now_ns: int) -> Answer:
        """The PLC has it.

        It may overtake the broker's own acknowledgement, or come after a connection was lost
        between the two; the verdict is delivered all the same and is not sent again.
        """
        for key, entry in self._open[Kind.VERDICT].items():
            if entry.verdict_id == verdict_id:
                # Its place in the window stays taken until the broker acknowledges.
                self._remove(entry)
                self._heard.add(Kind.VERDICT)
                self.counters["verdict_acknowledged"] += 1
                delivery = _delivery(entry, DeliveryState.ACKNOWLEDGED, now_ns)
                return Answer(key, delivery, _since(self._sent.get(key), now_ns))
        awaited = self._awaiting.pop(verdict_id, None)
        if awaited is None:
            self.counters["ack_unknown"] += 1
            return Answer()
        self.counters["verdict_acknowledged"] += 1
        state = DeliveryState.ACKNOWLEDGED
        delivery = Delivery(verdict_id=verdict_id, part_id=awaited.part_id, state=state, at_ns=now_ns)
        return Answer(None, delivery, _since(awaited.sent_ns, now_ns))

    def next_due_ns(self) -> int | None:
        """When `step` must be called next although nothing happens."""
        verdicts = self._open[Kind.VERDICT].values()
        due = [
            max(self._sent[e.key], e.valid_until_ns) + STALL_NS if e.key in self._sent else e.valid_until_ns
            for e in verdicts
            if e.valid_until_ns is not None
        ]
        if self._window:
            due += [until for kind, until in self._held_until_ns.items() if self._open[kind]]
        return min(due, default=None)

    def _find(self, key: int) -> Entry | None:
        return next((queue[key] for queue in self._open.values() if key in queue), None)

    def _remove(self, entry: Entry) -> None:
        del self._open[entry.kind][entry.key]
        self._tries.pop(entry.key, None)

    def _may_go(self, entry: Entry, now_ns: int) -> bool:
        if entry.key in self._sent:
            return False
        if now_ns >= self._held_until_ns.get(entry.kind, now_ns):
            return True
        return entry.urgent and entry.key not in self._tries

    def _fill(self, kinds: tuple[Kind, ...], now_ns: int) -> list[Entry]:
        waiting = [e for kind in kinds for e in self._open[kind].values() if self._may_go(e, now_ns)]
        if len(kinds) > 1:
            waiting.sort(key=lambda entry: entry.key)
        send = []
        blocked = False
        for entry in waiting:
            # When the window is full an emergency overtakes; all others keep their order.
            if blocked and not entry.urgent:
                continue
            if len(self._sent) >= self._places(entry) or self._is_behind(entry):
                blocked = True
                continue
            self._sent[entry.key] = now_ns
            send.append(entry)
        return send

    def _is_behind(self, entry: Entry) -> bool:
        """Whether it must wait until another of its kind has been heard."""
        if entry.urgent or entry.kind in self._heard or entry.kind not in AGAIN_NS:
            return False
        return any(e.key in self._sent and not e.urgent for e in self._open[entry.kind].values())

    def _places(self, entry: Entry) -> int:
        """How much of the window an entry may fill: an emergency always finds a place."""
        if entry.urgent:
            return self._window
        if entry.kind is Kind.VERDICT:
            return max(1, self._window - RESERVED) if self._window else 0
        return max(1, self._window // 2) if self._window else 0


def _is_over(entry: Entry, now_ns: int) -> bool:
    return entry.valid_until_ns is not None and now_ns >= entry.valid_until_ns


def _since(sent_ns: int | None, now_ns: int) -> int | None:
    return None if sent_ns is None else now_ns - sent_ns


def _delivery(entry: Entry, state: DeliveryState, now_ns: int) -> Delivery:
    return Delivery(verdict_id=entry.verdict_id, part_id=entry.part_id, state=state, at_ns=now_ns)
