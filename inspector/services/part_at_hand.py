"""Which part a person speaks of: the last one that had been triggered when he began. Pure."""

from collections import deque
from collections.abc import Iterable

from inspector.clock import NS_PER_MS
from inspector.config import ModalityConfig
from inspector.types import PartTrigger, Statement

_KEPT = 256


class PartAtHand:
    """Remembers the last triggers. One thread."""

    def __init__(self, modalities: Iterable[ModalityConfig]) -> None:
        self._reach_ns = {each.sensor: each.reach_ms * NS_PER_MS for each in modalities}
        self._triggers: deque[int] = deque(maxlen=_KEPT)

    def see(self, trigger: PartTrigger) -> None:
        """Take a trigger."""
        self._triggers.append(trigger.trigger_ns)

    def about_ns(self, statement: Statement) -> int | None:
        """Return the time that a statement is about: a part's trigger, or its own where it has no reach.

        None when there was no part within its reach.
        """
        reach_ns = self._reach_ns.get(statement.sensor_id, 0)
        if reach_ns == 0:
            return statement.begun_ns
        before = [at_ns for at_ns in self._triggers if at_ns <= statement.begun_ns]
        last_ns = max(before, default=None)
        return None if last_ns is None or statement.begun_ns - last_ns > reach_ns else last_ns
