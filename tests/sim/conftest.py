"""Cells to watch; what they leave behind is a failure."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from whole_cell import Demo, leftovers


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(*arguments: str) -> Demo:
        started.append(Demo(tmp_path, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        assert leftovers(each.process.pid) == []
