"""Our acquisition and the virtual camera over a network that has what loopback has not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cameras import LINE_SIM, CameraProcess, build_producer
from network import CameraNetwork, camera_network, why_no_namespaces

from inspector.camera.acquisition import Camera, open_camera
from inspector.clock import SystemClock
from inspector.config import CameraConfig, CameraSelector, SfncValue
from inspector.errors import DeviceError

CLOCK = SystemClock()
SERIAL = "VETH1"
pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def network() -> Iterator[CameraNetwork]:
    if missing := why_no_namespaces():
        pytest.skip(missing)
    with camera_network() as made:
        made.set_rate("1gbit")
        yield made


@pytest.fixture(scope="module")
def device(network: CameraNetwork) -> Iterator[CameraProcess]:
    build_producer()
    command = [str(LINE_SIM), "camera", "--address", network.camera_address, "--serial", SERIAL]
    command += ["--width", "1280", "--height", "1024", "--frame-rate", "30"]
    process = CameraProcess([*network.inside(), *command], network.camera_address, SERIAL)
    process.start()
    yield process
    process.kill()


def opened(**settings: SfncValue) -> Camera:
    """No address is given: the broadcast must find it."""
    wanted: dict[str, SfncValue] = {"AcquisitionFrameRateEnable": True, **settings}
    config = CameraConfig(id="cam1", select=CameraSelector(serial=SERIAL), settings=wanted)
    return open_camera(config, CLOCK, wait_s=10)


def stream(camera: Camera, count: int) -> list[int]:
    camera.start()
    return take(camera, count)


def take(camera: Camera, count: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < count:
        view = camera.fetch(3000)
        assert view is not None, "no frame came"
        with view:
            ids.append(view.meta.frame_id)
    return ids


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_nothing_is_lost_on_a_link_of_one_gigabit(network: CameraNetwork, mtu: int) -> None:
    network.set_mtu(mtu)
    with opened() as camera:
        assert camera.address == network.camera_address
        ids = stream(camera, 45)
        assert ids == list(range(ids[0], ids[0] + 45))
        statistics = camera.statistics
        assert (statistics.lost, statistics.incomplete, statistics.invalid) == (0, 0, 0)
        # The largest test packet that passed: all of the MTU, in whole words.
        assert mtu - 36 <= int(str(camera.read("GevSCPSPacketSize"))) <= mtu


def test_a_link_without_jumbo_frames_takes_no_jumbo_frames(network: CameraNetwork) -> None:
    """A packet size in the camera's file that the network does not carry: frames come all the same."""
    network.set_mtu(1500)
    with opened(GevSCPSPacketSize=9000) as camera:
        stream(camera, 5)
        assert int(str(camera.read("GevSCPSPacketSize"))) <= 1500
        assert camera.statistics.incomplete == 0


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_the_packet_socket_delivers_the_same(
    network: CameraNetwork, mtu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSPECTOR_GEV_PACKET_SOCKET", "1")
    network.set_mtu(mtu)
    with opened() as camera:
        ids = stream(camera, 20)
        assert len(Path("/proc/self/net/packet").read_text().splitlines()) > 1, "Aravis fell back to UDP"
        assert ids == list(range(ids[0], ids[0] + 20))
        assert camera.statistics.incomplete == 0


def test_a_pulled_cable_is_noticed_and_the_camera_comes_back(network: CameraNetwork) -> None:
    network.set_mtu(1500)
    with opened(ExposureTime=777.0) as camera:
        last = stream(camera, 5)[-1]
        network.plug(connected=False)
        try:
            with pytest.raises(DeviceError, match="no longer answers"):
                take(camera, 1000)
        finally:
            network.plug(connected=True)
        camera.reconnect(wait_s=10)
        assert camera.read("ExposureTime") == 777.0
        assert stream(camera, 3)[0] > last
