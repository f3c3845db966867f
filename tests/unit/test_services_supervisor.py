"""How long a service may be silent: while it starts, and before it is killed."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from msgspec.structs import replace

from inspector.bus import Bus
from inspector.clock import NS_PER_S
from inspector.config import Site
from inspector.config_load import load_site
from inspector.services.recipe import recipe_in_use
from inspector.services.supervisor import Supervisor
from inspector.services.table import services
from inspector.topics import HEALTH, RECIPE_REFUSED, SELECT_RECIPE
from inspector.types import Health, RecipeRefused, SelectRecipe, ServiceState

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
    detector = replace(site.site.detector, engine=engine)
    return replace(site, site=replace(site.site, detector=detector))


@pytest.fixture
def commands() -> list[list[str]]:
    """Of the processes that were started."""
    return []


@pytest.fixture
def supervise(
    monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]
) -> Iterator[Callable[..., Supervisor]]:
    """A supervisor of processes that start and never say a word."""
    start = subprocess.Popen

    def silent(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        commands.append(command)
        return start(["sleep", "600"], **options)

    monkeypatch.setattr(subprocess, "Popen", silent)
    made: list[Supervisor] = []

    def make(site: Site, clock: HandClock, site_file: Path = SITE) -> Supervisor:
        made.append(Supervisor(site, site_file, clock=clock))
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
    supervise: Callable[..., Supervisor],
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


def site_with_recipes(folder: Path) -> Path:
    site = yaml.safe_load(SITE.read_text())
    site["cameras"] = [str(SITE.parents[2] / "camera_configs" / "demo.yaml")]
    site["detector"]["model"] = str(SITE.parents[2] / "models" / "demo_part")
    site["recorder"]["directory"] = str(folder)
    site["recipes"] = [{"name": "b", "model": site["detector"]["model"]}, {"name": "c", "model": "missing"}]
    (folder / "site.yaml").write_text(yaml.safe_dump(site))
    return folder / "site.yaml"


def select(cell: Supervisor, recipe: str) -> list[RecipeRefused]:
    """As the arbiter does it; returns what it is told."""
    with Bus(cell.domain, "arbiter") as bus:
        refusals, wishes = bus.subscriber(RECIPE_REFUSED), bus.publisher(SELECT_RECIPE)
        wishes.send(SelectRecipe(recipe=recipe))
        cell.poll(0)
        return list(refusals.drain())


def tell_that_the_arbiter_is_up(cell: Supervisor) -> None:
    pid = cell.pid("arbiter")
    assert pid is not None
    up = Health(service="arbiter", pid=pid, state=ServiceState.READY, detail="", at_ns=1, counters={})
    with Bus(cell.domain, "arbiter") as bus:
        health = bus.publisher(HEALTH)  # what it sent is gone with it
        health.send(up)
        cell.poll(0)


def test_another_recipe_is_for_those_that_depend_on_it(
    tmp_path: Path, supervise: Callable[..., Supervisor], commands: list[list[str]]
) -> None:
    site_file = site_with_recipes(tmp_path)
    site, clock = load_site(site_file), HandClock()
    cell = supervise(site, clock, site_file)
    before = {spec.name: cell.pid(spec.name) for spec in services(site)}
    refused = select(cell, "c")
    assert "no model 'missing'" in refused[0].reason
    assert {name: cell.pid(name) for name in before} == before
    commands.clear()
    assert select(cell, "b") == []

    def anew() -> set[str]:
        return {name for name in before if cell.pid(name) not in {None, before[name]}}

    assert anew() == {"recorder", "arbiter"}, "an emergency waits for these only"
    cell.poll(0)
    assert anew() == {"recorder", "arbiter"}
    tell_that_the_arbiter_is_up(cell)
    assert anew() == {"recorder", "explainer", "arbiter", "detector"}
    assert [command[-2:] for command in commands] == [["--recipe", "b"]] * 4
    assert cell.restarts() == dict.fromkeys(before, 0), "no service has failed"
    assert recipe_in_use(load_site(site_file)) == "b"


# Writes to the file that is its first argument; the second is its name.
_SERVICE = """\
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
def say(word):
    with open(sys.argv[1], "a") as said:
        said.write(f"{word} {sys.argv[2]}\\n")
say("begins")
signal.sigwait({signal.SIGTERM})
say("ends")
"""


def test_the_arbiter_ends_after_all_others_and_who_records_it_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, said = subprocess.Popen, tmp_path / "said"

    def talking(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return start([sys.executable, "-SEc", _SERVICE, str(said), command[3]], **options)

    def words(word: str) -> list[str]:
        lines = said.read_text().splitlines() if said.exists() else []
        return [line.removeprefix(word + " ") for line in lines if line.startswith(word)]

    def until_begun(count: int) -> None:
        end_s = time.monotonic() + WAIT_S
        while len(words("begins")) < count and time.monotonic() < end_s:
            cell.poll(NS_PER_S // 100)
        assert len(words("begins")) == count

    monkeypatch.setattr(subprocess, "Popen", talking)
    site_file = site_with_recipes(tmp_path)
    site = load_site(site_file)
    cell = Supervisor(site, site_file, clock=HandClock())
    try:
        cell.start()
        until_begun(len(services(site)))
        assert select(cell, "b") == []
        changed = words("ends")
        tell_that_the_arbiter_is_up(cell)
        until_begun(len(services(site)) + len(changed))
    finally:
        cell.stop()
    assert set(changed[:-2]) == {"detector", "explainer"}
    assert changed[-2:] == words("ends")[-2:] == ["arbiter", "recorder"]
    assert len(words("ends")) == len(words("begins"))
