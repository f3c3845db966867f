"""From a scenario that fails to the shortest one that still does. Pure but for the test that it is given.

Delta debugging (Zeller and Hildebrandt 2002) over the list of faults, then fewer parts, then
shorter faults. The test may be flaky; what it says once is believed.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from line_sim.campaign.plan import Drawn, faults_of, with_faults
from line_sim.scenario import Disturbance, Scenario

T = TypeVar("T")
Fails = Callable[[Scenario], bool]

_SHORTEST_S: Final = 0.2
_AFTER: Final = 4  # parts kept after the last fault, to see what it does


class Budget:
    """Bounds how often the test is run; when it is used up, nothing fails any more."""

    def __init__(self, fails: Fails, most: int) -> None:
        self._fails, self.left = fails, most

    def __call__(self, scenario: Scenario) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return self._fails(scenario)


def shrink(scenario: Scenario, fails: Fails, most: int = 24) -> Scenario:
    """Return the shortest failing scenario that was found within `most` runs of the test."""
    test = Budget(fails, most)
    faults = minimal(faults_of(scenario), lambda kept: test(with_faults(scenario, kept)))
    scenario = with_faults(scenario, faults)
    scenario = _fewer_parts(scenario, test)
    return _shorter_faults(scenario, test)


def minimal(items: Sequence[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """Return a sublist that still fails and of which no single part can be left out (ddmin)."""
    kept = list(items)
    pieces = 2
    while len(kept) > 1:
        size = max(1, len(kept) // pieces)
        chunks = [kept[i : i + size] for i in range(0, len(kept), size)]
        for i in range(len(chunks)):
            rest = [item for j, chunk in enumerate(chunks) if j != i for item in chunk]
            if fails(rest):
                kept, pieces = rest, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(kept), pieces * 2)
    return [] if len(kept) == 1 and fails([]) else kept


def _fewer_parts(scenario: Scenario, test: Fails) -> Scenario:
    last = max((fault.part for fault in faults_of(scenario)), default=scenario.first_part)
    for parts in (last - scenario.first_part + _AFTER, last - scenario.first_part + 3 * _AFTER):
        fewer = replace(scenario, parts=parts)
        if scenario.parts is not None and parts < scenario.parts and test(fewer):
            return fewer
    return scenario


def _shorter_faults(scenario: Scenario, test: Fails) -> Scenario:
    faults = faults_of(scenario)
    for i, fault in enumerate(faults):
        while isinstance(fault, Disturbance) and fault.for_s > 2 * _SHORTEST_S:
            half: Drawn = replace(fault, for_s=round(fault.for_s / 2, 2))
            shorter = with_faults(scenario, [*faults[:i], half, *faults[i + 1 :]])
            if not test(shorter):
                break
            fault, faults[i], scenario = half, half, shorter  # noqa: PLW2901 - it shrinks as we go
    return scenario
