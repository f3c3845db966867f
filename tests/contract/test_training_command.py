"""`inspector train` without torch, or without labels, says what to do in one line."""

import importlib.util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.errors import ConfigError


def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", str(tmp_path), "--name", "m", "--models", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    here = importlib.util.find_spec("torch") is not None
    assert ("labels.json" if here else "pip install torch") in str(result.exception)
    assert "\n" not in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [["--name", "../m"], ["--name", "m", "--backbone", "thawed"]])
def test_wrong_options_are_one_line(tmp_path: Path, option: list[str]) -> None:
    result = CliRunner().invoke(app, ["train", str(tmp_path), *option])
    assert isinstance(result.exception, ConfigError)
    assert option[-1] in str(result.exception)
