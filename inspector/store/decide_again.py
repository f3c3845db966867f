"""Decide a recorded session again under other conditions: another policy, other results.

The inputs come in the recorded order and at the recorded times, so the answer is the same at any
speed and on any machine. Only the ticks of the clock are new, because another policy waits for
other times: the recorded ones are left out, and there is one whenever the arbiter asks for it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import msgspec

from inspector import topics
from inspector.errors import DataError
from inspector.store.reader import Progress, SessionReader
from inspector.types import FrameResult, JournalEntry, VerdictRecord

ResultKey = tuple[str, int, int]
"""camera_id, frame_id, received_ns: frame ids begin again with a camera."""

_MOST_TICKS = 10_000  # between two inputs; more means that the arbiter asks for a time that has passed


class WakingDecider(Protocol):
    """The arbiter's logic, which says when it wants the next tick."""

    @property
    def next_wakeup_ns(self) -> int | None: ...

    def decide(self, entry: JournalEntry) -> tuple[VerdictRecord, ...]:
        """Take one input and return the verdicts that it brings about."""
        ...


def key_of(result: FrameResult) -> ResultKey:
    return result.camera_id, result.frame_id, result.received_ns


def decide_again(
    reader: SessionReader,
    make: Callable[[str], WakingDecider],
    results: Mapping[ResultKey, FrameResult] | None = None,
    progress: Progress | None = None,
) -> Iterator[VerdictRecord]:
    """Yield the verdicts of the session's inputs, decided by what `make` gives for each epoch.

    A result of the same frame in `results` takes the place of the recorded one. Raises DataError if
    the session has no journal or holds messages of another version.
    """
    decider: WakingDecider | None = None
    epoch, last_seq = "", 0
    for _, entry in reader.merged(topics.JOURNAL, progress=progress):
        if decider is None or entry.epoch != epoch:
            if decider is not None:
                yield from _ticks(decider, epoch, None)
            decider, epoch, last_seq = make(entry.epoch), entry.epoch, 0
        if entry.seq <= last_seq:
            continue  # handed to the recorder twice
        last_seq = entry.seq
        yield from _ticks(decider, epoch, entry.now_ns)
        if not _is_tick(entry):
            yield from decider.decide(_with_result(entry, results or {}))
    if decider is None:
        raise DataError(f"{reader.path}: no journal to replay; the recorder must run while the arbiter does")
    yield from _ticks(decider, epoch, None)


def _ticks(decider: WakingDecider, epoch: str, until_ns: int | None) -> Iterator[VerdictRecord]:
    """Wake the decider whenever it asks for it before `until_ns` (None: until it asks no more)."""
    for _ in range(_MOST_TICKS):
        wake_ns = decider.next_wakeup_ns
        if wake_ns is None or (until_ns is not None and wake_ns >= until_ns):
            return
        yield from decider.decide(JournalEntry(seq=0, epoch=epoch, now_ns=wake_ns))


def _is_tick(entry: JournalEntry) -> bool:
    inputs = (name for name in entry.__struct_fields__ if name not in {"seq", "epoch", "now_ns"})
    return all(getattr(entry, name) is None for name in inputs)


def _with_result(entry: JournalEntry, results: Mapping[ResultKey, FrameResult]) -> JournalEntry:
    if entry.result is None or (other := results.get(key_of(entry.result))) is None:
        return entry
    return msgspec.structs.replace(entry, result=other)
