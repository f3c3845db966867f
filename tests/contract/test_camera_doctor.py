"""`inspector camera doctor` on a virtual camera."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cameras import CameraProcess, build_producer, virtual_camera

INSPECTOR = Path(sys.executable).parent / "inspector"


@pytest.fixture
def camera(request: pytest.FixtureRequest) -> Iterator[CameraProcess]:
    build_producer()
    process = virtual_camera(*getattr(request, "param", ()))
    process.start()
    yield process
    process.kill()


def doctor(folder: Path, camera: CameraProcess, *settings: str) -> tuple[int, dict[str, dict[str, str]]]:
    path = folder / "camera.yaml"
    lines = ["id: cam1", f"select: {{serial: {camera.serial}}}", f"interface_address: {camera.address}"]
    path.write_text("\n".join([*lines, "settings:", *(f"  {each}" for each in settings)]))
    command = [str(INSPECTOR), "camera", "doctor", str(path), "--json", "--try-s", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, {finding["check"]: finding for finding in json.loads(done.stdout)}


def test_a_camera_that_is_well_is_told_so(camera: CameraProcess, tmp_path: Path) -> None:
    status, found = doctor(tmp_path, camera, "AcquisitionFrameRateEnable: true")
    wrong = {check for check, finding in found.items() if finding["level"] == "wrong"}
    assert status == bool(wrong)
    assert wrong <= {"socket buffer", "processor"}, found  # this computer's own
    assert "all complete" in found["frames"]["text"]


def test_a_rate_that_the_link_cannot_carry_is_told(camera: CameraProcess, tmp_path: Path) -> None:
    settings = ("GevSCPSPacketSize: 1500", "AcquisitionFrameRateEnable: true", "AcquisitionFrameRate: 900.0")
    status, found = doctor(tmp_path, camera, *settings, "ExposureTime: 100.0")
    assert status == 1
    assert found["link"]["level"] == "wrong"
    assert "AcquisitionFrameRate: 367" in found["link"]["remedy"]


@pytest.mark.parametrize("camera", [("--loss", "0.9")], indirect=True)
def test_incomplete_frames_are_told(camera: CameraProcess, tmp_path: Path) -> None:
    status, found = doctor(tmp_path, camera, "AcquisitionFrameRateEnable: true")
    assert status == 1
    assert found["frames"]["level"] == "wrong"


def test_ptp_that_found_no_master_is_told(camera: CameraProcess, tmp_path: Path) -> None:
    status, found = doctor(tmp_path, camera, "PtpEnable: true", "AcquisitionFrameRateEnable: true")
    assert status == 1  # half a second is too short for it to lock
    assert "not relied on" in found["PTP"]["text"]
