"""The arbiter's journal on its way to the recorder, so that a recorder that died misses nothing.

The last seconds are kept; a recorder that comes (back) gets them again, with all that was taken
while it was away. The reader of a session skips what it has twice, by epoch and sequence number.
"""

from collections import deque

from inspector.bus import Publisher
from inspector.clock import NS_PER_S
from inspector.types import Health, JournalEntry, ServiceState

RECORDER = "recorder"
_KEEP_NS = 5 * NS_PER_S  # a killed recorder loses up to a second, and is noticed within one
_KEEP_ENTRIES = 20_000
_BURST = 64  # below the depth of the topic, so that catching up does not overrun the reader


class Journal:
    """Belongs to the arbiter's thread. Call `step` in every turn of the loop."""

    def __init__(self, publisher: Publisher[JournalEntry]) -> None:
        self._publisher = publisher
        self._kept: deque[JournalEntry] = deque(maxlen=_KEEP_ENTRIES)
        self._unsent: deque[JournalEntry] = deque(maxlen=_KEEP_ENTRIES)
        self._up = False
        self.overrun = 0

    def take(self, entry: JournalEntry) -> None:
        """Journal one entry."""
        if len(self._unsent) == self._unsent.maxlen:
            self.overrun += 1
        self._unsent.append(entry)

    def see(self, health: Health) -> None:
        """Learn whether the recorder is there."""
        if health.service != RECORDER:
            return
        was_up, self._up = self._up, health.state in {ServiceState.READY, ServiceState.DEGRADED}
        if self._up and not was_up:
            again, self._kept = self._kept, deque(maxlen=_KEEP_ENTRIES)
            self._unsent = deque((*again, *self._unsent), maxlen=_KEEP_ENTRIES)

    def step(self, now_ns: int) -> bool:
        """Send what can be sent now. Returns whether there is more."""
        while self._kept and self._kept[0].now_ns < now_ns - _KEEP_NS and self._up:
            self._kept.popleft()
        for _ in range(_BURST):
            if not (self._up and self._unsent):
                break
            entry = self._unsent.popleft()
            self._publisher.send(entry)
            self._kept.append(entry)
        return self._up and bool(self._unsent)
