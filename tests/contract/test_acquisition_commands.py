"""`inspector camera` as a user types it, on a virtual camera."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from cameras import CameraProcess, build_producer, virtual_camera

from inspector.store.reader import SessionReader

INSPECTOR = Path(sys.executable).parent / "inspector"


@pytest.fixture(scope="module")
def camera() -> Iterator[CameraProcess]:
    build_producer()
    process = virtual_camera("--name", "top-view")
    process.start()
    yield process
    process.kill()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(INSPECTOR), "camera", *arguments], capture_output=True, text=True, check=False)


def camera_file(folder: Path, camera: CameraProcess, *settings: str) -> str:
    path = folder / "camera.yaml"
    lines = ["id: cam1", f"select: {{serial: {camera.serial}}}", f"interface_address: {camera.address}"]
    path.write_text("\n".join([*lines, "settings:", *(f"  {setting}" for setting in settings)]))
    return str(path)


def test_list_shows_what_a_camera_file_needs(camera: CameraProcess) -> None:
    done = run("list", "--address", camera.address)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if camera.serial in line)
    for word in ("top-view", "inspector", "VirtualCamera", camera.address, "free"):
        assert word in row


@pytest.mark.parametrize(("pixel_format", "channels"), [("Mono8", 2), ("BayerRG8", 3)])
def test_grab_saves_frames(camera: CameraProcess, tmp_path: Path, pixel_format: str, channels: int) -> None:
    file = camera_file(tmp_path, camera, f"PixelFormat: {pixel_format}", "TriggerMode: Off")
    done = run("grab", file, "-n", "3", "--to", str(tmp_path), "--software-trigger")
    assert done.returncode == 0, done.stderr
    images = sorted(tmp_path.glob("cam1-*.png"))
    assert [path.name for path in images] == [f"cam1-{index:06}.png" for index in range(3)]
    image = cv2.imread(str(images[0]), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert image.shape[:2] == (480, 640)
    assert image.ndim == channels


def test_a_camera_that_waits_for_a_trigger_says_so(camera: CameraProcess, tmp_path: Path) -> None:
    file = camera_file(tmp_path, camera, "TriggerSource: Line1", "TriggerMode: On")
    done = run("grab", file, "--to", str(tmp_path), "--timeout-s", "0.3")
    assert done.returncode == 1
    assert "waits for a trigger" in done.stderr


def test_a_wrong_setting_is_one_line_and_status_2(camera: CameraProcess, tmp_path: Path) -> None:
    done = run("grab", camera_file(tmp_path, camera, "ExposureTime: 5.0"), "--to", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: camera cam1: ExposureTime = 5.0 is wrong: allowed is 10 to 1e+06")


def test_describe_prints_the_feature_tree(camera: CameraProcess, tmp_path: Path) -> None:
    file = camera_file(tmp_path, camera, "Width: 320")
    done = run("describe", file)
    assert done.returncode == 0, done.stderr
    row = next(line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["Width"])
    assert row[1:3] == ["320", "px"]
    done = run("describe", file, "--json", "--filter", "ExposureTime")
    feature = next(each for each in json.loads(done.stdout) if each["name"] == "ExposureTime")
    assert (feature["minimum"], feature["unit"], feature["access"]) == (10.0, "us", "read, write")
    assert run("describe", file, "--filter", "Nonesuch").returncode == 2


def test_record_writes_a_session(camera: CameraProcess, tmp_path: Path) -> None:
    file = camera_file(tmp_path, camera, "Width: 640", "TriggerMode: Off")
    done = run("record", file, "-n", "5", "--to", str(tmp_path / "sessions"))
    assert done.returncode == 0, done.stderr
    [session] = (tmp_path / "sessions").iterdir()
    assert f"{session}: 5 frames, 0 of them incomplete, 0 never came" in done.stdout.replace("\n", "")
    frames = list(SessionReader(session).frames())
    assert [frame.meta.frame_id for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].image.shape == (480, 640)


def test_record_of_nothing_says_why(camera: CameraProcess, tmp_path: Path) -> None:
    file = camera_file(tmp_path, camera, "TriggerSource: Line1", "TriggerMode: On")
    done = run("record", file, "--seconds", "0.3", "--to", str(tmp_path))
    assert done.returncode == 1
    assert "waits for a trigger" in done.stderr
