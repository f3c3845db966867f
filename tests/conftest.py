"""Options and fixtures that all tests share."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # under importlib mode tests is no package

from brokers import Mosquitto, mosquitto_binary
from whole_cell import Demo, leftovers

from inspector import log

# Hypothesis fails an example that takes 200 ms: on a busy machine that says nothing of the code.
# The same examples each time, so that a change is judged by what it changed; `--hypothesis-profile random`
# looks for new ones.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("random"), derandomize=True)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--data", type=Path, default=Path("../shared/data"), help="folder with real images and sensor records"
    )


@pytest.fixture(scope="session")
def data_dir(request: pytest.FixtureRequest) -> Path:
    """The benchmark data; skips without `--data`."""
    path: Path = request.config.getoption("--data")
    if not path.is_dir():
        pytest.skip("needs the benchmark data: --data FOLDER")
    return path


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running broker on a free loopback port."""
    if mosquitto_binary() is None:
        pytest.skip("needs mosquitto: apt install mosquitto")
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Start a whole cell with `inspector demo` and the given arguments; it is ended with the test."""
    started: list[Demo] = []

    def start(*arguments: str) -> Demo:
        started.append(Demo(tmp_path, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        assert leftovers(each.process.pid) == []


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, str]]]:
    """What was logged since it was last asked: the fields of each line."""
    log.configure("test")

    def read() -> list[dict[str, str]]:
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    return read


@pytest.fixture(autouse=True, scope="module")
def nothing_left_behind() -> Iterator[None]:
    """A file of tests that leaves a process, a thread or shared memory of ours behind fails.

    For a file and not for a test, because what a file's fixtures share is rightly kept between its tests.
    """
    before = _ours()
    yield
    limit = time.monotonic() + 5.0
    while (left := _ours() - before) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not left


def _ours() -> set[str]:
    shared = {str(path) for path in Path("/dev/shm").glob("inspector_*") if not _anothers(path)}
    threads = {f"thread {each.name}" for each in threading.enumerate() if not each.daemon}
    children = {f"process {each.pid}" for each in psutil.Process().children() if _runs(each)}
    return shared | threads | children


def _anothers(shared_memory: Path) -> bool:
    """Whether it belongs to a cell that runs beside these tests; a cell's domain is a process' number."""
    domain = shared_memory.name.split("_")[1]
    return domain.isdigit() and int(domain) != os.getpid() and Path(f"/proc/{domain}").exists()


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
