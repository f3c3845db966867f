"""Our GenTL producer, called as a consumer calls it: through its C interface."""

import ctypes
import re
import subprocess
import threading
from collections.abc import Iterator
from ctypes import byref, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

import numpy as np
import pytest
from cameras import PRODUCER, CameraProcess, build_producer, virtual_camera
from gentl_calls import (
    ABORT,
    ACCESS_DENIED,
    ALL_DISCARD,
    BUSY,
    EXCLUSIVE,
    INVALID_ADDRESS,
    INVALID_BUFFER,
    INVALID_HANDLE,
    INVALID_ID,
    INVALID_INDEX,
    IO,
    NOT_IMPLEMENTED,
    NOT_INITIALIZED,
    OK,
    RESOURCE_IN_USE,
    TIMEOUT,
    TOO_SMALL,
    Gentl,
    Opened,
)

from inspector.camera.gentl_system import ADDRESSES_VARIABLE

ACQUISITION_START, PIXELS = "AcquisitionStart", 320 * 240


@pytest.fixture
def gentl() -> Iterator[Gentl]:
    library = Gentl(build_producer())
    assert library.call("GCInitLib") == OK
    yield library
    assert library.call("GCCloseLib") == OK


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[CameraProcess]:
    process = virtual_camera("--width", "320", "--height", "240")
    monkeypatch.setenv(ADDRESSES_VARIABLE, process.address)
    process.start()
    yield process
    process.kill()


@pytest.fixture
def opened(gentl: Gentl, camera: CameraProcess) -> Iterator[Opened]:
    result = Opened(gentl, camera)
    yield result
    result.close()


def test_every_function_of_gentl_1_6_is_there() -> None:
    path = build_producer()
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", str(path)], capture_output=True, text=True, check=True
    ).stdout
    exported = set(re.findall(r" T (\w+)", listed))
    assert len(exported) == 64
    assert all(re.match("(GC|TL|IF|Dev|DS|Event)[A-Z]", name) for name in exported)


def test_it_builds_without_a_warning_from_scratch(tmp_path: Path) -> None:
    out = tmp_path / "fresh.cti"
    subprocess.run(["make", "-s", "-C", str(PRODUCER), f"OUT={out}"], check=True)
    assert out.exists()


def test_before_the_library_is_initialised() -> None:
    library = Gentl(build_producer())
    assert library.call("TLOpen", byref(c_void_p())) == NOT_INITIALIZED
    assert "GCInitLib" in library.last_error()
    assert library.call("GCCloseLib") == NOT_INITIALIZED
    assert library.call("GCInitLib") == OK
    assert library.call("GCInitLib") == RESOURCE_IN_USE
    assert library.call("GCCloseLib") == OK


def test_no_handle_is_trusted(gentl: Gentl) -> None:
    """Stale, wrong and made-up handles, for every function that takes one."""
    system = gentl.handle("TLOpen")
    gentl.ok("TLClose", system)
    room = [ctypes.create_string_buffer(64) for _ in range(6)]
    functions = [
        "GCReadPort",
        "GCWritePort",
        "GCGetPortInfo",
        "GCGetNumPortURLs",
        "GCGetPortURL",
        "GCGetPortURLInfo",
        "GCRegisterEvent",
        "GCUnregisterEvent",
        "EventGetInfo",
        "EventGetData",
        "EventFlush",
        "EventKill",
        "TLClose",
        "TLGetInfo",
        "TLGetNumInterfaces",
        "TLGetInterfaceID",
        "TLGetInterfaceInfo",
        "TLOpenInterface",
        "TLUpdateInterfaceList",
        "IFClose",
        "IFGetInfo",
        "IFGetNumDevices",
        "IFGetDeviceID",
        "IFUpdateDeviceList",
        "IFGetDeviceInfo",
        "IFOpenDevice",
        "IFGetParentTL",
        "DevGetPort",
        "DevGetNumDataStreams",
        "DevGetDataStreamID",
        "DevOpenDataStream",
        "DevGetInfo",
        "DevClose",
        "DevGetParentIF",
        "DSFlushQueue",
        "DSStopAcquisition",
        "DSGetInfo",
        "DSGetBufferID",
        "DSClose",
        "DSRevokeBuffer",
        "DSQueueBuffer",
        "DSGetBufferInfo",
        "DSGetParentDev",
    ]
    for name in functions:
        for handle in (system, c_void_p(), c_void_p(0x7F0000001234), c_void_p(1)):
            assert gentl.call(name, handle, *room) == INVALID_HANDLE, name
    assert gentl.call("DSStartAcquisition", system, 0, c_uint64(1)) == INVALID_HANDLE
    assert gentl.call("DSAnnounceBuffer", system, room[0], c_size_t(64), None, room[1]) == INVALID_HANDLE


def test_what_it_says_of_itself(gentl: Gentl) -> None:
    assert gentl.text("GCGetInfo", 1) == "inspector"
    assert gentl.text("GCGetInfo", 4) == "GEV"
    assert gentl.text("GCGetInfo", 6).endswith("inspector_gev.cti")
    assert (gentl.number("GCGetInfo", 9), gentl.number("GCGetInfo", 10)) == (1, 6)
    assert gentl.call("GCGetInfo", 999, None, None, byref(c_size_t())) == NOT_IMPLEMENTED
    size = c_size_t(2)
    assert gentl.call("GCGetInfo", 1, None, ctypes.create_string_buffer(2), byref(size)) == TOO_SMALL
    assert size.value == len("inspector") + 1


def test_what_it_says_of_a_camera(gentl: Gentl, camera: CameraProcess, opened: Opened) -> None:
    info = ("IFGetDeviceInfo", opened.interface, opened.id)
    assert gentl.text(*info, 1) == "inspector"
    assert gentl.text(*info, 7) == camera.serial
    assert gentl.text(*info, 1000) == camera.address
    assert gentl.number(*info, 5) == 5  # open here
    assert gentl.number("DevGetInfo", opened.device, 9) == 1_000_000_000
    assert (
        gentl.call("IFGetDeviceInfo", opened.interface, b"nobody", 1, None, None, byref(c_size_t()))
        == INVALID_ID
    )
    again = c_void_p()
    assert gentl.call("IFOpenDevice", opened.interface, opened.id, EXCLUSIVE, byref(again)) == RESOURCE_IN_USE
    assert gentl.call("DevOpenDataStream", opened.device, b"Stream0", byref(again)) == RESOURCE_IN_USE
    assert gentl.call("GCRegisterEvent", opened.device, 5, byref(again)) == NOT_IMPLEMENTED


def test_every_module_has_a_feature_map(gentl: Gentl, opened: Opened) -> None:
    for module in (opened.system, opened.interface, opened.device, opened.stream, opened.remote):
        count = c_uint32()
        gentl.ok("GCGetNumPortURLs", module, byref(count))
        assert count.value >= 1
        assert gentl.text("GCGetPortURLInfo", module, 0, 0).lower().startswith("local:")
    size = c_size_t(8)
    data = ctypes.create_string_buffer(8)
    assert gentl.call("GCReadPort", opened.system, c_uint64(1), data, byref(size)) == INVALID_ADDRESS
    assert gentl.call("GCWritePort", opened.device, c_uint64(0x1000), data, byref(size)) == ACCESS_DENIED


def test_odd_addresses_and_sizes_are_read_and_written(gentl: Gentl, opened: Opened) -> None:
    """The protocol knows whole words; GenApi asks for bytes."""
    manufacturer = 0x0048
    whole, size = ctypes.create_string_buffer(32), c_size_t(32)
    gentl.ok("GCReadPort", opened.remote, c_uint64(manufacturer), whole, byref(size))
    part, size = ctypes.create_string_buffer(5), c_size_t(5)
    gentl.ok("GCReadPort", opened.remote, c_uint64(manufacturer + 3), part, byref(size))
    assert part.raw == whole.raw[3:8]
    user_name = 0x00E8
    for text in (b"abcdefgh", b"xyz"):
        size = c_size_t(len(text))
        gentl.ok("GCWritePort", opened.remote, c_uint64(user_name), text, byref(size))
    back, size = ctypes.create_string_buffer(8), c_size_t(8)
    gentl.ok("GCReadPort", opened.remote, c_uint64(user_name), back, byref(size))
    assert back.raw == b"xyzdefgh"


def test_frames_arrive_in_the_memory_of_the_caller(gentl: Gentl, opened: Opened) -> None:
    memory = [np.full(PIXELS, 7, np.uint8) for _ in range(4)]
    handles = {}
    for index, block in enumerate(memory):
        arguments = (block.ctypes.data_as(c_void_p), c_size_t(block.nbytes), c_void_p(1000 + index))
        handle = gentl.handle("DSAnnounceBuffer", opened.stream, *arguments)
        handles[handle.value] = index
        gentl.ok("DSQueueBuffer", opened.stream, handle)
        assert gentl.call("DSQueueBuffer", opened.stream, handle) == RESOURCE_IN_USE
    assert opened.next_buffer(0)[0] == TIMEOUT
    gentl.ok("DSStartAcquisition", opened.stream, 0, c_uint64(2**64 - 1))
    assert gentl.call("DSStartAcquisition", opened.stream, 0, c_uint64(1)) == RESOURCE_IN_USE
    assert opened.write(opened.feature_address(ACQUISITION_START), 1) == OK
    for _ in range(6):
        code, buffer, user = opened.next_buffer(3000)
        assert code == OK, gentl.last_error()
        index = handles[buffer.value]
        assert user == 1000 + index
        assert memory[index].std() > 0  # no longer what it was filled with
        assert gentl.number("DSGetBufferInfo", opened.stream, buffer, 10) == 320
        assert gentl.number("DSGetBufferInfo", opened.stream, buffer, 7) & 0xFF == 0  # complete
        gentl.ok("DSQueueBuffer", opened.stream, buffer)
    assert gentl.call("DSFlushQueue", opened.stream, ALL_DISCARD) == BUSY
    queued = c_void_p(next(iter(handles)))
    for _ in range(2):
        gentl.ok("DSStopAcquisition", opened.stream, 1)
    gentl.ok("DSFlushQueue", opened.stream, ALL_DISCARD)
    gentl.ok("DSRevokeBuffer", opened.stream, queued, byref(c_void_p()), byref(c_void_p()))
    assert gentl.call("DSRevokeBuffer", opened.stream, queued, None, None) == INVALID_HANDLE


def test_it_delivers_no_more_than_asked_for(gentl: Gentl, opened: Opened) -> None:
    for _ in range(3):
        buffer = gentl.handle("DSAllocAndAnnounceBuffer", opened.stream, c_size_t(PIXELS), None)
        gentl.ok("DSQueueBuffer", opened.stream, buffer)
    gentl.ok("DSStartAcquisition", opened.stream, 0, c_uint64(2))
    assert opened.write(opened.feature_address(ACQUISITION_START), 1) == OK
    for _ in range(2):
        code, buffer, _user = opened.next_buffer(3000)
        assert code == OK
        gentl.ok("DSQueueBuffer", opened.stream, buffer)
    assert opened.next_buffer(200)[0] == TIMEOUT


def test_a_start_needs_buffers(gentl: Gentl, opened: Opened) -> None:
    assert gentl.call("DSStartAcquisition", opened.stream, 0, c_uint64(1)) == INVALID_BUFFER
    assert gentl.call("DSGetBufferID", opened.stream, 0, byref(c_void_p())) == INVALID_INDEX


@pytest.mark.parametrize("end", ["EventKill", "DSClose", "DevClose"])
def test_a_wait_for_a_frame_can_be_ended(gentl: Gentl, opened: Opened, end: str) -> None:
    result: list[int] = []
    waiter = threading.Thread(target=lambda: result.append(opened.next_buffer(60_000)[0]))
    waiter.start()
    handle = {"EventKill": opened.event, "DSClose": opened.stream, "DevClose": opened.device}[end]
    while waiter.is_alive():  # EventKill ends a wait that has begun
        gentl.call(end, handle)
        waiter.join(0.05)
    assert result in ([ABORT], [INVALID_HANDLE])


def test_no_call_on_a_dead_camera_hangs_or_crashes(
    gentl: Gentl, camera: CameraProcess, opened: Opened
) -> None:
    buffers = []
    for _ in range(3):
        buffers.append(gentl.handle("DSAllocAndAnnounceBuffer", opened.stream, c_size_t(PIXELS), None))
        gentl.ok("DSQueueBuffer", opened.stream, buffers[-1])
    start = opened.feature_address(ACQUISITION_START)
    gentl.ok("DSStartAcquisition", opened.stream, 0, c_uint64(2**64 - 1))
    assert opened.write(start, 1) == OK
    assert opened.next_buffer(3000)[0] == OK
    camera.kill()
    code = OK
    while code in (OK, TIMEOUT):  # what had arrived is still handed out
        code, buffer, _user = opened.next_buffer(3000)
        if code == OK:
            gentl.call("DSQueueBuffer", opened.stream, buffer)
    assert code == IO
    assert "no longer answers" in gentl.last_error()
    size, data = c_size_t(4), ctypes.create_string_buffer(4)
    assert gentl.call("GCReadPort", opened.remote, c_uint64(0), data, byref(size)) == IO
    assert opened.write(start, 1) == IO
    assert gentl.call("GCGetPortURL", opened.remote, None, byref(size)) == IO
    # The order of harvesters, and then anything once more.
    gentl.ok("DSStopAcquisition", opened.stream, 1)
    gentl.ok("DSFlushQueue", opened.stream, ALL_DISCARD)
    gentl.ok("EventFlush", opened.event)
    assert gentl.call("DSStartAcquisition", opened.stream, 0, c_uint64(1)) == IO
    for buffer in buffers:
        gentl.ok("DSRevokeBuffer", opened.stream, buffer, None, None)
    gentl.ok("EventFlush", opened.event)
    gentl.ok("DSClose", opened.stream)
    gentl.ok("DevClose", opened.device)
    for name, handle in (
        ("EventFlush", opened.event),
        ("EventKill", opened.event),
        ("DSClose", opened.stream),
        ("DevClose", opened.device),
    ):
        assert gentl.call(name, handle) == INVALID_HANDLE
    assert gentl.call("IFOpenDevice", opened.interface, opened.id, EXCLUSIVE, byref(c_void_p())) == INVALID_ID
