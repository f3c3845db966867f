"""Our GenTL producer's data stream: what it counts, how it is set, and whose memory it fills."""

import mmap
import os
from collections.abc import Callable, Iterator
from ctypes import byref, c_size_t, c_uint64, c_void_p

import numpy as np
import pytest
from cameras import CameraProcess, aravis_camera, build_producer, virtual_camera
from gentl_calls import ALL_DISCARD, INVALID_HANDLE, OK, Gentl, Opened
from harvesters.core import Harvester

from inspector.camera.gentl_system import ADDRESSES_VARIABLE

PIXELS = 320 * 240
ENDLESS = 2**64 - 1
Open = Callable[..., Opened]


@pytest.fixture
def open_camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens one virtual camera with those options."""
    gentl = Gentl(build_producer())
    gentl.ok("GCInitLib")
    cameras: list[CameraProcess] = []

    def start(*options: str) -> Opened:
        camera = virtual_camera("--width", "320", "--height", "240", *options)
        monkeypatch.setenv(ADDRESSES_VARIABLE, camera.address)
        camera.start()
        cameras.append(camera)
        return Opened(gentl, camera)

    yield start
    gentl.ok("GCCloseLib")
    for camera in cameras:
        camera.kill()


def queue_own_buffers(at: Opened, count: int) -> list[c_void_p]:
    buffers = []
    for _ in range(count):
        buffers.append(at.gentl.handle("DSAllocAndAnnounceBuffer", at.stream, c_size_t(PIXELS), None))
        at.gentl.ok("DSQueueBuffer", at.stream, buffers[-1])
    return buffers


def acquire(at: Opened) -> None:
    at.gentl.ok("DSStartAcquisition", at.stream, 0, c_uint64(ENDLESS))
    assert at.write(at.feature_address("AcquisitionStart"), 1) == OK


def fetch(at: Opened, count: int) -> None:
    for _ in range(count):
        code, buffer, _user = at.next_buffer(5000)
        assert code == OK, f"{at.gentl.last_error()}: {at.story()}"
        at.gentl.ok("DSQueueBuffer", at.stream, buffer)


def test_lost_packets_are_asked_for_again_and_counted(open_camera: Open) -> None:
    at = open_camera("--loss", "0.02")
    at.set_stream_feature("StreamPacketSizeNegotiate", 0)
    queue_own_buffers(at, 6)
    acquire(at)
    fetch(at, 30)
    assert at.stream_feature("StreamDeliveredFrameCount") == 30
    assert at.stream_feature("StreamResendRequestCount") >= at.stream_feature("StreamResentPacketCount") > 0
    completed, incomplete = (
        at.stream_feature(f"Stream{kind}FrameCount") for kind in ("Completed", "Incomplete")
    )
    assert completed > incomplete
    assert at.stream_feature("StreamStartedFrameCount") >= 30
    assert at.stream_feature("StreamIsGrabbing") == 1


def test_without_resends_frames_are_incomplete_and_counted(open_camera: Open) -> None:
    at = open_camera("--loss", "0.1")
    at.set_stream_feature("StreamPacketResendEnable", 0)
    at.set_stream_feature("StreamPacketSizeRequest", 1000)
    queue_own_buffers(at, 6)
    acquire(at)
    fetch(at, 20)
    assert at.stream_feature("StreamPacketSize") == 1000
    assert at.stream_feature("StreamResendRequestCount") == 0
    assert (
        at.stream_feature("StreamMissedPacketCount") >= at.stream_feature("StreamIncompleteFrameCount") > 10
    )


def test_frames_without_a_free_buffer_are_counted(open_camera: Open) -> None:
    at = open_camera()
    queue_own_buffers(at, 2)
    assert at.stream_feature("StreamAnnouncedBufferCount") == 2
    acquire(at)
    while at.stream_feature("StreamIgnoredPacketCount") < 300:  # both are full, and more frames came
        pass
    assert at.stream_feature("StreamInputBufferCount") == 0
    assert at.stream_feature("StreamOutputBufferCount") == 2
    fetch(at, 4)
    underruns = at.stream_feature("StreamUnderrunFrameCount")
    assert underruns >= 1
    assert at.stream_feature("StreamLostFrameCount") >= underruns
    assert at.gentl.number("DSGetInfo", at.stream, 2) >= underruns  # STREAM_INFO_NUM_UNDERRUN


@pytest.mark.parametrize(
    ("setting", "feature", "value"),
    [
        ("INSPECTOR_GEV_SOCKET_BUFFER=131072", "StreamSocketBufferSize", 131072),
        ("INSPECTOR_GEV_PACKET_SIZE=1440", "StreamPacketSizeRequest", 1440),
        ("INSPECTOR_GEV_PACKET_SIZE=1441", "StreamPacketSizeRequest", 0),  # not a multiple of 4
        ("INSPECTOR_GEV_PACKET_SIZE_NEGOTIATE=0", "StreamPacketSizeNegotiate", 0),
        ("INSPECTOR_GEV_PACKET_RESEND=0", "StreamPacketResendEnable", 0),
        ("INSPECTOR_GEV_PACKET_RESEND=no", "StreamPacketResendEnable", 1),  # nonsense changes nothing
        ("INSPECTOR_GEV_FRAME_RETENTION_US=50000", "StreamFrameRetentionUs", 50000),
        ("INSPECTOR_GEV_PACKET_SOCKET=1", "StreamPacketSocketEnable", 1),
        ("INSPECTOR_GEV_RECEIVE_PAUSE_PERCENT=0", "StreamReceivePausePercent", 0),
    ],
)
def test_the_environment_gives_the_defaults(
    open_camera: Open, monkeypatch: pytest.MonkeyPatch, setting: str, feature: str, value: int
) -> None:
    monkeypatch.setenv(*setting.split("="))
    assert open_camera().stream_feature(feature) == value


def test_the_socket_buffer_is_what_the_kernel_granted(open_camera: Open) -> None:
    at = open_camera()
    at.set_stream_feature("StreamSocketBufferSize", 65536)
    queue_own_buffers(at, 2)
    acquire(at)
    assert at.stream_feature("StreamSocketBufferActualSize") == 65536


def test_frames_land_in_shared_memory_of_the_caller(open_camera: Open) -> None:
    """The pointer handed out is the caller's, nothing beside it is touched, and it comes back safely."""
    at, gap = open_camera(), 4096
    gentl = at.gentl
    # Not multiprocessing's SharedMemory, whose resource tracker stays behind as a process.
    descriptor = os.memfd_create("frames")
    os.ftruncate(descriptor, 3 * (PIXELS + gap))
    shared = mmap.mmap(descriptor, 0)
    view = np.frombuffer(shared, np.uint8)
    try:
        view[:] = 0xA5
        base = view.ctypes.data
        places = {base + index * (PIXELS + gap): index for index in range(3)}
        buffers = []
        for place, index in places.items():
            arguments = (at.stream, c_void_p(place), c_size_t(PIXELS), c_void_p(index + 70))
            buffers.append(gentl.handle("DSAnnounceBuffer", *arguments))
            gentl.ok("DSQueueBuffer", at.stream, buffers[-1])
        acquire(at)
        seen = set()
        for _ in range(6):
            code, buffer, user = at.next_buffer(5000)
            assert code == OK
            pointer = gentl.number("DSGetBufferInfo", at.stream, buffer, 0)
            index = places[pointer]
            seen.add(index)
            assert user == index + 70
            assert gentl.number("DSGetBufferInfo", at.stream, buffer, 9) == PIXELS
            start = pointer - base
            assert (view[start : start + PIXELS] != 0xA5).any()
            gentl.ok("DSQueueBuffer", at.stream, buffer)
        assert seen == {0, 1, 2}
        gentl.ok("DSStopAcquisition", at.stream, 1)
        gentl.ok("DSFlushQueue", at.stream, ALL_DISCARD)
        for buffer, (place, index) in zip(buffers, places.items(), strict=True):
            given, pointer_of_user = c_void_p(), c_void_p()
            gentl.ok("DSRevokeBuffer", at.stream, buffer, byref(given), byref(pointer_of_user))
            assert (given.value, pointer_of_user.value) == (place, index + 70)
            assert gentl.call("DSQueueBuffer", at.stream, buffer) == INVALID_HANDLE
        for index in range(3):
            end = index * (PIXELS + gap) + PIXELS
            assert (view[end : end + gap] == 0xA5).all()
        view[:] = 0  # ours again, while the camera still sends
        at.gentl.ok("DSClose", at.stream)
        assert not view.any()
    finally:
        del view
        shared.close()
        os.close(descriptor)


def test_harvesters_reads_and_writes_the_stream_features(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = aravis_camera()
    if isinstance(camera, str):
        pytest.skip(camera)
    monkeypatch.setenv(ADDRESSES_VARIABLE, camera.address)
    camera.start()
    try:
        with Harvester() as harvester:
            harvester.add_file(str(build_producer()))
            harvester.update()
            # The broadcast on the host's own network may find it as well.
            serials = [info.serial_number for info in harvester.device_info_list]
            with harvester.create(serials.index(camera.serial)) as acquirer:
                nodes = acquirer.data_streams[0].node_map
                nodes.StreamPacketSizeRequest.value = 1400
                acquirer.start()
                for _ in range(5):
                    with acquirer.fetch(timeout=5):
                        pass
                assert nodes.StreamDeliveredFrameCount.value == 5
                assert nodes.StreamLostFrameCount.value == 0
                assert nodes.StreamAnnouncedBufferCount.value >= 2
                assert nodes.StreamPacketSize.value == 1400
                assert nodes.StreamIsGrabbing.value is True
                acquirer.stop()
                assert nodes.StreamIsGrabbing.value is False
    finally:
        camera.kill()
