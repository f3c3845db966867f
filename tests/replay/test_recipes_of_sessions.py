"""`inspector replay --config` decides by the recipe that was in use when the session was recorded."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from inspector.cli import app

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """One that was recorded with flange_b."""
    folder = shutil.copytree(HERE / "faults", tmp_path / "session")
    recorded = folder / "config" / "site.json"
    recorded.write_text(json.dumps(json.loads(recorded.read_text()) | {"recipe": "flange_b"}))
    return folder


def replay(session: Path, *arguments: str) -> Result:
    site = yaml.safe_load((REPOSITORY / "deploy" / "demo" / "site.yaml").read_text())
    site["cameras"] = [str(REPOSITORY / "camera_configs" / "demo.yaml")]
    model = site["detector"]["model"] = str(REPOSITORY / "models" / "demo_part")
    site["recipes"] = [
        {"name": "flange_a", "model": model, "decision": {"confirm_confidence": 0.7}},
        {"name": "flange_b", "model": model, "decision": {"confirm_confidence": 0.9}},
    ]
    site["recipe"] = "flange_a"
    path = session.parent / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    return CliRunner().invoke(app, ["replay", str(session), "--config", str(path), *arguments])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"decision.confirm_confidence": ["0.75", "0.9"]}),
        (["--recipe", "flange_a"], {"decision.confirm_confidence": ["0.75", "0.7"]}),
        (["--recipe", ""], {}),
    ],
)
def test_which_recipe_decides(session: Path, arguments: list[str], expected: dict[str, Any]) -> None:
    policy = json.loads(replay(session, "--json", *arguments).stdout)["policy"]
    assert {key: each for key, each in policy.items() if "confidence" in key} == expected


def test_a_recorded_recipe_that_the_file_has_not_is_not_replaced_by_another(session: Path) -> None:
    recorded = session / "config" / "site.json"
    recorded.write_text(recorded.read_text().replace("flange_b", "flange_x"))
    error = replay(session).exception
    assert "there is no recipe flange_x; there are flange_a, flange_b" in str(error)
    assert "--recipe takes another" in str(error)
