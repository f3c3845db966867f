"""Calls of the CUDA driver that pycuda (2026.1) lacks: graphs, read-only page-locking, waiting on any thread,
events within graphs.

pycuda and this file share the process' primary context. Prototypes: cuda.h of CUDA 12 and 13.
"""

import ctypes
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_void_p
from typing import Any, Final

from inspector.detect.cuda.gpu_slot import GpuError
from inspector.errors import ConfigError

_CAPTURE_THREAD_LOCAL: Final = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
_EVENT_BLOCKING_SYNC: Final = 0x1  # CU_EVENT_BLOCKING_SYNC: who waits sleeps
_EVENT_DISABLE_TIMING: Final = 0x2  # CU_EVENT_DISABLE_TIMING
_RECORD_EXTERNAL: Final = 0x1  # CU_EVENT_RECORD_EXTERNAL
_REGISTER_PORTABLE_MAPPED: Final = 0x1 | 0x2  # CU_MEMHOSTREGISTER_PORTABLE, _DEVICEMAP
_REGISTER_READ_ONLY: Final = 0x8  # CU_MEMHOSTREGISTER_READ_ONLY: frames are mapped without write access


class DriverApi:
    """libcuda. Every call raises GpuError with CUDA's name of the error."""

    def __init__(self, library: str = "libcuda.so.1") -> None:
        try:
            self._cuda: Any = ctypes.CDLL(library)
        except OSError as error:
            raise ConfigError(
                "no NVIDIA driver was found (libcuda.so.1); install it, or set detector.engine to openvino"
            ) from error

    def current_context(self) -> int:
        context = c_void_p()
        self._call("cuCtxGetCurrent", byref(context))
        return context.value or 0

    def use_context(self, context: int) -> None:
        """Make a context current on the calling thread."""
        self._call("cuCtxSetCurrent", c_void_p(context))

    def event(self, *, timed: bool = False) -> int:
        """A mark in a stream. The time of one that is not `timed` cannot be asked, which makes it cheaper."""
        event = c_void_p()
        flags = _EVENT_BLOCKING_SYNC | (0 if timed else _EVENT_DISABLE_TIMING)
        self._call("cuEventCreate", byref(event), c_uint(flags))
        return event.value or 0

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", c_void_p(event), c_void_p(stream))

    def record_within_graph(self, event: int, stream: int) -> None:
        """Have the graph that `stream` captures record the event in each run. Not legal outside a capture."""
        self._call("cuEventRecordWithFlags", c_void_p(event), c_void_p(stream), c_uint(_RECORD_EXTERNAL))

    def elapsed_ms(self, earlier: int, later: int) -> float:
        """Time between two timed events that have been reached, to half a microsecond. Waits for nothing."""
        milliseconds = c_float()
        self._call("cuEventElapsedTime", byref(milliseconds), c_void_p(earlier), c_void_p(later))
        return milliseconds.value

    def wait(self, event: int) -> None:
        """Sleep until the event is reached. ctypes gives Python's lock free meanwhile."""
        self._call("cuEventSynchronize", c_void_p(event))

    def destroy_event(self, event: int) -> None:
        self._call("cuEventDestroy_v2", c_void_p(event))

    def lock_memory(self, start: int, size: int) -> None:
        """Page-lock a mapping that this process may only read."""
        flags = _REGISTER_PORTABLE_MAPPED | _REGISTER_READ_ONLY
        self._call("cuMemHostRegister_v2", c_void_p(start), c_size_t(size), c_uint(flags))

    def unlock_memory(self, start: int) -> None:
        self._call("cuMemHostUnregister", c_void_p(start))

    def device_address(self, host: int) -> int:
        """Where the device sees page-locked host memory."""
        address = c_void_p()
        self._call("cuMemHostGetDevicePointer_v2", byref(address), c_void_p(host), c_uint(0))
        return address.value or 0

    def copy_in(self, device: int, host: int, size: int, stream: int) -> None:
        """Enqueue a copy to the device. `host` stays as it is until the copy is over."""
        self._call("cuMemcpyHtoDAsync_v2", c_void_p(device), c_void_p(host), c_size_t(size), c_void_p(stream))

    def copy_out(self, host: int, device: int, size: int, stream: int) -> None:
        self._call("cuMemcpyDtoHAsync_v2", c_void_p(host), c_void_p(device), c_size_t(size), c_void_p(stream))

    def begin_capture(self, stream: int) -> None:
        self._call("cuStreamBeginCapture_v2", c_void_p(stream), c_int(_CAPTURE_THREAD_LOCAL))

    def end_capture(self, stream: int) -> int:
        """Return the captured work as an executable graph."""
        graph, executable = c_void_p(), c_void_p()
        self._call("cuStreamEndCapture", c_void_p(stream), byref(graph))
        try:
            self._call("cuGraphInstantiateWithFlags", byref(executable), graph, ctypes.c_ulonglong(0))
        finally:
            self._call("cuGraphDestroy", graph)
        return executable.value or 0

    def launch(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", c_void_p(graph), c_void_p(stream))

    def destroy_graph(self, graph: int) -> None:
        self._call("cuGraphExecDestroy", c_void_p(graph))

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._cuda, name)(*arguments)
        if status != 0:
            text = c_char_p()
            self._cuda.cuGetErrorName(c_int(status), byref(text))
            code = text.value.decode() if text.value else f"CUresult {status}"
            raise GpuError(code, f"{name} failed")
