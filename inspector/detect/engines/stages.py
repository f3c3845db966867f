"""The stages of a run on a device, and how much of its copying is hidden. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

COPY_IN: Final = "copy in"
PREPARATION: Final = "preparation"
NETWORK: Final = "network"
DECODING: Final = "decoding"
COPY_OUT: Final = "copy out"
COPIES: Final = frozenset({COPY_IN, COPY_OUT})
"""The other stages are kernels."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one run in a slot, by the host's clock."""

    slot: int
    name: str
    start_ns: int
    end_ns: int


def copies_hidden(stages: Sequence[Stage]) -> float | None:
    """The share of the time of all copies in which kernels of another slot run; None without a copy.

    A copy that waits for the copy engine counts as long as it takes, waiting included.
    """
    copies = [stage for stage in stages if stage.name in COPIES]
    whole_ns = sum(copy.end_ns - copy.start_ns for copy in copies)
    if not whole_ns:
        return None
    busy = {slot: _Busy(stages, slot) for slot in {copy.slot for copy in copies}}
    return sum(busy[copy.slot].within_ns(copy.start_ns, copy.end_ns) for copy in copies) / whole_ns


class _Busy:
    """When kernels of any slot but one run: spans that do not meet, and the sum of those before each."""

    def __init__(self, stages: Sequence[Stage], but: int) -> None:
        kernels = sorted(
            (stage.start_ns, stage.end_ns)
            for stage in stages
            if stage.slot != but and stage.name not in COPIES and stage.end_ns > stage.start_ns
        )
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start_ns, end_ns in kernels:
            if self._ends and start_ns <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end_ns)
            else:
                self._starts.append(start_ns)
                self._ends.append(end_ns)
        self._before = [0]
        for start_ns, end_ns in zip(self._starts, self._ends, strict=True):
            self._before.append(self._before[-1] + end_ns - start_ns)

    def within_ns(self, start_ns: int, end_ns: int) -> int:
        return self._until(end_ns) - self._until(start_ns)

    def _until(self, at_ns: int) -> int:
        index = bisect_right(self._starts, at_ns)
        if not index:
            return 0
        return self._before[index - 1] + min(at_ns, self._ends[index - 1]) - self._starts[index - 1]
