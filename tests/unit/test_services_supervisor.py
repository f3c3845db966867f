"""How long a service may be silent: while it starts, and before it is killed."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from inspector.clock import NS_PER_S
from inspector.config import Site
from inspector.config_load import load_site
from inspector.services.supervisor import Supervisor
from inspector.services.table import services

SITE = Path(__file__).parents[2] / "deploy" / "demo" / "site.yaml"
WAIT_S = 30.0


class HandClock:
    def __init__(self) -> None:
        self.ns = NS_PER_S

    def now_ns(self) -> int:
        return self.ns

    def utc_ns(self) -> int:
        return self.ns


def site_with(engine: Literal["openvino", "tensorrt"]) -> Site:
    site = load_site(SITE)
    detector = site.site.detector.model_copy(update={"engine": engine})
    return site.model_copy(update={"site": site.site.model_copy(update={"detector": detector})})


@pytest.fixture
def supervise(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Site, HandClock], Supervisor]]:
    """A supervisor of processes that start and never say a word."""
    start = subprocess.Popen

    def silent(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        del command
        return start(["sleep", "600"], **options)

    monkeypatch.setattr(subprocess, "Popen", silent)
    made: list[Supervisor] = []

    def make(site: Site, clock: HandClock) -> Supervisor:
        made.append(Supervisor(site, SITE, clock=clock))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def killed(cell: Supervisor, names: set[str]) -> None:
    """Wait until each of `names` was killed; what is to stay is judged after that."""
    end_s = time.monotonic() + WAIT_S
    while any(cell.pid(name) is not None for name in names) and time.monotonic() < end_s:
        cell.poll(NS_PER_S // 100)
    assert {name for name in names if cell.pid(name) is not None} == set()


@pytest.mark.parametrize(("engine", "start_s"), [("openvino", 60), ("tensorrt", 1800)])
def test_a_detector_may_be_silent_while_it_builds_its_engine(
    engine: Literal["openvino", "tensorrt"],
    start_s: int,
    supervise: Callable[[Site, HandClock], Supervisor],
) -> None:
    site, clock = site_with(engine), HandClock()
    others = {spec.name for spec in services(site)} - {"detector"}
    cell = supervise(site, clock)
    first = cell.pid("detector")
    clock.ns += 59 * NS_PER_S
    cell.poll(0)
    assert all(cell.pid(name) is not None for name in others)
    if start_s > 60:
        clock.ns += 2 * NS_PER_S
        killed(cell, others)
        assert cell.pid("detector") == first
        clock.ns += (start_s - 62) * NS_PER_S
        cell.poll(0)
        assert cell.pid("detector") == first
    clock.ns += 2 * NS_PER_S
    killed(cell, {"detector"})
