"""The watch over cameras whose producer does not tell that they are gone."""

import threading
from collections.abc import Callable

from genicam import gentl

from inspector.camera.liveness import Liveness
from inspector.clock import NS_PER_MS

LIMIT_S = 20


class ManualClock:
    def __init__(self) -> None:
        self.time_ns = 1

    def now_ns(self) -> int:
        return self.time_ns

    def utc_ns(self) -> int:
        return self.time_ns


def calls(count: int, then: Callable[[], None]) -> tuple[Callable[[], None], threading.Event]:
    """Return a register read that does `then`, and an event that is set at its `count`th call."""
    reached, done = threading.Event(), [0]

    def read() -> None:
        done[0] += 1
        if done[0] >= count:
            reached.set()
        then()

    return read, reached


def wait_for(event: threading.Event) -> None:
    assert event.wait(LIMIT_S)


def test_a_camera_that_answers_is_alive() -> None:
    read, reached = calls(3, lambda: None)
    liveness = Liveness(read, ManualClock())
    assert reached.wait(LIMIT_S)
    assert liveness.problem == ""
    liveness.close()


def test_a_read_that_does_not_come_back_is_a_dead_camera() -> None:
    release = threading.Event()
    read, reached = calls(1, lambda: wait_for(release))
    clock = ManualClock()
    liveness = Liveness(read, clock)
    assert reached.wait(LIMIT_S)
    clock.time_ns += 600 * NS_PER_MS
    assert liveness.problem == ""
    clock.time_ns += 200 * NS_PER_MS
    assert "does not come back" in liveness.problem
    liveness.close()  # does not wait for it
    release.set()


def test_one_failed_read_is_forgiven_two_are_not() -> None:
    def fail() -> None:
        raise gentl.IoException("no answer")

    read, second = calls(2, fail)
    liveness = Liveness(read, ManualClock())
    assert second.wait(LIMIT_S)
    liveness.close()
    assert "no answer" in liveness.problem
