"""Verdicts that wait for the language model: few, the most urgent and newest first. Pure."""

from inspector.types import Action, VerdictRecord

_URGENCY = {Action.STOP: 3, Action.REJECT: 2, Action.HOLD: 1, Action.PASS: 0}


class Backlog:
    """At most `capacity` verdicts, each for `patience_ns` after it was decided."""

    def __init__(self, *, capacity: int, patience_ns: int) -> None:
        self._capacity = capacity
        self._patience_ns = patience_ns
        self._waiting: list[VerdictRecord] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def deadline_ns(self, record: VerdictRecord) -> int:
        """Return when an explanation of `record` is of no use any more."""
        return record.verdict.decided_ns + self._patience_ns

    def put(self, record: VerdictRecord) -> list[VerdictRecord]:
        """Add `record`; return what had to go for it: the least urgent, oldest."""
        self._waiting.append(record)
        self._waiting.sort(key=_order)
        gone = self._waiting[: -self._capacity]
        self._waiting = self._waiting[-self._capacity :]
        return gone

    def take(self) -> VerdictRecord | None:
        """Return the most urgent, newest of the waiting and remove it; None when there is none."""
        return self._waiting.pop() if self._waiting else None

    def expire(self, now_ns: int) -> list[VerdictRecord]:
        """Return, and remove, those whose deadline has passed."""
        gone = [record for record in self._waiting if self.deadline_ns(record) <= now_ns]
        self._waiting = [record for record in self._waiting if self.deadline_ns(record) > now_ns]
        return gone


def _order(record: VerdictRecord) -> tuple[int, int, int]:
    verdict = record.verdict
    return (_URGENCY[verdict.action], verdict.decided_ns, verdict.seq)
