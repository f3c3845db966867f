"""The slot pipeline on the CPU engine: nothing lost, doubled or out of order, whatever happens inside."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_model import tiny_frame, write_tiny_model

from inspector.clock import SystemClock
from inspector.config import DetectorConfig
from inspector.detect.engine import Counts, Engine, Ticket
from inspector.detect.engines.batching import Feeder
from inspector.detect.load import load_detector
from inspector.errors import InvariantError
from inspector.types import Frame, FrameResult, ResultStatus

SLOTS = 3
WAIT_S = 20.0
Results = list[tuple[Ticket, FrameResult]]


class Driver:
    """Drives an engine from one thread, as the detector service does."""

    def __init__(self, engine: Engine, woken: threading.Event) -> None:
        self.engine = engine
        self.woken = woken
        self.tickets: list[Ticket] = []

    def submit(self, frame: Frame) -> Ticket:
        ticket = self.engine.submit(frame)
        self.tickets.append(ticket)
        return ticket

    def drain(self, number: int) -> Results:
        """Collect until `number` results are there."""
        results: Results = []
        while len(results) < number:
            results += self.engine.collect()
            if len(results) < number:
                assert self.woken.wait(WAIT_S), "the engine never called on_ready"
                self.woken.clear()
        return results

    def feed(self, frames: Sequence[Frame]) -> Results:
        """Put all frames through, as many in flight as the engine takes."""
        queue = list(frames)
        results: Results = []
        while len(results) < len(frames):
            while queue and self.engine.free_slots:
                self.submit(queue.pop(0))
            results += self.drain(1)
        return results


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder / "tiny")
    return folder


@pytest.fixture
def driver(models: Path) -> Iterator[Driver]:
    woken = threading.Event()
    config = DetectorConfig(model="tiny", threads=1, requests_in_flight=SLOTS)
    engine = load_detector(
        config, models, clock=SystemClock(), on_ready=woken.set, cache_dir=models / "cache"
    )
    yield Driver(engine, woken)
    engine.close()


def score(result: FrameResult) -> float:
    assert result.anomaly_score is not None
    return result.anomaly_score


def test_each_frame_gives_its_own_result_in_order(driver: Driver) -> None:
    greys = [(37 * index) % 250 + 1 for index in range(40)]
    results = driver.feed([tiny_frame(index, grey) for index, grey in enumerate(greys)])
    assert [ticket for ticket, _ in results] == driver.tickets
    assert [result.frame_id for _, result in results] == list(range(40))
    assert [round(score(result) * 16) for _, result in results] == greys


def test_submit_is_refused_at_the_bound_and_taken_again_after_collect(driver: Driver) -> None:
    for index in range(SLOTS):
        driver.submit(tiny_frame(index))
    assert driver.engine.free_slots == 0
    with pytest.raises(InvariantError):
        driver.engine.submit(tiny_frame(9))
    driver.drain(SLOTS)
    assert driver.engine.free_slots == SLOTS
    driver.submit(tiny_frame(SLOTS))
    ((ticket, _),) = driver.drain(1)
    assert ticket == driver.tickets[-1]


def test_results_that_nobody_collects_hold_their_slots(driver: Driver) -> None:
    for index in range(SLOTS):
        driver.submit(tiny_frame(index, missing=1))  # refused at once, without computing
    assert driver.engine.free_slots == 0
    assert len(driver.engine.collect()) == SLOTS
    assert driver.engine.free_slots == SLOTS


def test_a_cancelled_frame_says_so_in_its_turn(driver: Driver) -> None:
    tickets = [driver.submit(tiny_frame(index)) for index in range(SLOTS)]
    was_running = driver.engine.cancel(tickets[1])
    results = driver.drain(SLOTS)
    assert [ticket for ticket, _ in results] == tickets
    statuses = [result.status for _, result in results]
    wanted = ResultStatus.DROPPED if was_running else ResultStatus.OK
    assert statuses == [ResultStatus.OK, wanted, ResultStatus.OK]
    assert not driver.engine.cancel(tickets[1])
    assert driver.feed([tiny_frame(7)])[0][1].status == ResultStatus.OK


def test_every_frame_is_accounted_for(driver: Driver) -> None:
    driver.feed([tiny_frame(index, missing=index % 2) for index in range(6)])
    driver.submit(tiny_frame(6))
    assert driver.engine.counts == Counts(submitted=7, completed=3, refused=3)
    assert driver.engine.counts.inside == 1
    driver.engine.close()
    assert driver.engine.counts.inside == 0


def test_closing_with_frames_in_flight_ends_and_is_final(driver: Driver) -> None:
    for index in range(SLOTS):
        driver.submit(tiny_frame(index))
    driver.engine.close()
    assert driver.engine.free_slots == 0
    assert driver.engine.collect() == []
    assert not driver.engine.cancel(driver.tickets[0])
    with pytest.raises(InvariantError):
        driver.engine.submit(tiny_frame(9))


Step = st.sampled_from(["submit", "refused", "collect", "cancel first", "cancel last"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(Step, max_size=40))
def test_any_order_of_calls_loses_and_doubles_nothing(driver: Driver, steps: list[str]) -> None:
    tickets: list[Ticket] = []
    seen: Results = []
    for frame_id, step in enumerate(steps):
        inside = tickets[len(seen) :]
        if step in {"submit", "refused"} and driver.engine.free_slots:
            tickets.append(driver.submit(tiny_frame(frame_id, missing=int(step == "refused"))))
        elif step == "collect":
            seen += driver.engine.collect()
        elif step.startswith("cancel") and inside:
            driver.engine.cancel(inside[0 if step == "cancel first" else -1])
        assert len(tickets) - len(seen) <= SLOTS
    seen += driver.drain(len(tickets) - len(seen))
    assert [ticket for ticket, _ in seen] == tickets
    assert driver.engine.collect() == []
    while driver.engine.free_slots < SLOTS:  # cancelled runs end by themselves
        driver.engine.collect()
    assert driver.engine.counts.inside == 0


def test_frames_of_several_cameras_go_through_a_feeder_in_order(driver: Driver) -> None:
    waiting = deque(tiny_frame(index, camera_id=f"cam{index % 3}") for index in range(20))
    feeder = Feeder(driver.engine)
    results: list[FrameResult] = []
    while len(results) < 20:
        feeder.feed(waiting, lambda frame: frame.meta.received_ns, now_ns=0)
        results += feeder.collect()
    assert [result.frame_id for result in results] == list(range(20))
    assert [result.camera_id for result in results[:4]] == ["cam0", "cam1", "cam2", "cam0"]
