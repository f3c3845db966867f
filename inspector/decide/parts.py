"""The parts of the line: those that are open, and the names of those that were judged."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from inspector.config import DecisionConfig
from inspector.decide.states import PartState
from inspector.types import Opinion, PartTrigger

NS_PER_MS = 1_000_000
REMEMBERED = 4096  # judged parts, so that a repeated trigger is not a second part
SAME_PART_NS = 1_000_000_000  # a trigger that comes twice has one time, but for two readings of UTC


@dataclass(slots=True)
class Part:
    """One part on its way to its verdict."""

    trigger: PartTrigger
    deadline_ns: int
    due_ns: int  # decide now at the latest, so that the verdict is there by the deadline
    wake_ns: int
    state: PartState = PartState.UNKNOWN
    opinion: Opinion | None = None


class Parts:
    """Open parts by name, and the memory of judged ones."""

    def __init__(self, policy: DecisionConfig) -> None:
        self._deadline_ns = policy.deadline_ms * NS_PER_MS
        self._margin_ns = policy.delivery_margin_ms * NS_PER_MS
        self._open: dict[str, Part] = {}
        self._judged: OrderedDict[str, int] = OrderedDict()  # to its trigger

    @property
    def next_wakeup_ns(self) -> int | None:
        """When the first part wants to be looked at again."""
        return min((part.wake_ns for part in self._open.values()), default=None)

    def knows(self, trigger: PartTrigger) -> bool:
        """Whether the part is open or was judged. A PLC that counts from 1 again makes new parts."""
        if trigger.part_id in self._open:
            return True
        judged_ns = self._judged.get(trigger.part_id)
        return judged_ns is not None and abs(trigger.trigger_ns - judged_ns) < SAME_PART_NS

    def get(self, part_id: str) -> Part | None:
        """Return an open part."""
        return self._open.get(part_id)

    def open(self, trigger: PartTrigger) -> Part:
        """Take a part that is not known."""
        deadline_ns = trigger.trigger_ns + self._deadline_ns
        due_ns = deadline_ns - self._margin_ns
        part = self._open[trigger.part_id] = Part(trigger, deadline_ns, due_ns, wake_ns=due_ns)
        return part

    def close(self, part_id: str) -> None:
        """The part has its verdict."""
        self.remember(part_id, self._open.pop(part_id).trigger.trigger_ns)

    def remember(self, part_id: str, trigger_ns: int) -> None:
        """The part has, or had, its verdict."""
        self._judged.pop(part_id, None)
        if len(self._judged) == REMEMBERED:
            self._judged.popitem(last=False)
        self._judged[part_id] = trigger_ns

    def open_ids(self) -> set[str]:
        return set(self._open)

    def due(self, now_ns: int) -> set[str]:
        """Return the open parts that wanted to be looked at by now."""
        return {part_id for part_id, part in self._open.items() if part.wake_ns <= now_ns}

    def near(self, at_ns: int, within_ns: int) -> set[str]:
        """Return the open parts whose trigger lies near a time."""
        return {
            part_id
            for part_id, part in self._open.items()
            if abs(part.trigger.trigger_ns - at_ns) <= within_ns
        }

    def in_order(self, part_ids: Iterable[str]) -> list[Part]:
        """Return those of them that are open, by time."""
        parts = [self._open[part_id] for part_id in part_ids if part_id in self._open]
        parts.sort(key=lambda part: (part.trigger.trigger_ns, part.trigger.part_id))
        return parts
