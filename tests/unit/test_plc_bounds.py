"""What bounds the link: queues topic by topic, faults by time, waits by backoff."""

from random import Random

from inspector.clock import NS_PER_S
from inspector.plc.backoff import FIRST_S, LAST_S, Backoff
from inspector.plc.fault_log import EVERY_NS, FaultLog
from inspector.plc.inbox import MAX_BYTES, Inbox
from inspector.topics import MAX_DEPTH


def test_messages_come_out_in_the_order_of_arrival() -> None:
    inbox = Inbox({"a": MAX_BYTES, "b": MAX_BYTES})
    for n, topic in enumerate(["b", "a", "x", "b", "y"]):
        inbox.put(topic, b"%d" % n, False, n)
    assert [(r.topic, r.received_ns) for r in inbox.take_all()] == [
        ("b", 0),
        ("a", 1),
        ("x", 2),
        ("b", 3),
        ("y", 4),
    ]
    assert inbox.take_all() == []


def test_a_flood_on_one_topic_pushes_out_only_its_own_oldest() -> None:
    inbox = Inbox({"mad": MAX_BYTES, "estop": MAX_BYTES})
    inbox.put("estop", b"stop", False, 0)
    for n in range(1, 1001):
        inbox.put("mad", b"%d" % n, False, n)
        inbox.put(f"ghost{n}", b"", False, n)
    taken = inbox.take_all()
    assert taken[0].payload == b"stop"
    assert [r.received_ns for r in taken if r.topic == "mad"] == list(range(1001 - MAX_DEPTH, 1001))
    assert inbox.dropped == {"mad": 1000 - MAX_DEPTH, "": 1000 - MAX_DEPTH}


def test_a_huge_payload_is_not_kept() -> None:
    inbox = Inbox({})
    inbox.put("x", b"x" * 10**6, False, 0)
    assert len(inbox.take_all()[0].payload) == MAX_BYTES + 1


def test_a_fault_is_told_at_once_and_then_rarely_with_its_number() -> None:
    log = FaultLog("plc")
    log.add("MESSAGE_REFUSED", "first")
    (fault,) = log.take(5 * NS_PER_S)
    assert (fault.service, fault.code, fault.text) == ("plc", "MESSAGE_REFUSED", "first")
    for n in range(1000):
        log.add("MESSAGE_REFUSED", f"number {n}")
    log.add("BROKER_LOST", "gone")
    assert [f.code for f in log.take(6 * NS_PER_S)] == ["BROKER_LOST"]
    (fault,) = log.take(5 * NS_PER_S + EVERY_NS)
    assert fault.text == "number 999 (1000 times, last)"
    assert log.take(10**18) == []


def test_waits_grow_to_a_bound_with_jitter_and_start_again() -> None:
    backoff = Backoff(Random(1))
    waits = [backoff.next_s() for _ in range(20)]
    assert FIRST_S / 2 <= waits[0] <= FIRST_S
    assert all(LAST_S / 2 <= wait <= LAST_S for wait in waits[8:])
    assert len(set(waits)) == 20
    backoff.reset()
    assert backoff.next_s() <= FIRST_S
