"""The picture of the part at the photo-eye is the one that comes out of the camera."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import pytest

from inspector.camera.acquisition import Camera, open_camera
from inspector.clock import SystemClock
from inspector.config import CameraConfig, CameraSelector
from inspector.errors import ConfigError
from line_sim.part_source import PartSource, open_source
from line_sim.scenario import parse_scenario

SCENARIO = "parts: 8\ndefect_rate: 0.5\ncamera: {width_px: 320, height_px: 240}"
SEED = 3

# A process of its own: GenTL calls hold the interpreter's lock while they wait for the camera.
LINE = """
import sys
from line_sim.camera.camera import VirtualCamera
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera_source import PartFrames
from line_sim.part_source import open_source
from line_sim.scenario import parse_scenario

address, scenario, seed = sys.argv[1:]
source = open_source(parse_scenario(scenario, "test"), int(seed), None)
width, height = source.size_px
config = VirtualCameraConfig(address=address, width=width, height=height)
with VirtualCamera(config, PartFrames(source)) as camera:
    print("ready", flush=True)
    for line in sys.stdin:
        subject = source.parts[int(line)] if int(line) >= 0 else None
        print(camera.pulse_line("Line1", subject=subject), flush=True)
"""


@dataclass
class Photoeye:
    """Pulses the virtual camera in the other process."""

    stdin: IO[str]
    stdout: IO[str]

    def pulse(self, index: int) -> bool:
        """Part `index` is in front of the camera; -1: none is."""
        self.stdin.write(f"{index}\n")
        self.stdin.flush()
        return self.stdout.readline() == "True\n"


@pytest.fixture(scope="module")
def source() -> PartSource:
    return open_source(parse_scenario(SCENARIO, "test"), SEED, None)


@pytest.fixture(scope="module")
def address() -> str:
    pid = os.getpid()
    return f"127.{32 + pid % 31}.{pid // 31 % 250}.{2 + pid // 7750 % 250}"


@pytest.fixture(scope="module")
def photoeye(address: str) -> Iterator[Photoeye]:
    command = [sys.executable, "-c", LINE, address, SCENARIO, str(SEED)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Photoeye(process.stdin, process.stdout)
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.fixture(scope="module")
def camera(photoeye: Photoeye, address: str) -> Iterator[Camera]:
    assert photoeye.pulse(-1) is False  # nobody acquires yet
    settings = {
        "PixelFormat": "Mono8",
        "TriggerSelector": "FrameStart",
        "TriggerSource": "Line1",
        "TriggerMode": "On",
    }
    config = CameraConfig(
        id="cam1",
        select=CameraSelector(serial="SIM-0001"),
        interface_address=address,
        settings=dict(settings),
    )
    try:
        opened = open_camera(config, SystemClock())
    except ConfigError as error:
        pytest.skip(f"the GenTL producer is not built: {error}")
    with opened:
        opened.start()
        yield opened


def test_each_trigger_brings_the_picture_of_its_part(
    source: PartSource, photoeye: Photoeye, camera: Camera
) -> None:
    for index, part in enumerate(source.parts):
        assert photoeye.pulse(index)
        frame = camera.fetch(2000)
        assert frame is not None
        assert frame.meta.missing_packets == 0
        assert np.array_equal(frame.image, source.picture(part))
        frame.release()


def test_one_who_looks_without_a_part_sees_the_first_one(
    source: PartSource, photoeye: Photoeye, camera: Camera
) -> None:
    assert photoeye.pulse(-1)
    frame = camera.fetch(2000)
    assert frame is not None
    assert np.array_equal(frame.image, source.picture(source.parts[0]))
    frame.release()
