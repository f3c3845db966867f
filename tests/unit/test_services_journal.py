"""The journal catches a restarted recorder up: every entry arrives, in order, at least once."""

import os
from collections.abc import Iterator

import pytest

from inspector.bus import Bus, sweep
from inspector.clock import NS_PER_S
from inspector.services.journal import Journal
from inspector.topics import JOURNAL
from inspector.types import Health, JournalEntry, ServiceState


@pytest.fixture
def bus() -> Iterator[Bus]:
    domain = str(os.getpid())
    with Bus(domain, "journal") as bus:
        yield bus
    sweep(domain)


def entry(seq: int, now_ns: int | None = None) -> JournalEntry:
    return JournalEntry(seq=seq, epoch="e", now_ns=seq if now_ns is None else now_ns)


def recorder(state: ServiceState) -> Health:
    return Health(service="recorder", pid=1, state=state, detail="", at_ns=0, counters={})


def test_nothing_is_sent_before_the_recorder_is_there_and_then_all_of_it(bus: Bus) -> None:
    journal, subscriber = Journal(bus.publisher(JOURNAL)), bus.subscriber(JOURNAL)
    for seq in range(1, 301):
        journal.take(entry(seq))
    assert not journal.step(0)
    assert list(subscriber.drain()) == []
    journal.see(recorder(ServiceState.READY))
    got: list[int] = []
    while journal.step(0):
        got += [each.seq for each in subscriber.drain()]
        journal.taken(got[-1], 0)
    got += [each.seq for each in subscriber.drain()]
    assert got == list(range(1, 301))
    assert subscriber.dropped == 0


def test_a_recorder_that_stands_still_misses_nothing(bus: Bus) -> None:
    journal, subscriber = Journal(bus.publisher(JOURNAL)), bus.subscriber(JOURNAL)
    journal.see(recorder(ServiceState.READY))
    for seq in range(1, 1001):  # a storm, and nobody reads
        journal.take(entry(seq))
        journal.step(seq)
    got = [each.seq for each in subscriber.drain()]
    assert 64 <= len(got) <= 128
    journal.taken(got[-1], 1001)
    while journal.step(1001):
        got += [each.seq for each in subscriber.drain()]
        journal.taken(got[-1], 1001)
    got += [each.seq for each in subscriber.drain()]
    assert got == list(range(1, 1001))
    assert subscriber.dropped == 0


def test_a_word_of_the_recorder_that_was_lost_does_not_end_the_journal(bus: Bus) -> None:
    journal, subscriber = Journal(bus.publisher(JOURNAL)), bus.subscriber(JOURNAL)
    journal.see(recorder(ServiceState.READY))
    for seq in range(1, 151):
        journal.take(entry(seq))
        journal.step(0)
    got = [each.seq for each in subscriber.drain()]
    assert journal.step(4 * NS_PER_S)
    assert list(subscriber.drain()) == []
    assert not journal.step(6 * NS_PER_S)
    assert got + [each.seq for each in subscriber.drain()] == list(range(1, 151))


def test_it_says_when_a_recorder_has_come_up_whose_forerunners_words_count_no_more(bus: Bus) -> None:
    journal = Journal(bus.publisher(JOURNAL))
    ready, degraded, dead = ServiceState.READY, ServiceState.DEGRADED, ServiceState.DEAD
    came_up = [journal.see(recorder(state)) for state in (ready, degraded, dead, ready, ready)]
    assert came_up == [True, False, False, True, False]


def test_a_recorder_that_died_gets_the_last_seconds_again(bus: Bus) -> None:
    journal, subscriber = Journal(bus.publisher(JOURNAL)), bus.subscriber(JOURNAL)
    journal.see(recorder(ServiceState.READY))
    for second in range(20):
        journal.take(entry(second, second * NS_PER_S))
        journal.step(second * NS_PER_S)
    list(subscriber.drain())
    journal.see(recorder(ServiceState.DEAD))
    journal.take(entry(20, 20 * NS_PER_S))
    journal.step(20 * NS_PER_S)
    assert list(subscriber.drain()) == []
    journal.see(recorder(ServiceState.READY))
    journal.step(21 * NS_PER_S)
    again = [each.seq for each in subscriber.drain()]
    assert again == sorted(again)
    assert again[0] <= 15
    assert again[-2:] == [19, 20]
