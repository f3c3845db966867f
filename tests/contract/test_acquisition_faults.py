"""What happens on a factory's network, and to those who build on harvesters: survived, counted, told.

`INSPECTOR_RESTARTS=20` restarts the camera as often (3 by default).
"""

import os
import time
from collections.abc import Iterator

import numpy as np
import pytest
from cameras import CameraProcess, build_producer, virtual_camera
from msgspec.structs import replace

from inspector.camera.acquisition import Camera, open_camera
from inspector.camera.discover import list_cameras
from inspector.clock import SystemClock
from inspector.config import CameraConfig, CameraSelector, SfncValue
from inspector.errors import ConfigError, DeviceError

CLOCK = SystemClock()
RESTARTS = int(os.environ.get("INSPECTOR_RESTARTS", "3"))
RUNNING: dict[str, SfncValue] = {"AcquisitionFrameRateEnable": True, "GevSCPSPacketSize": 1500}


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator[CameraProcess]:
    build_producer()
    process = virtual_camera(*getattr(request, "param", ()))
    process.start()
    yield process
    process.kill()


def config_of(device: CameraProcess, **settings: SfncValue) -> CameraConfig:
    select = CameraSelector(serial=device.serial)
    return CameraConfig(id="cam1", select=select, interface_address=device.address, settings=settings)


def take(camera: Camera, count: int) -> list[tuple[int, int]]:
    """Return frame id and missing packets of the next frames."""
    taken: list[tuple[int, int]] = []
    while len(taken) < count:
        view = camera.fetch(3000)
        assert view is not None, "no frame came"
        with view:
            taken.append((view.meta.frame_id, view.meta.missing_packets))
    return taken


# -- packets that do not come ------------------------------------------------------------------------


@pytest.mark.parametrize("device", [("--loss", "0.01", "--seed", "11")], indirect=True)
def test_one_percent_of_loss_costs_no_frame(device: CameraProcess) -> None:
    with open_camera(config_of(device, **RUNNING), CLOCK) as camera:
        camera.start()
        taken = take(camera, 150)
        assert not any(missing for _, missing in taken)
        assert (camera.statistics.lost, camera.statistics.incomplete) == (0, 0)


@pytest.mark.parametrize("device", [("--loss", "0.05", "--seed", "12")], indirect=True)
def test_with_five_percent_of_loss_no_frame_is_lost_uncounted(device: CameraProcess) -> None:
    with open_camera(config_of(device, **RUNNING), CLOCK) as camera:
        camera.start()
        taken = take(camera, 150)
        statistics = camera.statistics
        assert statistics.frames == len(taken)
        assert statistics.incomplete == sum(missing > 0 for _, missing in taken)
        ids = [frame_id for frame_id, _ in taken]
        assert ids == sorted(set(ids))
        assert ids[-1] + 1 == statistics.frames + statistics.lost


@pytest.mark.parametrize("device", [("--loss", "0.9", "--seed", "13")], indirect=True)
def test_a_storm_of_incomplete_frames_starves_nobody(device: CameraProcess) -> None:
    """harvesters' fetch waits on, whatever its timeout, while only incomplete buffers come."""
    with open_camera(config_of(device, **RUNNING), CLOCK) as camera:
        camera.start()
        taken = take(camera, 3 * camera.config.buffers)  # more than there are: they are queued again
        assert camera.statistics.incomplete == sum(missing > 0 for _, missing in taken) > 0


# -- a camera that comes and goes --------------------------------------------------------------------


def test_a_camera_that_restarts_again_and_again_is_back_each_time(device: CameraProcess) -> None:
    settings: dict[str, SfncValue] = {**RUNNING, "ExposureTime": 777.0, "Width": 320}
    with open_camera(config_of(device, **settings), CLOCK) as camera:
        camera.start()
        last = take(camera, 2)[-1][0]
        for count in range(1, RESTARTS + 1):
            device.kill()
            with pytest.raises(DeviceError, match="cam1"):
                take(camera, 10_000)
            with pytest.raises(DeviceError):
                camera.stop()
            device.start()
            camera.reconnect(wait_s=3)  # raises when it takes longer
            assert (camera.read("ExposureTime"), camera.read("Width")) == (777.0, 320)
            camera.start()
            first = take(camera, 2)[0][0]
            assert first > last
            last = first + 1
            assert camera.statistics.reconnects == count


def test_a_slow_camera_is_not_taken_for_a_dead_one(device: CameraProcess) -> None:
    settings: dict[str, SfncValue] = {"AcquisitionFrameRateEnable": True, "AcquisitionFrameRate": 2.0}
    config = replace(config_of(device, **settings), frame_timeout_ms=50)
    with open_camera(config, CLOCK) as camera:
        camera.start()
        take(camera, 3)


def test_a_camera_that_answers_but_sends_nothing_is_lost(device: CameraProcess) -> None:
    with open_camera(config_of(device, **RUNNING), CLOCK) as camera:
        camera.start()
        take(camera, 2)
        camera.execute("AcquisitionStop")  # as if its sensor had died
        with pytest.raises(DeviceError, match="no frame came for"):
            take(camera, 100)
        camera.reconnect(wait_s=3)
        camera.start()
        take(camera, 2)


def test_looking_for_cameras_leaves_open_ones_alone(device: CameraProcess) -> None:
    """harvesters' update destroys every acquirer that is open."""
    with open_camera(config_of(device, **RUNNING), CLOCK) as camera:
        camera.start()
        before = take(camera, 2)[-1][0]
        assert any(each.serial == device.serial for each in list_cameras(addresses=[device.address]))
        assert take(camera, 20)[0][0] > before
        assert camera.statistics.reconnects == 0


# -- other pitfalls ------------------------------------------------------------------------------------


def test_waiting_for_a_trigger_costs_next_to_nothing(device: CameraProcess) -> None:
    """harvesters asks the producer 1000 times a second."""
    with open_camera(config_of(device, TriggerSource="Software", TriggerMode="On"), CLOCK) as camera:
        camera.start()
        before_s = time.process_time()
        assert camera.fetch(1000) is None
        assert time.process_time() - before_s < 0.1


def test_a_pixel_format_that_nobody_knows_is_one_line(device: CameraProcess) -> None:
    with pytest.raises(ConfigError, match=r"cam1: PixelFormat = 'Mono9'.*allowed is .*Mono8") as caught:
        open_camera(config_of(device, PixelFormat="Mono9"), CLOCK)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Mono10", "Mono12Packed", "Mono16", "RGB8"])
def test_deep_and_coloured_formats_arrive_as_the_plain_one(device: CameraProcess, name: str) -> None:
    """The same picture through each format, in the memory that a frame is written to."""
    images = []
    for pixel_format in ("Mono8", name):
        settings: dict[str, SfncValue] = {"TriggerSource": "Software", "TriggerMode": "On"}
        with open_camera(config_of(device, PixelFormat=pixel_format, **settings), CLOCK) as camera:
            camera.start()
            camera.execute("TriggerSoftware")
            view = camera.fetch(3000)
            assert view is not None
            with view:
                memory = np.zeros(view.size_bytes, np.uint8)
                view.write_to(memory)
                assert view.meta.pixel_format == ("RGB8" if name == pixel_format == "RGB8" else "Mono8")
                images.append(memory.reshape(view.image.shape))
    assert images[0].std() > 0
    if name != "RGB8":
        assert np.abs(images[0].astype(int) - images[1]).max() <= 1


def test_a_camera_is_found_behind_any_number_of_addresses(
    device: CameraProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSPECTOR_GEV_ADDRESSES", ",".join(f"127.1.1.{last}" for last in range(1, 40)))
    with open_camera(config_of(device), CLOCK) as camera:
        assert camera.address == device.address
