"""What our GenTL producer answers to a consumer that errs: GenTL 1.6, chapter 6, error codes."""

import ctypes
from collections.abc import Callable, Iterator
from ctypes import byref, c_int32, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p

import pytest
from cameras import CameraProcess, build_producer, virtual_camera
from gentl_calls import (
    ACCESS_DENIED,
    BUSY,
    EXCLUSIVE,
    INVALID_ADDRESS,
    INVALID_BUFFER,
    INVALID_HANDLE,
    INVALID_ID,
    INVALID_INDEX,
    INVALID_PARAMETER,
    NOT_IMPLEMENTED,
    OK,
    RESOURCE_IN_USE,
    TOO_SMALL,
    Gentl,
    Opened,
)

from inspector.camera.gentl_system import ADDRESSES_VARIABLE

NO_DATA, NOT_AVAILABLE = -1008, -1014
FIRST_WRITABLE = 0x1000 + 23 * 0x100  # StreamSocketBufferSize
ROOM = ctypes.create_string_buffer(64)


@pytest.fixture(scope="module")
def camera() -> Iterator[CameraProcess]:
    process = virtual_camera("--width", "320", "--height", "240")
    process.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(ADDRESSES_VARIABLE, process.address)
        yield process
    process.kill()


@pytest.fixture(scope="module")
def at(camera: CameraProcess) -> Iterator[Opened]:
    gentl = Gentl(build_producer())
    gentl.ok("GCInitLib")
    opened = Opened(gentl, camera)
    yield opened
    opened.close()
    gentl.ok("GCCloseLib")


def size(value: int) -> object:
    return byref(c_size_t(value))


def handle() -> object:
    return byref(c_void_p())


# Function, its arguments (given what is open), and the code that it must answer.
Row = tuple[str, Callable[[Opened], tuple[object, ...]], int]
ERRORS: list[Row] = [
    # null pointers
    ("TLOpen", lambda _: (None,), INVALID_PARAMETER),
    ("GCGetInfo", lambda _: (1, None, ROOM, None), INVALID_PARAMETER),
    ("GCGetLastError", lambda _: (None, None, None), INVALID_PARAMETER),
    ("TLGetNumInterfaces", lambda at: (at.system, None), INVALID_PARAMETER),
    ("TLGetInterfaceID", lambda at: (at.system, 0, ROOM, None), INVALID_PARAMETER),
    ("TLGetInterfaceInfo", lambda at: (at.system, None, 0, None, None, size(0)), INVALID_PARAMETER),
    ("TLOpenInterface", lambda at: (at.system, None, handle()), INVALID_PARAMETER),
    ("TLOpenInterface", lambda at: (at.system, b"x", None), INVALID_PARAMETER),
    ("IFGetNumDevices", lambda at: (at.interface, None), INVALID_PARAMETER),
    ("IFGetDeviceInfo", lambda at: (at.interface, None, 0, None, None, size(0)), INVALID_PARAMETER),
    ("IFOpenDevice", lambda at: (at.interface, None, EXCLUSIVE, handle()), INVALID_PARAMETER),
    ("IFOpenDevice", lambda at: (at.interface, at.id, EXCLUSIVE, None), INVALID_PARAMETER),
    ("IFGetParentTL", lambda at: (at.interface, None), INVALID_PARAMETER),
    ("DevGetPort", lambda at: (at.device, None), INVALID_PARAMETER),
    ("DevGetNumDataStreams", lambda at: (at.device, None), INVALID_PARAMETER),
    ("DevOpenDataStream", lambda at: (at.device, None, handle()), INVALID_PARAMETER),
    ("DevOpenDataStream", lambda at: (at.device, b"Stream0", None), INVALID_PARAMETER),
    ("DevGetParentIF", lambda at: (at.device, None), INVALID_PARAMETER),
    ("DSAnnounceBuffer", lambda at: (at.stream, None, c_size_t(64), None, handle()), INVALID_PARAMETER),
    ("DSAnnounceBuffer", lambda at: (at.stream, ROOM, c_size_t(64), None, None), INVALID_PARAMETER),
    ("DSGetBufferID", lambda at: (at.stream, 0, None), INVALID_PARAMETER),
    ("DSGetInfo", lambda at: (at.stream, 0, None, ROOM, None), INVALID_PARAMETER),
    ("DSGetParentDev", lambda at: (at.stream, None), INVALID_PARAMETER),
    ("DSGetBufferInfoStacked", lambda at: (at.stream, at.stream, None, c_size_t(1)), INVALID_PARAMETER),
    ("GCRegisterEvent", lambda at: (at.stream, 1, None), INVALID_PARAMETER),
    ("EventGetData", lambda at: (at.event, None, size(16), c_uint64(0)), INVALID_PARAMETER),
    ("EventGetDataInfo", lambda at: (at.event, None, c_size_t(16), 0, None, ROOM, None), INVALID_PARAMETER),
    ("GCReadPort", lambda at: (at.remote, c_uint64(0), None, size(4)), INVALID_PARAMETER),
    ("GCReadPort", lambda at: (at.remote, c_uint64(0), ROOM, None), INVALID_PARAMETER),
    ("GCWritePort", lambda at: (at.remote, c_uint64(0), None, size(4)), INVALID_PARAMETER),
    ("GCReadPortStacked", lambda at: (at.remote, None, size(1)), INVALID_PARAMETER),
    ("GCGetNumPortURLs", lambda at: (at.remote, None), INVALID_PARAMETER),
    # sizes
    ("TLGetInfo", lambda at: (at.system, 1, None, ROOM, size(1)), TOO_SMALL),
    ("IFGetDeviceID", lambda at: (at.interface, 0, ROOM, size(1)), TOO_SMALL),
    ("DSGetInfo", lambda at: (at.stream, 1, None, ROOM, size(7)), TOO_SMALL),
    ("GCGetPortURL", lambda at: (at.stream, ROOM, size(2)), TOO_SMALL),
    ("EventGetData", lambda at: (at.event, ROOM, size(8), c_uint64(0)), TOO_SMALL),
    ("DSAnnounceBuffer", lambda at: (at.stream, ROOM, c_size_t(0), None, handle()), INVALID_PARAMETER),
    ("DSAllocAndAnnounceBuffer", lambda at: (at.stream, c_size_t(0), None, handle()), INVALID_PARAMETER),
    ("GCReadPort", lambda at: (at.remote, c_uint64(0), ROOM, size(2**40)), INVALID_ADDRESS),
    ("GCReadPort", lambda at: (at.stream, c_uint64(FIRST_WRITABLE), ROOM, size(9)), INVALID_PARAMETER),
    ("GCReadPort", lambda at: (at.stream, c_uint64(0x100000), ROOM, size(2**20)), INVALID_ADDRESS),
    ("GCWritePort", lambda at: (at.stream, c_uint64(FIRST_WRITABLE), ROOM, size(4)), INVALID_PARAMETER),
    # values and ids
    ("GCReadPort", lambda at: (at.remote, c_uint64(2**32), ROOM, size(4)), INVALID_ADDRESS),
    ("GCWritePort", lambda at: (at.remote, c_uint64(2**64 - 2), ROOM, size(4)), INVALID_ADDRESS),
    ("GCReadPort", lambda at: (at.stream, c_uint64(0x10), ROOM, size(4)), INVALID_ADDRESS),
    ("GCWritePort", lambda at: (at.stream, c_uint64(0x1100), ROOM, size(8)), ACCESS_DENIED),
    ("GCWritePort", lambda at: (at.stream, c_uint64(FIRST_WRITABLE), bytes(8), size(8)), INVALID_PARAMETER),
    ("TLGetInterfaceID", lambda at: (at.system, 999, None, size(0)), INVALID_INDEX),
    ("TLOpenInterface", lambda at: (at.system, b"nowhere", handle()), INVALID_ID),
    ("IFGetDeviceID", lambda at: (at.interface, 999, None, size(0)), INVALID_INDEX),
    ("IFOpenDevice", lambda at: (at.interface, at.id, 99, handle()), INVALID_PARAMETER),
    ("IFOpenDevice", lambda at: (at.interface, at.id, 2, handle()), NOT_IMPLEMENTED),
    ("DevGetDataStreamID", lambda at: (at.device, 1, None, size(0)), INVALID_INDEX),
    ("DSGetBufferID", lambda at: (at.stream, 99, handle()), INVALID_INDEX),
    ("DSFlushQueue", lambda at: (at.stream, 77), INVALID_PARAMETER),
    ("DSFlushQueue", lambda at: (at.stream, -1), INVALID_PARAMETER),
    ("DSStartAcquisition", lambda at: (at.stream, 0, c_uint64(0)), INVALID_PARAMETER),
    ("DSStartAcquisition", lambda at: (at.stream, 5, c_uint64(1)), INVALID_PARAMETER),
    ("DSStopAcquisition", lambda at: (at.stream, 7), INVALID_PARAMETER),
    ("GCGetPortURLInfo", lambda at: (at.stream, 9, 0, None, None, size(0)), INVALID_INDEX),
    # a handle of the wrong kind
    ("TLClose", lambda at: (at.stream,), INVALID_HANDLE),
    ("DevClose", lambda at: (at.remote,), INVALID_HANDLE),
    ("DSQueueBuffer", lambda at: (at.stream, at.event), INVALID_HANDLE),
    ("DSGetNumBufferParts", lambda at: (at.stream, at.event, byref(c_uint32())), INVALID_HANDLE),
    ("DSGetNumFlows", lambda at: (at.device, byref(c_uint32())), INVALID_HANDLE),
    ("EventKill", lambda at: (at.stream,), INVALID_HANDLE),
    # wrong order
    ("TLOpen", lambda _: (handle(),), RESOURCE_IN_USE),
    ("GCInitLib", lambda _: (), RESOURCE_IN_USE),
    ("IFOpenDevice", lambda at: (at.interface, at.id, EXCLUSIVE, handle()), RESOURCE_IN_USE),
    ("GCRegisterEvent", lambda at: (at.stream, 1, handle()), RESOURCE_IN_USE),
    ("GCUnregisterEvent", lambda at: (at.device, 1), INVALID_PARAMETER),
    ("DSStartAcquisition", lambda at: (at.stream, 0, c_uint64(1)), INVALID_BUFFER),
    # what there is not
    ("GCRegisterEvent", lambda at: (at.stream, 0, handle()), NOT_IMPLEMENTED),
    ("EventGetInfo", lambda at: (at.event, 99, None, None, size(0)), NOT_IMPLEMENTED),
    ("TLGetInfo", lambda at: (at.system, 99, None, None, size(0)), NOT_IMPLEMENTED),
    ("DevGetInfo", lambda at: (at.device, 99, None, None, size(0)), NOT_IMPLEMENTED),
    ("DSGetInfo", lambda at: (at.stream, 99, None, None, size(0)), NOT_IMPLEMENTED),
    ("DSGetInfo", lambda at: (at.stream, 7, None, None, size(0)), NOT_AVAILABLE),
    ("DSGetNumFlows", lambda at: (at.stream, byref(c_uint32())), NOT_IMPLEMENTED),
    ("DSAnnounceCompositeBuffer", lambda at: (at.stream, *[None] * 5), NOT_IMPLEMENTED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "code"), ERRORS, ids=lambda each: each if isinstance(each, str) else ""
)
def test_each_error_has_its_code(
    at: Opened, name: str, arguments: Callable[[Opened], tuple[object, ...]], code: int
) -> None:
    assert at.gentl.call(name, *arguments(at)) == code
    if name != "GCGetLastError":
        last = c_int32()
        assert at.gentl.call("GCGetLastError", byref(last), None, size(0)) == OK
        assert last.value == code
        assert at.gentl.last_error()


def test_a_buffer_that_was_never_filled_says_so(at: Opened) -> None:
    gentl, buffer = at.gentl, at.gentl.handle("DSAllocAndAnnounceBuffer", at.stream, c_size_t(4096), None)
    info = ("DSGetBufferInfo", at.stream, buffer)
    assert gentl.number(*info, 7) & 0xFF == 1  # incomplete
    assert gentl.call(*info, 10, None, ROOM, size(8)) == NOT_AVAILABLE  # width
    assert gentl.call(*info, 999, None, ROOM, size(8)) == NOT_AVAILABLE
    assert gentl.call("DSGetBufferChunkData", at.stream, buffer, None, size(0)) == NO_DATA
    assert gentl.call("DSGetNumBufferParts", at.stream, buffer, byref(c_uint32())) == NO_DATA
    assert (
        gentl.call("DSGetBufferSegmentInfo", at.stream, buffer, 0, 0, None, None, size(0)) == NOT_IMPLEMENTED
    )
    gentl.ok("DSQueueBuffer", at.stream, buffer)
    gentl.ok("DSFlushQueue", at.stream, 0)  # input to output: handed out unfilled
    code, same, _user = at.next_buffer(0)
    assert (code, same.value) == (OK, buffer.value)
    gentl.ok("DSRevokeBuffer", at.stream, buffer, None, None)
    assert gentl.call("DSRevokeBuffer", at.stream, buffer, None, None) == INVALID_HANDLE


def test_what_runs_cannot_be_taken_away(at: Opened) -> None:
    gentl = at.gentl
    buffers = [gentl.handle("DSAllocAndAnnounceBuffer", at.stream, c_size_t(76800), None) for _ in range(2)]
    gentl.ok("DSQueueBuffer", at.stream, buffers[0])
    gentl.ok("DSStartAcquisition", at.stream, 0, c_uint64(2**64 - 1))
    small = gentl.handle("DSAllocAndAnnounceBuffer", at.stream, c_size_t(100), None)
    assert gentl.call("DSQueueBuffer", at.stream, small) == INVALID_BUFFER
    assert gentl.call("DSRevokeBuffer", at.stream, buffers[0], None, None) == BUSY
    assert gentl.call("DSFlushQueue", at.stream, 4) == BUSY
    assert gentl.call("DSFlushQueue", at.stream, 0) == BUSY
    gentl.ok("DSRevokeBuffer", at.stream, buffers[1], None, None)  # this one was not queued
    gentl.ok("DSStopAcquisition", at.stream, 0)
    gentl.ok("DSFlushQueue", at.stream, 4)
    for buffer in (buffers[0], small):
        gentl.ok("DSRevokeBuffer", at.stream, buffer, None, None)


def test_closing_a_module_closes_what_is_below(camera: CameraProcess, at: Opened) -> None:
    other = virtual_camera("--width", "320", "--height", "240")
    other.start()
    gentl, changed = at.gentl, c_uint8()
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(ADDRESSES_VARIABLE, f"{camera.address},{other.address}")
            gentl.ok("TLUpdateInterfaceList", at.system, byref(changed), c_uint64(1000))
        interface = gentl.handle("TLOpenInterface", at.system, f"address:{other.address}".encode())
        gentl.ok("IFUpdateDeviceList", interface, byref(changed), c_uint64(1000))
        identifier = gentl.text("IFGetDeviceID", interface, 0, typed=False).encode()
        device = gentl.handle("IFOpenDevice", interface, identifier, EXCLUSIVE)
        stream = gentl.handle("DevOpenDataStream", device, b"Stream0")
        buffer = gentl.handle("DSAllocAndAnnounceBuffer", stream, c_size_t(64), None)
        gentl.ok("IFClose", interface)
        for name, closed in (("DevClose", device), ("DSClose", stream)):
            assert gentl.call(name, closed) == INVALID_HANDLE
        assert gentl.call("DSQueueBuffer", stream, buffer) == INVALID_HANDLE
        assert at.write(0x0938, 3000) == OK  # the other interface's camera is untouched
    finally:
        other.kill()
