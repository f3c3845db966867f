"""One suite for every kind of camera: the virtual one, Aravis' fake one, and the genicam package's."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import genicam
import numpy as np
import psutil
import pytest
from cameras import CameraProcess, aravis_camera, build_producer, virtual_camera
from msgspec.structs import replace

from inspector.camera.acquisition import Camera, open_camera
from inspector.camera.discover import list_cameras
from inspector.camera.found_camera import Access
from inspector.clock import SystemClock
from inspector.config import CameraConfig, CameraSelector, SfncValue
from inspector.errors import ConfigError, DeviceError
from inspector.strict_data import to_json

CLOCK = SystemClock()
HOLD = """
import sys
from inspector.camera.acquisition import open_camera
from inspector.clock import SystemClock
from inspector.config import CameraConfig
from inspector.strict_data import check_json
camera = open_camera(check_json(sys.argv[1].encode(), CameraConfig), SystemClock())
camera.start()
print("open", flush=True)
sys.stdin.read()
"""
VIKY = Path(genicam.__file__).parent / "viky.cti"


@dataclass
class Kind:
    config: CameraConfig
    process: CameraProcess | None = None


def config_of(process: CameraProcess, **settings: SfncValue) -> CameraConfig:
    select = CameraSelector(serial=process.serial)
    return CameraConfig(id="cam1", select=select, interface_address=process.address, settings=settings)


@pytest.fixture(scope="module", params=["virtual", "aravis", "viky"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    build_producer()
    if request.param == "viky":
        select = CameraSelector(serial="1")
        settings: dict[str, SfncValue] = {"PixelFormat": "Mono8"}
        yield Kind(CameraConfig(id="cam1", select=select, producer=str(VIKY), settings=settings))
        return
    process = virtual_camera() if request.param == "virtual" else aravis_camera()
    if isinstance(process, str):
        pytest.skip(process)
    process.start()
    settings = {"PixelFormat": "Mono8"}
    if request.param == "virtual":
        settings["AcquisitionFrameRateEnable"] = True
    yield Kind(config_of(process, **settings), process)
    process.kill()


@pytest.fixture(scope="module")
def sim() -> Iterator[CameraProcess]:
    """A virtual camera that no test kills."""
    build_producer()
    process = virtual_camera()
    process.start()
    yield process
    process.kill()


@pytest.fixture
def mortal() -> Iterator[CameraProcess]:
    """A virtual camera of the test's own, to be killed."""
    build_producer()
    process = virtual_camera()
    process.start()
    yield process
    process.kill()


def frame_ids(camera: Camera, count: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < count:
        view = camera.fetch(3000)
        assert view is not None, "no frame came"
        with view:
            ids.append(view.meta.frame_id)
    return ids


# -- every kind of camera ----------------------------------------------------------------------------


def test_frames_come_with_their_meta(kind: Kind) -> None:
    with open_camera(kind.config, CLOCK) as camera:
        before_ns = CLOCK.now_ns()  # the first frame may be here before `start` returns
        camera.start()
        for _ in range(5):
            view = camera.fetch(3000)
            assert view is not None
            with view:
                meta, image = view.meta, view.image
                assert meta.camera_id == "cam1"
                assert image.shape == (meta.height_px, meta.width_px)
                assert image.dtype == np.uint8
                assert not image.flags.writeable
                assert meta.pixel_format == "Mono8"
                assert meta.missing_packets == 0
                assert meta.exposure_start_ns <= meta.received_ns - meta.exposure_us * 1000 + 1
                assert meta.received_ns <= CLOCK.now_ns()
                assert meta.received_ns > before_ns
        assert camera.statistics.frames == 5
        assert camera.statistics.incomplete == 0


def test_frame_ids_go_on_over_stop_and_start(kind: Kind) -> None:
    with open_camera(kind.config, CLOCK) as camera:
        ids: list[int] = []
        for _ in range(3):
            camera.start()
            ids += frame_ids(camera, 3)
            camera.stop()
        assert ids == sorted(set(ids))
        assert ids[-1] >= 8


def test_frames_may_be_kept_while_others_come(kind: Kind) -> None:
    with open_camera(kind.config, CLOCK) as camera:
        camera.start()
        kept = camera.fetch(3000)
        assert kept is not None
        copy = kept.image.copy()
        frame_ids(camera, 2 * kind.config.buffers)
        assert np.array_equal(kept.image, copy)
        kept.release()
        kept.release()  # twice is harmless


def test_a_frame_may_outlive_its_camera(kind: Kind) -> None:
    camera = open_camera(kind.config, CLOCK)
    camera.start()
    view = camera.fetch(3000)
    assert view is not None
    camera.close()
    assert view.image.sum() >= 0  # the memory is still there
    view.release()
    camera.close()


def test_a_wrong_name_or_value_is_one_line(kind: Kind) -> None:
    for settings, parts in (
        ({"PixelFormat": "Mono9"}, ("cam1", "PixelFormat", "Mono9", "Mono8")),
        ({"Widht": 100}, ("cam1", "Widht", "did you mean Width")),
        ({"Width": 10**9}, ("cam1", "Width", "1000000000", "allowed is")),
        ({"Width": "wide"}, ("cam1", "Width", "wide", "whole number")),
    ):
        with pytest.raises(ConfigError) as caught:
            open_camera(replace(kind.config, settings=settings), CLOCK)
        message = str(caught.value)
        assert "\n" not in message
        assert all(part in message for part in parts), message
    with open_camera(kind.config, CLOCK) as camera:  # and the camera is free again
        assert camera.read("Width")


def test_the_interrupt_handler_stays(kind: Kind) -> None:
    before = signal.getsignal(signal.SIGINT)
    with open_camera(kind.config, CLOCK) as camera:
        camera.start()
        assert signal.getsignal(signal.SIGINT) is before


# -- cameras on the network ---------------------------------------------------------------------------


def test_cameras_are_listed(sim: CameraProcess) -> None:
    found = {camera.serial: camera for camera in list_cameras(addresses=[sim.address])}[sim.serial]
    assert (found.vendor, found.model) == ("inspector", "VirtualCamera")
    assert found.user_defined_name == "virtual-camera"
    assert found.address == sim.address
    assert found.access is Access.FREE
    with open_camera(config_of(sim), CLOCK):
        found = {camera.serial: camera for camera in list_cameras(addresses=[sim.address])}[sim.serial]
        assert found.access is Access.OURS


def test_a_missing_camera_is_one_line(sim: CameraProcess) -> None:
    config = replace(config_of(sim), select=CameraSelector(serial="NONESUCH"))
    with pytest.raises(DeviceError, match=f'cam1.*serial "NONESUCH".*{sim.serial}') as caught:
        open_camera(config, CLOCK, wait_s=0)
    assert "\n" not in str(caught.value)


def test_a_producer_that_does_not_load_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.cti"
    broken.write_bytes(b"not a library")
    select = CameraSelector(serial="1")
    for path in (broken, tmp_path / "absent.cti"):
        with pytest.raises(ConfigError, match=str(path)):
            open_camera(CameraConfig(id="cam1", select=select, producer=str(path)), CLOCK)


def test_two_cameras_in_one_process(sim: CameraProcess, mortal: CameraProcess) -> None:
    enable: dict[str, SfncValue] = {"AcquisitionFrameRateEnable": True}
    with (
        open_camera(config_of(sim, **enable), CLOCK) as first,
        open_camera(config_of(mortal, **enable), CLOCK) as second,
    ):
        first.start()
        second.start()
        frame_ids(first, 5)
        frame_ids(second, 5)
        mortal.kill()
        with pytest.raises(DeviceError):
            frame_ids(second, 1000)
        second.close()
        frame_ids(first, 20)


def test_software_trigger(sim: CameraProcess) -> None:
    settings: dict[str, SfncValue] = {"TriggerSource": "Software", "TriggerMode": True}
    with open_camera(config_of(sim, **settings), CLOCK) as camera:
        camera.start()
        assert camera.fetch(200) is None
        for expected in range(3):
            camera.execute("TriggerSoftware")
            assert frame_ids(camera, 1) == [expected]
        assert camera.fetch(100) is None


def test_incomplete_frames_are_handed_out_as_such() -> None:
    build_producer()
    process = virtual_camera("--loss", "0.9", "--seed", "3")  # more than asking again mends
    process.start()
    try:
        with open_camera(config_of(process), CLOCK) as camera:
            camera.start()
            views = [camera.fetch(3000) for _ in range(5)]
            complete = []
            for view in views:
                assert view is not None
                with view:
                    assert view.image.shape == (480, 640)
                    complete.append(view.meta.missing_packets == 0)
            assert not all(complete)
            assert camera.statistics.incomplete == complete.count(False)
            assert camera.statistics.missing_packets >= complete.count(False)
    finally:
        process.kill()


def test_lost_packets_are_asked_for_again() -> None:
    build_producer()
    process = virtual_camera("--loss", "0.01", "--seed", "5")
    process.start()
    try:
        with open_camera(config_of(process, GevSCPSPacketSize=1500), CLOCK) as camera:
            camera.start()
            frame_ids(camera, 30)
            assert camera.statistics.incomplete == 0
            assert camera.statistics.lost == 0
    finally:
        process.kill()


# -- cameras that die ----------------------------------------------------------------------------------


def test_a_killed_camera_is_noticed_and_comes_back(mortal: CameraProcess) -> None:
    config = config_of(mortal, AcquisitionFrameRateEnable=True)
    with open_camera(replace(config, frame_timeout_ms=60_000), CLOCK) as camera:
        camera.start()
        last = frame_ids(camera, 5)[-1]
        mortal.kill()
        with pytest.raises(DeviceError, match=r"cam1.*no longer answers"):
            frame_ids(camera, 1000)  # raises within one wait for a frame, of 3 s
        assert camera.lost
        with pytest.raises(DeviceError):
            camera.fetch(0)
        with pytest.raises(DeviceError):
            camera.reconnect(wait_s=0)
        mortal.start()
        camera.reconnect(wait_s=10)
        assert not camera.lost
        camera.start()
        assert frame_ids(camera, 3)[0] > last
        assert camera.statistics.reconnects == 1
        assert camera.read("AcquisitionFrameRateEnable") is True  # the settings are there again


def test_a_camera_that_restarts_unseen_is_opened_anew(mortal: CameraProcess) -> None:
    settings: dict[str, SfncValue] = {"TriggerMode": "On", "TriggerSource": "Software"}
    with open_camera(config_of(mortal, **settings), CLOCK) as camera:
        camera.start()
        mortal.kill()
        mortal.start()  # it answers again, but it has forgotten us
        with pytest.raises(DeviceError):
            camera.fetch(5000)
        camera.reconnect(wait_s=10)
        camera.start()
        camera.execute("TriggerSoftware")
        frame_ids(camera, 1)


def test_a_dead_camera_can_be_stopped_and_closed(mortal: CameraProcess) -> None:
    camera = open_camera(config_of(mortal), CLOCK)
    camera.start()
    frame_ids(camera, 1)
    mortal.kill()
    with pytest.raises(DeviceError):
        frame_ids(camera, 1000)
    with pytest.raises(DeviceError):
        camera.stop()
    camera.close()


@pytest.mark.parametrize("end", ["kill", "freeze"])
@pytest.mark.parametrize("access", ["read", "write"])
def test_a_register_access_does_not_wait_for_a_camera_that_died(
    mortal: CameraProcess, end: str, access: str
) -> None:
    """Aravis asks a dead camera for 2.5 s a register. What began before the loss was known ends with it."""
    with open_camera(config_of(mortal, TriggerMode="On", TriggerSource="Software"), CLOCK) as camera:
        camera.start()
        getattr(mortal, end)()
        with subprocess.Popen(["sleep", "2.2"]) as patience:
            with pytest.raises(DeviceError):
                camera.read("TimestampLatchValue") if access == "read" else camera.execute("TriggerSoftware")
            with pytest.raises(DeviceError):
                camera.fetch(1000)
            camera.close()
            assert patience.poll() is None, "it took longer than one register access of Aravis"
            patience.kill()


def test_another_program_keeps_the_camera_until_it_dies(mortal: CameraProcess) -> None:
    config = config_of(mortal)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, to_json(config)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        found = list_cameras(addresses=[mortal.address])[0]
        assert (found.serial, found.access) == (mortal.serial, Access.IN_USE)
        with pytest.raises(DeviceError, match="another program has control"):
            open_camera(config, CLOCK, wait_s=0)
    finally:
        holder.kill()
        holder.communicate()
    # When the heartbeat timeout ends; the other one left it acquiring, with its parameters locked.
    config = replace(config, settings={"Width": 320})
    with open_camera(config, CLOCK, wait_s=10) as camera:
        camera.start()
        frame_ids(camera, 2)


def test_opening_and_closing_leaks_nothing(sim: CameraProcess) -> None:
    process = psutil.Process()
    config = config_of(sim)

    def cycle(count: int) -> None:
        for _ in range(count):
            with open_camera(config, CLOCK) as camera:
                camera.start()

    cycle(3)
    before = (process.num_fds(), process.num_threads())
    cycle(200)
    # A thread that was joined can be seen for a moment longer.
    limit = time.monotonic() + 5
    while (left := (process.num_fds(), process.num_threads())) > before and time.monotonic() < limit:
        time.sleep(0.01)
    assert left <= before
