"""Simulated time: what happens when, and always in the same order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from line_sim.simtime import Happening, LockStep, Realtime, Scheduler, Update


class Ticker:
    """Says its name and a count every `period_ns`."""

    def __init__(self, name: str, period_ns: int) -> None:
        self._name, self._period_ns, self._count = name, period_ns, 0

    def update(self, now_ns: int, inputs: Sequence[str]) -> Update[str]:
        del inputs
        if now_ns < self._count * self._period_ns:
            return Update((), self._count * self._period_ns)
        self._count += 1
        return Update((f"{self._name}{self._count}",), self._count * self._period_ns)


class Echo:
    """Repeats what it hears, never wakes by itself."""

    def update(self, now_ns: int, inputs: Sequence[str]) -> Update[str]:
        del now_ns
        return Update(tuple(f"echo {event}" for event in inputs))


def _run(scheduler: Scheduler[str], steps: int) -> list[Happening[str]]:
    return [happening for _ in range(steps) for happening in scheduler.step()]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(1, 60))
def test_time_never_goes_back_and_every_run_is_the_same(periods: list[int], steps: int) -> None:
    def once() -> list[Happening[str]]:
        devices = {f"d{i}": Ticker(f"d{i}.", period) for i, period in enumerate(periods)}
        return _run(Scheduler(devices, {}), steps)

    first = once()
    assert first == once()
    times = [happening.at_ns for happening in first]
    assert times == sorted(times)
    for i, period in enumerate(periods):
        own = [happening.at_ns for happening in first if happening.device == f"d{i}"]
        assert own == [k * period for k in range(len(own))]


def test_outputs_follow_the_wires() -> None:
    scheduler: Scheduler[str] = Scheduler({"a": Ticker("a", 10), "b": Echo()}, {"a": ["b"]})
    assert [h.event for h in _run(scheduler, 2)] == ["a1", "echo a1", "a2", "echo a2"]


def test_an_injected_event_is_taken_at_its_time() -> None:
    scheduler: Scheduler[str] = Scheduler({"a": Ticker("a", 100), "b": Echo()}, {})
    scheduler.step()
    assert scheduler.inject(40, {"b": ["x"]}) == [Happening(40, "b", "echo x")]
    assert scheduler.now_ns == 40
    assert scheduler.next_ns == 100


def test_a_loop_in_the_wiring_is_found() -> None:
    scheduler: Scheduler[str] = Scheduler({"a": Echo(), "b": Echo()}, {"a": ["b"], "b": ["a"]})
    with pytest.raises(RuntimeError, match="loop"):
        scheduler.inject(0, {"a": ["x"]})


def test_wiring_to_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="ghost"):
        Scheduler({"a": Echo()}, {"a": ["ghost"]})


def test_realtime_waits_for_the_wall_clock_and_for_nobody_else() -> None:
    pacer = Realtime(start_wall_ns=1000)
    assert pacer.wait_ns(next_ns=500, wall_ns=1200, hold_until_ns=None) == 300
    assert pacer.wait_ns(next_ns=500, wall_ns=1200, hold_until_ns=9000) == 300
    assert pacer.wait_ns(next_ns=100, wall_ns=1200, hold_until_ns=None) < 0
    assert pacer.sim_ns(scheduler_ns=50, wall_ns=1200) == 200


def test_lock_step_waits_for_an_answer_and_then_jumps() -> None:
    pacer = LockStep()
    assert pacer.wait_ns(next_ns=10**15, wall_ns=7, hold_until_ns=None) <= 0
    assert pacer.wait_ns(next_ns=10**15, wall_ns=7, hold_until_ns=20) == 13
    assert pacer.sim_ns(scheduler_ns=50, wall_ns=10**12) == 50
