"""The outbox: what is sent, in which order, and never after its validity."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inspector.clock import NS_PER_MS
from inspector.plc.outbox import (
    AGAIN_NS,
    BOUND,
    MAX_TRIES,
    RESERVED,
    STALL_NS,
    Answer,
    Entry,
    Kind,
    Outbox,
    Step,
)
from inspector.types import DeliveryState


def entry(key: int, valid_until_ns: int = 10**18, *, urgent: bool = False) -> Entry:
    return Entry(
        key=key,
        kind=Kind.VERDICT,
        payload=b"{}",
        verdict_id=f"v{key}",
        part_id=f"p{key}",
        valid_until_ns=valid_until_ns,
        urgent=urgent,
    )


def bulk(key: int, kind: Kind = Kind.EXPLANATION) -> Entry:
    return Entry(key=key, kind=kind, payload=b"{}")


def keys(step: Step) -> list[int]:
    return [e.key for e in step.send]


def connected(window: int = 20) -> Outbox:
    """An outbox on a connection where the PLC has been heard of."""
    outbox = Outbox()
    outbox.connected(window)
    outbox.put(entry(-1))
    outbox.step(0)
    outbox.delivered(-1, 0)
    return outbox


def test_a_verdict_goes_at_once() -> None:
    outbox = connected()
    outbox.put(entry(1))
    assert keys(outbox.step(0)) == [1]
    assert keys(outbox.step(0)) == []
    delivery = outbox.delivered(1, 5)
    assert delivery is not None
    assert (delivery.verdict_id, delivery.state) == ("v1", DeliveryState.DELIVERED)
    assert len(outbox) == 0


def test_after_an_outage_the_valid_go_in_order_and_the_expired_never() -> None:
    outbox = connected()
    outbox.put(entry(1, valid_until_ns=100))
    outbox.step(0)  # sent, and its acknowledgement is lost
    outbox.lost()
    outbox.put(entry(2, valid_until_ns=300))
    outbox.put(entry(3, valid_until_ns=110))
    outbox.put(entry(4, valid_until_ns=300))
    assert outbox.step(50) == Step()
    outbox.connected(20)
    step = outbox.step(200)
    assert [e.key for e in step.expired] == [1, 3]
    assert keys(step) == [2], "one alone, until it is known that the PLC is back"
    outbox.delivered(2, 210)
    assert keys(outbox.step(210)) == [4]


def test_expiry_is_told_during_the_outage() -> None:
    outbox = Outbox()
    outbox.put(entry(1, valid_until_ns=100))
    assert outbox.next_due_ns() == 100
    assert outbox.step(99) == Step()
    assert [e.key for e in outbox.step(100).expired] == [1]


def test_verdicts_go_before_what_else_waits() -> None:
    outbox = Outbox()
    for key, kind in ((1, Kind.EXPLANATION), (2, Kind.FAULT), (3, Kind.UNDELIVERED)):
        outbox.put(bulk(key, kind))
    outbox.put(entry(4))
    outbox.connected(20)
    assert keys(outbox.step(0)) == [4, 1, 2, 3]


def test_an_emergency_finds_a_place_when_the_window_is_full() -> None:
    outbox = connected(10)
    for key in range(20):
        outbox.put(entry(key))
    assert keys(outbox.step(0)) == list(range(10 - RESERVED))
    outbox.put(entry(99, urgent=True))
    assert keys(outbox.step(0)) == [99]
    outbox.delivered(0, 1)
    outbox.delivered(1, 1)
    assert keys(outbox.step(2)) == [8]


def test_explanations_leave_half_of_the_window_to_verdicts() -> None:
    outbox = connected(10)
    for key in range(20):
        outbox.put(bulk(key))
    assert keys(outbox.step(0)) == [0, 1, 2, 3, 4]


def test_a_stalled_connection_is_cut_so_that_it_delivers_nothing_late() -> None:
    outbox = connected()
    outbox.put(entry(1, valid_until_ns=100))
    outbox.step(90)
    assert not outbox.step(100 + STALL_NS - 1).cut
    assert outbox.next_due_ns() == 100 + STALL_NS
    assert outbox.step(100 + STALL_NS) == Step(cut=True)
    outbox.lost()
    assert [e.key for e in outbox.step(100 + STALL_NS).expired] == [1]


def test_the_plc_may_be_faster_than_the_broker() -> None:
    outbox = connected()
    outbox.put(entry(1, valid_until_ns=100))
    outbox.step(0)
    key, delivery, latency_ns = outbox.acknowledged("v1", 5)
    assert (key, latency_ns) == (1, 5)
    assert delivery is not None
    assert delivery.state is DeliveryState.ACKNOWLEDGED
    outbox.lost()
    outbox.connected(20)
    assert outbox.step(200) == Step()  # neither sent again nor undelivered


def test_acknowledgements_of_what_nobody_knows_are_counted() -> None:
    outbox = connected()
    assert outbox.acknowledged("v1", 5) == Answer()
    outbox.await_ack("v1", "p1")
    key, delivery, latency_ns = outbox.acknowledged("v1", 5)
    assert latency_ns is None, "it was sent before the restart"
    assert key is None
    assert delivery is not None
    assert delivery.part_id == "p1"
    assert outbox.acknowledged("v1", 6) == Answer()
    assert outbox.counters["ack_unknown"] == 2


def test_the_oldest_explanations_go_when_there_are_too_many() -> None:
    outbox = Outbox()
    dropped = [e.key for key in range(BOUND[Kind.EXPLANATION] + 3) for e in outbox.put(bulk(key))]
    assert dropped == [0, 1, 2]
    assert outbox.counters["explanation_dropped"] == 3


def test_what_the_broker_refuses_is_closed() -> None:
    outbox = connected()
    outbox.put(entry(1))
    outbox.step(0)
    refused = outbox.refused(1)
    assert refused is not None
    assert outbox.step(1) == Step()
    assert outbox.refused(1) is None


def test_a_verdict_that_nobody_heard_is_sent_again_while_it_is_valid() -> None:
    outbox = connected()
    outbox.put(entry(1, valid_until_ns=3 * AGAIN_NS[Kind.VERDICT]))
    assert keys(outbox.step(0)) == [1]
    assert outbox.unheard(1, 10) == entry(1, valid_until_ns=3 * AGAIN_NS[Kind.VERDICT])
    due_ns = 10 + AGAIN_NS[Kind.VERDICT]
    assert outbox.next_due_ns() == due_ns
    outbox.put(entry(2))
    assert keys(outbox.step(due_ns - 1)) == [], "in order, so the next one waits with it"
    outbox.put(entry(3, urgent=True))
    assert keys(outbox.step(due_ns - 1)) == [3], "an emergency does not"
    assert keys(outbox.step(due_ns)) == [1], "the next one must not overtake it"
    outbox.unheard(1, due_ns)
    expired = outbox.step(3 * AGAIN_NS[Kind.VERDICT]).expired
    assert [e.key for e in expired] == [1]


def test_a_notice_that_nobody_wants_is_given_up_in_the_end() -> None:
    outbox = connected()
    outbox.put(bulk(1, Kind.UNDELIVERED))
    now_ns = tries = 0
    while keys(outbox.step(now_ns)) == [1]:
        tries += 1
        if outbox.unheard(1, now_ns) is None:
            outbox.delivered(1, now_ns)
        now_ns += AGAIN_NS[Kind.UNDELIVERED]
    assert tries == MAX_TRIES
    assert len(outbox) == 0


def test_an_explanation_that_nobody_wants_is_done() -> None:
    outbox = connected()
    outbox.put(bulk(1))
    outbox.step(0)
    assert outbox.unheard(1, 0) is None


class Broker(RuleBasedStateMachine):
    """Any order of verdicts, outages, acknowledgements and time."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox()
        self.now_ns = 0
        self.window = 0
        self.put: dict[int, Entry] = {}
        self.ended: dict[int, str] = {}
        self.flying: list[int] = []
        self.sent_on_this_connection: list[int] = []

    @rule(valid_ms=st.integers(-5, 400), urgent=st.booleans())
    def verdict(self, valid_ms: int, urgent: bool) -> None:
        self._put(entry(len(self.put), self.now_ns + valid_ms * NS_PER_MS, urgent=urgent))

    @rule(kind=st.sampled_from([Kind.EXPLANATION, Kind.FAULT, Kind.UNDELIVERED]))
    def other(self, kind: Kind) -> None:
        self._put(bulk(len(self.put), kind))

    @rule(ms=st.integers(0, 800))
    def time(self, ms: int) -> None:
        self.now_ns += ms * NS_PER_MS

    @precondition(lambda self: self.window == 0)
    @rule(window=st.integers(1, 8))
    def connect(self, window: int) -> None:
        self.window = window
        self.outbox.connected(window)

    @rule()
    def lose(self) -> None:
        self.window = 0
        self.flying.clear()
        self.sent_on_this_connection.clear()
        self.outbox.lost()

    @precondition(lambda self: self.flying)
    @rule(which=st.integers(0, 100))
    def puback(self, which: int) -> None:
        key = self.flying.pop(which % len(self.flying))
        delivery = self.outbox.delivered(key, self.now_ns)
        if key in self.ended:
            assert delivery is None
            return
        assert (delivery is not None) == (self.put[key].kind is Kind.VERDICT)
        self.ended[key] = "delivered"

    @precondition(lambda self: self.flying)
    @rule(which=st.integers(0, 100))
    def nobody_listens(self, which: int) -> None:
        key = self.flying[which % len(self.flying)]
        if self.outbox.unheard(key, self.now_ns) is None:
            self.puback(which)
            return
        self.flying.remove(key)
        self.sent_on_this_connection.clear()

    @precondition(lambda self: self.put)
    @rule(which=st.integers(0, 1000))
    def plc_ack(self, which: int) -> None:
        key = which % len(self.put)
        closed, delivery, _ = self.outbox.acknowledged(self.put[key].verdict_id, self.now_ns)
        if closed is not None:
            assert closed == key
            assert key not in self.ended
            assert delivery is not None
            self.ended[key] = "acknowledged"

    @rule()
    def step(self) -> None:
        step = self.outbox.step(self.now_ns)
        for e in step.expired:
            assert e.kind is Kind.VERDICT
            assert e.valid_until_ns is not None
            assert self.now_ns >= e.valid_until_ns
            assert e.key not in self.ended
            self.ended[e.key] = "expired"
        for e in step.send:
            assert self.window > 0
            assert e.key not in self.ended
            assert e.valid_until_ns is None or self.now_ns < e.valid_until_ns
            assert e.key not in self.sent_on_this_connection
            if not e.urgent:
                same = [
                    k
                    for k in self.sent_on_this_connection
                    if self.put[k].kind is e.kind and not self.put[k].urgent
                ]
                assert all(k < e.key for k in same), "order kept"
            self.sent_on_this_connection.append(e.key)
            self.flying.append(e.key)
        if step.cut:
            assert not step.send
            self.lose()

    @invariant()
    def the_window_holds(self) -> None:
        assert len(self.flying) <= max(self.window, 0)

    @invariant()
    def nothing_is_lost(self) -> None:
        open_keys = {e.key for e in self.outbox.entries()}
        assert open_keys == self.put.keys() - self.ended.keys()

    def teardown(self) -> None:
        # In the end every verdict has gone exactly one way, and nothing waits for ever.
        self.lose()
        self.now_ns += 10**12
        self.step()
        self.connect(8)
        for _ in range(len(self.put) + 1):
            self.step()
            while self.flying:
                self.puback(0)
        assert self.ended.keys() == self.put.keys()

    def _put(self, e: Entry) -> None:
        self.put[e.key] = e
        assert self.outbox.put(e) == ()


Broker.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOutboxWithAnyBroker = Broker.TestCase
