"""Independent readers on the virtual camera: Aravis' tools and tshark's dissectors."""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from line_sim.camera import FaultKnobs, PatternSource, VirtualCamera, VirtualCameraConfig

VENDOR = "inspector"


def tool(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name}: apt install {package}")
    return path


def config(host: int, **keys: object) -> VirtualCameraConfig:
    pid = os.getpid()
    made: dict[str, object] = {
        "address": f"127.{100 + pid % 97}.{pid // 97 % 251 + 1}.{host}",
        "serial": f"T{pid}-{host}",
        "user_defined_name": f"test-{pid}-{host}",
        "width": 320,
        "height": 240,
    }
    return VirtualCameraConfig(**(made | keys))  # type: ignore[arg-type]


@pytest.fixture
def camera() -> Iterator[VirtualCamera]:
    with VirtualCamera(config(200), PatternSource()) as running:
        yield running


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


def stream(camera: VirtualCamera, *options: str) -> dict[str, int]:
    """Run arv-camera-test on the camera for a second; return its counters."""
    binary = tool("arv-camera-test-0.8", "aravis-tools")
    name = f"{VENDOR}-{camera.config.serial}"
    text = run(binary, "--name", name, "--duration", "1", "--no-packet-socket", *options)
    counters = {key: int(value) for key, value in re.findall(r"^(n_\w+)\s*= (\d+)$", text, re.MULTILINE)}
    assert counters, text
    return counters


def test_arv_tool_lists_two_cameras_and_their_features(camera: VirtualCamera) -> None:
    binary = tool("arv-tool-0.8", "aravis-tools-cli")
    with VirtualCamera(config(201), PatternSource()) as other:
        listed = run(binary)
        for each in (camera, other):
            assert f"{VENDOR}-VirtualCamera-{each.config.serial} ({each.config.address})" in listed
    name = f"{VENDOR}-{camera.config.serial}"
    features = run(binary, "-n", name, "features")
    for feature in ("TriggerSoftware", "GevSCPSPacketSize", "AcquisitionFrameRate", "PayloadSize"):
        assert f"'{feature}'" in features
    seen = run(
        *(binary, "-n", name, "control"),
        *("Width=160", "ExposureTime=2500.5", "PixelFormat=BayerRG8", "DeviceUserID=cam-4"),
        *("Width", "ExposureTime", "PixelFormat", "DeviceUserID", "PayloadSize"),
    )
    assert "Width = 160 px" in seen
    assert "ExposureTime = 2500.5 us" in seen
    assert "PixelFormat = BayerRG8" in seen
    assert "DeviceUserID = cam-4" in seen
    assert f"PayloadSize = {160 * 240}" in seen


@pytest.mark.parametrize(
    "options",
    [
        ("-f", "50"),
        ("-o", "50"),
        ("-f", "50", "-j", "always"),
    ],
    ids=["free run", "software trigger", "packet size found by test packets"],
)
def test_arv_camera_test_streams_without_an_error(camera: VirtualCamera, options: tuple[str, ...]) -> None:
    counters = stream(camera, *options)
    assert counters["n_completed_buffers"] >= 5
    for trouble in ("n_failures", "n_underruns", "n_aborted", "n_size_mismatch_errors", "n_error_packets"):
        assert counters[trouble] == 0, trouble


def test_arv_camera_test_streams_on_line_triggers(camera: VirtualCamera) -> None:
    stop = threading.Event()

    def photo_eye() -> None:
        while not stop.wait(0.02):
            camera.pulse_line("Line1")

    pulses = threading.Thread(target=photo_eye)
    pulses.start()
    try:
        counters = stream(camera, "-t", "Line1")
    finally:
        stop.set()
        pulses.join()
    assert counters["n_completed_buffers"] >= 5
    assert counters["n_failures"] == 0


def test_aravis_recovers_lost_packets(camera: VirtualCamera) -> None:
    camera.set_faults(FaultKnobs(loss=0.02, seed=1))
    counters = stream(camera, "-f", "50")
    lost = camera.statistics.packets_lost
    assert lost > 0
    assert counters["n_resent_packets"] > 0
    assert counters["n_completed_buffers"] > 5
    # Without resend, at 54 packets a frame, two of three frames would be incomplete.
    assert counters["n_failures"] <= counters["n_completed_buffers"] // 4


def test_tshark_finds_no_malformed_packet(camera: VirtualCamera, tmp_path: Path) -> None:
    binary = tool("tshark", "tshark")
    capture = tmp_path / "camera.pcapng"
    address = camera.config.address
    recorder = subprocess.Popen(
        (binary, "-q", "-i", "lo", "-f", f"host {address}", "-w", str(capture)),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert recorder.stderr is not None
        for line in recorder.stderr:
            if "permission" in line.lower() or "no such device" in line.lower():
                pytest.skip("needs the right to capture on lo")
            if "Capture started" in line or "Capturing on" in line:
                break
        else:
            pytest.skip("needs the right to capture on lo")
        deadline = time.monotonic() + 10
        while not capture.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        stream(camera, "-f", "20")
    finally:
        recorder.terminate()
        recorder.communicate(timeout=30)
    # The stream's port is free to choose, so tshark is told: a leader is 52 bytes long with UDP's header.
    port = run(
        binary, "-r", str(capture), "-Y", "udp.length == 52 and not gvcp", "-T", "fields", "-e", "udp.dstport"
    ).split()
    decode = ("-r", str(capture), "-d", f"udp.port=={port[-1]},gvsp")
    counted = run(binary, *decode, "-q", "-z", "io,phs")
    assert int(re.findall(r"gvcp +frames:(\d+)", counted)[0]) > 20
    assert int(re.findall(r"gvsp +frames:(\d+)", counted)[0]) > 100
    assert "malformed" not in counted
