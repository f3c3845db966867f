"""Feed a session's journal to a decider again, and compare its verdicts with the recorded ones.

The arbiter decides from its inputs and their times alone, so the same journal must give the same
verdicts, bit for bit. What cannot be compared is counted, never guessed:

- A gap in the journal's sequence (the recorder was down) leaves the arbiter's state unknown, so
  nothing is compared from there to the arbiter's next start, which begins a new epoch.
- A verdict decided after the last journal entry: its entry was lost with the end of the recording.
- A replayed verdict where the recorded verdicts' own sequence has a hole was lost on the way.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from inspector import topics
from inspector.errors import DataError
from inspector.store.reader import SessionReader
from inspector.types import JournalEntry, Verdict, VerdictRecord

SHOWN = 10
_NEVER_NS = 1 << 63
_REPEATS = 256  # how far back a verdict may be handed to the recorder a second time


class Decider(Protocol):
    """The arbiter's logic without clock and I/O."""

    def step(self, entry: JournalEntry) -> tuple[Verdict, ...]:
        """Take one input and return the verdicts that it brings about."""
        ...


class DeciderFactory(Protocol):
    """Makes the decider of one epoch from what was recorded as `arbiter_setup`."""

    def __call__(self, setup: dict[str, Any], epoch: str, /) -> Decider: ...


@dataclass(frozen=True, slots=True)
class Gap:
    """Journal entries `first_seq` to `last_seq` of an epoch are not there."""

    epoch: str
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One verdict that came out otherwise. `fields` maps a name to (recorded, replayed).

    None stands for a verdict that only the other side has.
    """

    verdict_id: str
    part_id: str
    recorded: Verdict | None
    replayed: Verdict | None

    @property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """The fields that differ; empty when one side has no verdict."""
        if self.recorded is None or self.replayed is None:
            return {}
        pairs = {
            name: (getattr(self.recorded, name), getattr(self.replayed, name))
            for name in self.recorded.__struct_fields__
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(slots=True)
class ReplayReport:
    """What a replay found. `differences` are the first ones, `different` counts all.

    `not_compared` are recorded verdicts that the journal does not cover; `unrecorded` are
    replayed verdicts that the recording lost.
    """

    entries: int = 0
    epochs: int = 0
    recorded: int = 0
    equal: int = 0
    different: int = 0
    not_compared: int = 0
    unrecorded: int = 0
    gaps: list[Gap] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """Verdicts compared."""
        return self.equal + self.different

    @property
    def exact(self) -> bool:
        """True if no verdict differs, and there was something to compare or nothing at all."""
        return self.different == 0 and (self.equal > 0 or self.recorded == 0)


def replay_session(
    reader: SessionReader,
    make_decider: DeciderFactory,
    progress: Callable[[int], None] | None = None,
    pace: Callable[[int], None] | None = None,
) -> ReplayReport:
    """Replay a session. `progress` is called with bytes read, of `reader.message_bytes`.

    `pace` is called with the time of each input (CLOCK_MONOTONIC of then) before it is taken; it
    may wait, which changes nothing: the arbiter's time is that of the recording.

    Raises DataError if the session has no journal or holds messages of another version.
    """
    run = _Replay(make_decider, reader.meta.info.arbiter_setup)
    wanted = (topics.JOURNAL, topics.VERDICTS)
    for _, message in reader.merged(*wanted, progress=progress):
        if isinstance(message, JournalEntry):
            if pace is not None:
                pace(message.now_ns)
            run.entry(message)
        else:
            run.recorded(message)
    if run.report.entries == 0:
        raise DataError(f"{reader.path}: no journal to replay; the recorder must run while the arbiter does")
    return run.finish()


@dataclass(slots=True)
class _Hole:
    """Recorded verdicts number `first` to `last`, decided in [`from_ns`, `to_ns`], are missing."""

    first: int
    last: int
    from_ns: int
    to_ns: int


class _Replay:
    """Matches two streams by verdict id; keeps only what has no partner yet."""

    def __init__(self, make_decider: DeciderFactory, setup: dict[str, Any]) -> None:
        self.report = ReplayReport()
        self._make = make_decider
        self._setup = setup
        self._decider: Decider | None = None  # None while the arbiter's state is unknown
        self._epoch: str | None = None
        self._last_seq = 0
        self._last_ns = 0
        self._blind: list[tuple[int, int]] = []  # (from, to) ns, exclusive
        self._ours: dict[str, Verdict] = {}
        self._theirs: dict[str, Verdict] = {}
        self._matched: deque[str] = deque(maxlen=_REPEATS)
        self._last_recorded: Verdict | None = None
        self._holes: list[_Hole] = []

    def entry(self, entry: JournalEntry) -> None:
        self.report.entries += 1
        if entry.epoch != self._epoch:
            self._begin_epoch(entry)
        elif entry.seq <= self._last_seq:
            return  # handed to the recorder twice
        elif entry.seq != self._last_seq + 1:
            self._lose_sight(entry)
        self._last_seq = entry.seq
        self._last_ns = entry.now_ns
        if self._decider is not None:
            for verdict in self._decider.step(entry):
                self._pair(verdict, self._ours, self._theirs)

    def recorded(self, record: VerdictRecord) -> None:
        verdict = record.verdict
        if verdict.verdict_id in self._theirs or verdict.verdict_id in self._matched:
            return  # handed to the recorder twice
        self.report.recorded += 1
        self._note_hole(verdict)
        self._pair(verdict, self._theirs, self._ours)

    def finish(self) -> ReplayReport:
        """Judge what found no partner."""
        self._close_blind(_NEVER_NS)
        last = self._last_recorded
        after = (0, 0) if last is None else (last.seq + 1, last.decided_ns)
        self._holes.append(_Hole(after[0], _NEVER_NS, after[1], _NEVER_NS))
        for verdict in self._theirs.values():
            if any(start < verdict.decided_ns < end for start, end in self._blind):
                self.report.not_compared += 1
            else:
                self._differ(Difference(verdict.verdict_id, verdict.part_id, verdict, None))
        for verdict in self._ours.values():
            if any(
                hole.first <= verdict.seq <= hole.last and hole.from_ns <= verdict.decided_ns <= hole.to_ns
                for hole in self._holes
            ):
                self.report.unrecorded += 1
            else:
                self._differ(Difference(verdict.verdict_id, verdict.part_id, None, verdict))
        return self.report

    def _begin_epoch(self, entry: JournalEntry) -> None:
        self._close_blind(entry.now_ns)
        self.report.epochs += 1
        self._epoch = entry.epoch
        self._decider = self._make(self._setup, entry.epoch)
        if entry.seq != 1:
            self._last_seq = 0
            self._lose_sight(entry)

    def _lose_sight(self, entry: JournalEntry) -> None:
        self.report.gaps.append(Gap(entry.epoch, self._last_seq + 1, entry.seq - 1))
        if self._decider is not None:
            self._decider = None
            self._blind.append((self._last_ns, _NEVER_NS))

    def _close_blind(self, now_ns: int) -> None:
        """End the blind time at the arbiter's next start, or the end.

        What the old epoch decided after its last entry cannot be compared either.
        """
        if self._epoch is None:
            return
        start = self._blind.pop()[0] if self._decider is None else self._last_ns
        self._blind.append((start, now_ns))

    def _note_hole(self, verdict: Verdict) -> None:
        last, self._last_recorded = self._last_recorded, verdict
        after_seq, after_ns = (0, 0) if last is None else (last.seq, last.decided_ns)
        if last is not None and verdict.seq <= last.seq:  # the arbiter began again
            self._holes.append(_Hole(last.seq + 1, _NEVER_NS, after_ns, verdict.decided_ns))
            after_seq = 0
        if verdict.seq > after_seq + 1:
            self._holes.append(_Hole(after_seq + 1, verdict.seq - 1, after_ns, verdict.decided_ns))

    def _pair(self, verdict: Verdict, mine: dict[str, Verdict], other: dict[str, Verdict]) -> None:
        partner = other.pop(verdict.verdict_id, None)
        if partner is None:
            mine[verdict.verdict_id] = verdict
            return
        self._matched.append(verdict.verdict_id)
        if partner == verdict:
            self.report.equal += 1
            return
        ours, theirs = (verdict, partner) if mine is self._ours else (partner, verdict)
        self._differ(Difference(verdict.verdict_id, verdict.part_id, theirs, ours))

    def _differ(self, difference: Difference) -> None:
        self.report.different += 1
        if len(self.report.differences) < SHOWN:
            self.report.differences.append(difference)
