"""Calls of the GenTL C interface through ctypes, for tests of a producer."""

import ctypes
import io
import re
import zipfile
from ctypes import byref, c_int32, c_size_t, c_uint8, c_uint64, c_void_p
from pathlib import Path

from cameras import CameraProcess

OK = 0
NOT_INITIALIZED, NOT_IMPLEMENTED, RESOURCE_IN_USE, ACCESS_DENIED = -1002, -1003, -1004, -1005
INVALID_HANDLE, INVALID_ID, INVALID_PARAMETER, IO, TIMEOUT, ABORT = -1006, -1007, -1009, -1010, -1011, -1012
INVALID_BUFFER, NOT_AVAILABLE, INVALID_ADDRESS, TOO_SMALL, INVALID_INDEX, BUSY = (
    -1013, -1014, -1015, -1016, -1017, -1022,
)  # fmt: skip
NEW_BUFFER = 1
ALL_DISCARD = 4
EXCLUSIVE = 4


class Gentl:
    """Thin: every method is one call and returns its error code, or raises it when not told to expect it."""

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))

    def call(self, name: str, *arguments: object) -> int:
        code: int = getattr(self.library, name)(*arguments)
        return code

    def ok(self, name: str, *arguments: object) -> None:
        code = self.call(name, *arguments)
        assert code == OK, f"{name}: {code} {self.last_error()}"

    def last_error(self) -> str:
        code, size, text = c_int32(), c_size_t(512), ctypes.create_string_buffer(512)
        assert self.call("GCGetLastError", byref(code), text, byref(size)) == OK
        return text.value.decode()

    def handle(self, name: str, *arguments: object) -> c_void_p:
        handle = c_void_p()
        self.ok(name, *arguments, byref(handle))
        assert handle.value
        return handle

    def text(self, name: str, *arguments: object, typed: bool = True) -> str:
        size, kind = c_size_t(), c_int32()
        extra = (byref(kind),) if typed else ()
        self.ok(name, *arguments, *extra, None, byref(size))
        text = ctypes.create_string_buffer(size.value)
        self.ok(name, *arguments, *extra, text, byref(size))
        return text.value.decode()

    def number(self, name: str, *arguments: object) -> int:
        value, size, kind = c_uint64(), c_size_t(8), c_int32()
        self.ok(name, *arguments, byref(kind), byref(value), byref(size))
        return value.value


class Opened:
    """A camera opened through the C interface, down to its stream."""

    def __init__(self, gentl: Gentl, camera: CameraProcess) -> None:
        self.gentl, self.camera, changed = gentl, camera, c_uint8()
        self.system = gentl.handle("TLOpen")
        gentl.ok("TLUpdateInterfaceList", self.system, byref(changed), c_uint64(1000))
        wanted = f"address:{camera.address}".encode()
        self.interface = gentl.handle("TLOpenInterface", self.system, wanted)
        gentl.ok("IFUpdateDeviceList", self.interface, byref(changed), c_uint64(1000))
        self.id = gentl.text("IFGetDeviceID", self.interface, 0, typed=False).encode()
        self.device = gentl.handle("IFOpenDevice", self.interface, self.id, EXCLUSIVE)
        self.remote = gentl.handle("DevGetPort", self.device)
        self.stream = gentl.handle("DevOpenDataStream", self.device, b"Stream0")
        self.event = gentl.handle("GCRegisterEvent", self.stream, NEW_BUFFER)

    def feature_address(self, name: str) -> int:
        """Find a command's register in the camera's own description."""
        url = self.gentl.text("GCGetPortURL", self.remote, typed=False)
        place = re.match(r"(?i)local:([^;]+);([0-9a-f]+);([0-9a-f]+)", url)
        assert place
        data, size = ctypes.create_string_buffer(int(place[3], 16)), c_size_t(int(place[3], 16))
        self.gentl.ok("GCReadPort", self.remote, c_uint64(int(place[2], 16)), data, byref(size))
        xml = unpacked(data.raw)
        node = re.search(rf'<Command Name="{name}".*?<pValue>(\w+)</pValue>', xml, re.DOTALL)
        assert node
        register = re.search(rf'Name="{node[1]}".*?<Address>(0x[0-9A-Fa-f]+)', xml, re.DOTALL)
        assert register
        return int(register[1], 16)

    def stream_register(self, name: str) -> int:
        """Find a feature's register in the description of our own data stream module."""
        pattern = rf'Name="{name}Reg".*?<Address>(0x[0-9A-Fa-f]+)'
        register = re.search(pattern, self._stream_description(), re.DOTALL)
        assert register, name
        return int(register[1], 16)

    def stream_feature(self, name: str) -> int:
        value, size = c_uint64(), c_size_t(8)
        register = c_uint64(self.stream_register(name))
        self.gentl.ok("GCReadPort", self.stream, register, byref(value), byref(size))
        return value.value

    def _stream_description(self) -> str:
        url = self.gentl.text("GCGetPortURL", self.stream, typed=False)
        place = re.match(r"(?i)local:([^;]+);([0-9a-f]+);([0-9a-f]+)", url)
        assert place
        data, size = ctypes.create_string_buffer(int(place[3], 16)), c_size_t(int(place[3], 16))
        self.gentl.ok("GCReadPort", self.stream, c_uint64(int(place[2], 16)), data, byref(size))
        return data.raw.decode()

    def story(self) -> str:
        """Why no frame came: what the producer has counted, and what the camera says when it is ended."""
        names = re.findall(r'Name="(Stream\w+Count)Reg"', self._stream_description())
        counted = ", ".join(f"{name} {self.stream_feature(name)}" for name in names)
        return f"{counted}; {self.camera.last_words()}"

    def set_stream_feature(self, name: str, value: int) -> None:
        register, size = c_uint64(self.stream_register(name)), c_size_t(8)
        self.gentl.ok("GCWritePort", self.stream, register, byref(c_uint64(value)), byref(size))

    def write(self, address: int, value: int) -> int:
        data, size = value.to_bytes(4, "big"), c_size_t(4)
        return self.gentl.call("GCWritePort", self.remote, c_uint64(address), data, byref(size))

    def next_buffer(self, timeout_ms: int) -> tuple[int, c_void_p, int]:
        data, size = (c_void_p * 2)(), c_size_t(16)
        code = self.gentl.call("EventGetData", self.event, data, byref(size), c_uint64(timeout_ms))
        return code, c_void_p(data[0]), data[1] or 0

    def close(self) -> None:
        for name, handle in (
            ("DevClose", self.device),
            ("IFClose", self.interface),
            ("TLClose", self.system),
        ):
            self.gentl.call(name, handle)


def unpacked(data: bytes) -> str:
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(archive.namelist()[0])
    return data.decode()
