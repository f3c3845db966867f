"""Exposure times on the host's clock, against a camera whose clock drifts, jumps, restarts or lies.

The truth is known: each frame is triggered by a pulse at a given time.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from cameras import build_producer, free_address

from inspector.camera.acquisition import Camera, open_camera
from inspector.camera.frame_view import FrameView
from inspector.clock import NS_PER_MS, NS_PER_S, SystemClock
from inspector.config import CameraConfig, CameraSelector, SfncValue
from inspector.errors import DeviceError

CLOCK = SystemClock()
TRIGGERED: dict[str, SfncValue] = {
    "ExposureTime": 1000.0,
    "TriggerSelector": "FrameStart",
    "TriggerSource": "Line1",
    "TriggerMode": "On",
}


# A process of its own: the GenTL binding holds Python's lock while it looks for cameras.
DEVICE = """
import sys
from line_sim.camera.camera import VirtualCamera
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.faults import FaultKnobs
from line_sim.camera.pattern_source import PatternSource
config = VirtualCameraConfig(
    address=sys.argv[1], serial=sys.argv[2], width=64, height=48, clock_drift_ppm=100.0
)
with VirtualCamera(config, PatternSource()) as camera:
    print("ready", flush=True)
    for line in sys.stdin:
        print(eval(line), flush=True)
"""


class Device:
    """A camera in another process that does what it is told."""

    def __init__(self, serial: str = "TIME") -> None:
        self.address, self.serial = free_address(), serial
        command = [sys.executable, "-c", DEVICE, self.address, serial]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def tell(self, what: str) -> str:
        """Evaluate an expression on `camera` there."""
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._answer()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def device() -> Iterator[Device]:
    build_producer()
    camera = Device()
    yield camera
    camera.kill()


def config_of(device: Device, **more: SfncValue) -> CameraConfig:
    return CameraConfig(
        id="cam1",
        select=CameraSelector(serial=device.serial),
        interface_address=device.address,
        settings={**more, **TRIGGERED},
    )


def frame_at(device: Device, camera: Camera) -> tuple[int, FrameView]:
    """Trigger a frame; return when, and the frame."""
    at_ns = CLOCK.now_ns() + 5 * NS_PER_MS
    device.tell(f"camera.pulse_line('Line1', at_ns={at_ns})")
    view = camera.fetch(3000)
    assert view is not None
    view.release()
    return at_ns, view


def assert_true_or_said(at_ns: int, view: FrameView) -> bool:
    """Within 1 ms and what is stated, or nothing is stated. Returns whether something is."""
    stated_us = view.meta.clock_uncertainty_us
    if stated_us is None:
        return False
    error_us = abs(view.meta.exposure_start_ns - at_ns) / 1000
    assert error_us <= stated_us + 20  # and 20 us for the rounding
    assert error_us <= 1000 or stated_us > 1000
    return True


def test_a_drifting_clock_is_followed(device: Device) -> None:
    with open_camera(config_of(device), CLOCK) as camera:
        camera.start()
        assert all(assert_true_or_said(*frame_at(device, camera)) for _ in range(150))
        assert not camera.ptp.verified
        assert "switched off" in camera.ptp.problem


@pytest.mark.parametrize("jump_ns", [-2 * NS_PER_S, -20 * NS_PER_MS, 20 * NS_PER_MS, 2 * NS_PER_S])
def test_a_jump_is_found_with_the_first_frame_after_it(device: Device, jump_ns: int) -> None:
    device.tell(f"camera.clock.jump({10 * NS_PER_S})")
    with open_camera(config_of(device), CLOCK) as camera:
        camera.start()
        for _ in range(10):
            assert_true_or_said(*frame_at(device, camera))
        device.tell(f"camera.clock.jump({jump_ns})")
        known = [assert_true_or_said(*frame_at(device, camera)) for _ in range(20)]
        assert sum(known) >= 10
        assert known[-1]
        assert camera.time.jumps >= 1


def test_a_frame_under_way_while_the_clock_jumps_says_that_its_time_is_unknown(
    device: Device,
) -> None:
    device.tell(f"camera.clock.jump({10 * NS_PER_S})")
    with open_camera(config_of(device), CLOCK) as camera:
        camera.start()
        for _ in range(5):
            frame_at(device, camera)
        before_ns = CLOCK.now_ns()
        device.tell(f"camera.pulse_line('Line1', at_ns={before_ns})")
        while int(device.tell("camera.statistics.frames_sent")) < 6:
            assert CLOCK.now_ns() < before_ns + 5 * NS_PER_S
        device.tell(f"camera.clock.jump({2 * NS_PER_S})")
        view = camera.fetch(3000)
        assert view is not None
        with view:
            assert (
                view.meta.clock_uncertainty_us is None
                or abs(view.meta.exposure_start_ns - before_ns) < 3 * NS_PER_MS
            )


def test_a_restarted_camera_is_mapped_anew(device: Device) -> None:
    device.tell(f"camera.clock.jump({1000 * NS_PER_S})")
    with open_camera(config_of(device), CLOCK) as camera:
        camera.start()
        last = frame_at(device, camera)[1].meta.frame_id
        device.tell("camera.reboot(0.2)")
        with pytest.raises(DeviceError):
            camera.fetch(5000)
        camera.reconnect(wait_s=10)
        camera.start()
        for _ in range(5):
            at_ns, view = frame_at(device, camera)
            assert assert_true_or_said(at_ns, view)
            assert view.meta.frame_id > last


def wait_for_ptp(device: Device, camera: Camera, *, verified: bool) -> None:
    deadline_ns = CLOCK.now_ns() + 10 * NS_PER_S
    while camera.ptp.verified is not verified:
        assert CLOCK.now_ns() < deadline_ns, camera.ptp.problem
        assert_true_or_said(*frame_at(device, camera))


def test_ptp_is_used_when_it_is_true_and_left_when_it_lies(device: Device) -> None:
    with open_camera(config_of(device, PtpEnable=True), CLOCK) as camera:
        camera.start()
        wait_for_ptp(device, camera, verified=True)
        for _ in range(5):
            assert assert_true_or_said(*frame_at(device, camera))
        device.tell("camera.set_faults(FaultKnobs(ptp_lie=True))")
        device.tell("camera.clock.run_free()")
        device.tell(f"camera.clock.jump({300 * NS_PER_MS})")  # "Slave", it says, with 40 ns of offset
        wait_for_ptp(device, camera, verified=False)
        assert "lies" in camera.ptp.problem
        assert camera.read("PtpStatus") == "Slave"
        known = [assert_true_or_said(*frame_at(device, camera)) for _ in range(5)]
        assert known[-1]


def test_two_cameras_with_clocks_of_their_own_agree_on_each_part(device: Device) -> None:
    """Both by time and by the count of triggers, also after one of them lost a part's frame."""
    other = Device("OTHER")
    other.tell("camera.clock.jump(7_000_000_000)")
    try:
        with open_camera(config_of(device), CLOCK) as first, open_camera(config_of(other), CLOCK) as second:
            first.start()
            second.start()
            for part in range(20):
                at_ns = CLOCK.now_ns() + 10 * NS_PER_MS
                device.tell(f"camera.pulse_line('Line1', at_ns={at_ns})")
                other.tell(f"camera.pulse_line('Line1', at_ns={at_ns})")
                views = [camera.fetch(3000) for camera in (first, second)]
                for view in views:
                    assert view is not None
                    with view:
                        assert assert_true_or_said(at_ns, view)
                        assert view.meta.frame_id == part
    finally:
        other.kill()
