"""The explainer stands still while a frame is in the detector; whoever is killed, nobody stays stopped."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from inspector.bus import Bus, FramePublisher, sweep
from inspector.clock import NS_PER_MS, NS_PER_S
from inspector.topics import HEALTH, RESULTS
from inspector.types import FrameMeta, FrameResult, ResultStatus, ServiceState

SITE = Path(__file__).parents[2] / "deploy" / "demo" / "site.yaml"
LONG_NS = 120 * NS_PER_S
EXPLAINER = """
import sys
from pathlib import Path
from inspector.config_load import load_site
from inspector.services.loop import Loop
from inspector.services.model_pause import ModelPause

class Service:
    def __init__(self, context):
        self.pause = ModelPause(context.domain, ["cam1"], int(sys.argv[3]))
    def step(self):
        self.pause.check()
    def close(self):
        self.pause.close()

raise SystemExit(Loop("explainer", sys.argv[1], load_site(Path(sys.argv[2])), 0).run(Service))
"""
SUPERVISOR = """
import subprocess, sys, time
explainer = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], process_group=0)
print(explainer.pid, flush=True)
raise SystemExit(explainer.wait())
"""


class Cell:
    """A supervisor, an explainer without a model, and what stops it; camera and detector are we."""

    def __init__(self, bus: Bus, domain: str, longest_ns: int) -> None:
        self._bus = bus
        self._frames: FramePublisher = bus.frame_publisher("cam1", 64)
        self._results = bus.publisher(RESULTS)
        health = bus.subscriber(HEALTH)
        command = [sys.executable, "-c", SUPERVISOR, EXPLAINER, domain, str(SITE), str(longest_ns)]
        self.supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.supervisor.stdout is not None
        self.explainer = psutil.Process(int(self.supervisor.stdout.readline()))
        until(lambda: any(beat.state is ServiceState.READY for beat in health.drain()))
        until(lambda: len(self.explainer.children()) == 1)
        (self.pause,) = self.explainer.children()

    def frame(self, frame_id: int) -> None:
        meta = FrameMeta(
            camera_id="cam1",
            frame_id=frame_id,
            exposure_start_ns=1,
            exposure_us=1.0,
            received_ns=2,
            width_px=8,
            height_px=8,
            pixel_format="Mono8",
        )
        self._frames.loan(64).send(meta)

    def result(self, frame_id: int) -> None:
        self._results.send(
            FrameResult(
                camera_id="cam1",
                frame_id=frame_id,
                exposure_start_ns=1,
                received_ns=2,
                model_sha256="",
                status=ResultStatus.DROPPED,
                p_defect=None,
                started_ns=3,
                finished_ns=4,
            )
        )

    def stop_by_a_frame(self) -> None:
        """Send frames until one stops the explainer: the first may come before anyone listens."""
        for frame_id in range(1, 2000):
            self.frame(frame_id)
            time.sleep(0.01)
            if self.stopped:
                return
        raise AssertionError("no frame stops the explainer")

    @property
    def stopped(self) -> bool:
        return self.explainer.status() == psutil.STATUS_STOPPED


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.01)


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def cell_of() -> Iterator[Callable[[int], Cell]]:
    domain, made = f"{os.getpid()}", list[Cell]()
    with Bus(domain, "here") as bus:

        def make(longest_ns: int) -> Cell:
            made.append(Cell(bus, domain, longest_ns))
            return made[-1]

        yield make
        for cell in made:
            for process in (cell.explainer, cell.pause):
                if process.is_running():
                    process.kill()
            cell.supervisor.kill()
            cell.supervisor.communicate()
    sweep(domain)


def test_stopped_from_the_frame_to_its_result(cell_of: Callable[[int], Cell]) -> None:
    cell = cell_of(LONG_NS)
    cell.stop_by_a_frame()
    cell.frame(10_000)
    cell.result(10_000)
    until(lambda: not cell.stopped)
    cell.frame(10_001)
    until(lambda: cell.stopped)
    cell.result(10_001)
    until(lambda: not cell.stopped)


def test_a_frame_that_is_never_answered_stops_for_a_while_only(cell_of: Callable[[int], Cell]) -> None:
    cell = cell_of(1000 * NS_PER_MS)
    cell.stop_by_a_frame()
    until(lambda: not cell.stopped)


def test_an_end_in_good_order_continues_what_was_stopped(cell_of: Callable[[int], Cell]) -> None:
    cell = cell_of(LONG_NS)
    cell.stop_by_a_frame()
    cell.pause.terminate()
    assert cell.supervisor.wait(30) == 1  # the explainer went on, missed its child and said so
    assert gone(cell.explainer)


def test_the_explainer_is_killed_while_stopped(cell_of: Callable[[int], Cell]) -> None:
    cell = cell_of(LONG_NS)
    cell.stop_by_a_frame()
    cell.explainer.kill()
    until(lambda: gone(cell.pause))
    assert cell.supervisor.wait(30) != 0


def test_the_supervisor_is_killed_while_the_explainer_is_stopped(cell_of: Callable[[int], Cell]) -> None:
    cell = cell_of(LONG_NS)
    cell.stop_by_a_frame()
    cell.supervisor.kill()
    until(lambda: gone(cell.explainer))
    until(lambda: gone(cell.pause))


def test_both_that_could_continue_it_are_killed(cell_of: Callable[[int], Cell]) -> None:
    cell = cell_of(LONG_NS)
    cell.stop_by_a_frame()
    cell.pause.kill()
    cell.supervisor.kill()
    until(lambda: gone(cell.explainer))


def test_ordered_to_end_while_stopped(cell_of: Callable[[int], Cell]) -> None:
    cell = cell_of(3 * NS_PER_S)
    cell.stop_by_a_frame()
    cell.explainer.terminate()
    assert cell.supervisor.wait(30) == 0
    until(lambda: gone(cell.pause))
