"""A user's mistake is one clear line that names the file and key or the address, and exit status 2."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from brokers import Mosquitto

ROOT = Path(__file__).parents[2]
INSPECTOR = Path(sys.executable).parent / "inspector"


class SiteFile:
    """A copy of the demo's site, to be spoiled."""

    def __init__(self, folder: Path, port: int) -> None:
        self.path = folder / "site.yaml"
        self.camera_path = folder / "cam1.yaml"
        self.site: dict[str, Any] = yaml.safe_load((ROOT / "deploy/demo/site.yaml").read_text())
        self.camera: dict[str, Any] = yaml.safe_load((ROOT / "camera_configs/demo.yaml").read_text())
        self.site["cameras"] = ["cam1.yaml"]
        self.site["detector"]["model"] = str(ROOT / "models" / "demo_part")
        self.site["recorder"]["directory"] = str(folder / "sessions")
        self.site["explainer"]["model"] = "none"
        self.site["broker"]["port"] = port
        # Nothing listens here, so that no camera of this machine is disturbed.
        self.camera["interface_address"] = "127.0.0.99"

    def error(self, command: str = "run") -> str:
        """Run the command; returns its one line of error."""
        self.path.write_text(yaml.safe_dump(self.site))
        self.camera_path.write_text(yaml.safe_dump(self.camera))
        done = subprocess.run(
            [str(INSPECTOR), command, str(self.path)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2, done.stdout + done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, done.stderr
        assert "Traceback" not in done.stderr
        return errors[0]


@pytest.fixture
def site(tmp_path: Path, mosquitto: Mosquitto) -> SiteFile:
    return SiteFile(tmp_path, mosquitto.port)


@pytest.mark.parametrize("command", ["run", "check"])
def test_an_unknown_key_names_file_line_and_key(site: SiteFile, command: str) -> None:
    site.site["detector"]["colour"] = "red"
    error = site.error(command)
    assert "site.yaml:" in error
    assert "detector.colour" in error


def test_an_unknown_key_of_a_camera_names_the_cameras_file(site: SiteFile) -> None:
    site.camera["exposure"] = 500
    error = site.error()
    assert "cam1.yaml:" in error
    assert "exposure" in error


def test_a_missing_model_says_how_to_get_one(site: SiteFile) -> None:
    site.site["detector"]["model"] = "no_such_part"
    error = site.error()
    assert "detector.model" in error
    assert "inspector teach" in error


def test_a_damaged_model_is_refused(site: SiteFile, tmp_path: Path) -> None:
    folder = tmp_path / "spoiled"
    folder.mkdir()
    for file in (ROOT / "models" / "demo_part").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    with (folder / "model.onnx").open("r+b") as onnx:
        onnx.truncate(1000)
    site.site["detector"]["model"] = str(folder)
    assert "sha256" in site.error()


def test_an_unreachable_broker_names_its_address(site: SiteFile, mosquitto: Mosquitto) -> None:
    mosquitto.kill()
    error = site.error()
    assert f"127.0.0.1:{site.site['broker']['port']}" in error


def test_a_missing_camera_names_it_and_how_it_is_chosen(site: SiteFile) -> None:
    error = site.error()
    assert "cam1" in error
    assert "SIM-0001" in error


def test_a_producer_that_does_not_load_names_its_path(site: SiteFile, tmp_path: Path) -> None:
    broken = tmp_path / "vendor.cti"
    broken.write_bytes(b"not a library")
    site.camera["producer"] = str(broken)
    assert str(broken) in site.error()


def test_a_secret_that_is_not_there_names_its_variable(site: SiteFile) -> None:
    site.site["broker"] |= {"username": "cell", "password_env": "NO_SUCH_VARIABLE_HERE"}
    assert "NO_SUCH_VARIABLE_HERE" in site.error()


def test_the_demo_refuses_a_scenario_that_does_not_exist(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(INSPECTOR), "demo", "--scenario", "no_such", "--llm", "none", "--sessions", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no_such" in done.stderr
    assert "Traceback" not in done.stderr
