"""The arbiter's journal on its way to the recorder, so that a recorder that died misses nothing.

The last seconds are kept; a recorder that comes (back) gets them again, with all that was taken
while it was away. One that stands still is sent no more than its topic holds, until it says what it
has: a gap in the journal would end what a replay can compare. The reader of a session skips what it
has twice, by epoch and sequence number.
"""

from collections import deque

from inspector.bus import Publisher
from inspector.clock import NS_PER_S
from inspector.types import (
    Command,
    FrameResult,
    Health,
    JournalEntry,
    Message,
    Opinion,
    PartTrigger,
    Resumed,
    SensorEvent,
    ServiceState,
)

RECORDER = "recorder"
_KEEP_NS = 5 * NS_PER_S  # a killed recorder loses up to a second, and is noticed within one
_KEEP_ENTRIES = 20_000
_BURST = 64
_IN_FLIGHT = 96  # below the depth of the topic
_NO_WORD_NS = 5 * NS_PER_S  # longer than the supervisor lets a recorder stand still: its word was lost


def entry_of(seq: int, epoch: str, now_ns: int, item: Message | None) -> JournalEntry:
    """Return the entry of an input; None is a tick of the clock."""
    return JournalEntry(
        seq=seq,
        epoch=epoch,
        now_ns=now_ns,
        trigger=item if isinstance(item, PartTrigger) else None,
        result=item if isinstance(item, FrameResult) else None,
        event=item if isinstance(item, SensorEvent) else None,
        opinion=item if isinstance(item, Opinion) else None,
        command=item if isinstance(item, Command) else None,
        health=item if isinstance(item, Health) else None,
        resumed=item if isinstance(item, Resumed) else None,
    )


class Journal:
    """Belongs to the arbiter's thread. Call `step` in every turn of the loop."""

    def __init__(self, publisher: Publisher[JournalEntry]) -> None:
        self._publisher = publisher
        self._kept: deque[JournalEntry] = deque(maxlen=_KEEP_ENTRIES)
        self._unsent: deque[JournalEntry] = deque(maxlen=_KEEP_ENTRIES)
        self._in_flight: deque[int] = deque()
        self._word_ns = 0  # since when we wait for one
        self._up = False
        self.overrun = 0

    def take(self, entry: JournalEntry) -> None:
        """Journal one entry."""
        if len(self._unsent) == self._unsent.maxlen:
            self.overrun += 1
        self._unsent.append(entry)

    def see(self, health: Health) -> bool:
        """Learn whether the recorder is there. Returns whether it has just come up.

        Words that lie there then are of the one before it, and not to be given to `taken`: they would
        count as there what is only being sent again.
        """
        if health.service != RECORDER:
            return False
        was_up, self._up = self._up, health.state in {ServiceState.READY, ServiceState.DEGRADED}
        if self._up and not was_up:
            self._in_flight.clear()
            again, self._kept = self._kept, deque(maxlen=_KEEP_ENTRIES)
            self._unsent = deque((*again, *self._unsent), maxlen=_KEEP_ENTRIES)
        return self._up and not was_up

    def taken(self, seq: int, now_ns: int) -> None:
        """Learn that the recorder has everything up to `seq`."""
        while self._in_flight and self._in_flight[0] <= seq:
            self._in_flight.popleft()
        self._word_ns = now_ns

    def step(self, now_ns: int) -> bool:
        """Send what can be sent now. Returns whether there is more."""
        while self._kept and self._kept[0].now_ns < now_ns - _KEEP_NS and self._up:
            self._kept.popleft()
        if not self._in_flight:
            self._word_ns = now_ns
        elif now_ns - self._word_ns > _NO_WORD_NS:
            self._in_flight.clear()
        for _ in range(min(_BURST, _IN_FLIGHT - len(self._in_flight))):
            if not (self._up and self._unsent):
                break
            entry = self._unsent.popleft()
            self._publisher.send(entry)
            self._kept.append(entry)
            self._in_flight.append(entry.seq)
        return self._up and bool(self._unsent)
