"""Options and fixtures that all tests share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # under importlib mode tests is no package

from brokers import Mosquitto, mosquitto_binary


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
