"""pycuda and libcuda on the host: what they do for a `PycudaSlot`, in order and by their rules.

Device memory is host memory, kernels are ours compiled by cc. A stream is a thread of its own, so that what
is read too early is not there yet. An error on the "device" stays.
"""

import ctypes
import itertools
import queue
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from host_kernels import DecodeArguments, PrepareArguments, compile_for_host

from inspector.detect.cuda.decode_plan import WORK_INTS_PER_CELL, Answer
from inspector.detect.cuda.gpu_slot import GpuError
from inspector.detect.cuda.nvrtc import KERNELS

Call = Callable[[], object]
WAIT_S = 20.0


class Memory:
    """A device allocation. pycuda gives it back with the last reference, if the context is there still."""

    def __init__(self, cuda: "HostCuda", size: int) -> None:
        self._address = cuda.zeros(int(size), np.uint8).ctypes.data
        self._cuda = cuda
        cuda.taken += 1

    def __int__(self) -> int:
        return int(self._address)

    def __del__(self) -> None:
        self._cuda.taken -= 1
        self._cuda.given_back_late += not self._cuda.has_context


class HostStream:
    """Runs what is enqueued on a thread, or keeps it while a graph is captured."""

    def __init__(self, cuda: "HostCuda", flags: int) -> None:
        self.handle = next(cuda.numbers)
        self.flags = flags
        self.captured: list[Call] | None = None
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        thread = threading.Thread(target=_work, args=(self._calls, cuda), name="host-stream", daemon=True)
        thread.start()

    def enqueue(self, call: Call) -> None:
        if self.captured is None:
            self._calls.put(call)
        else:
            self.captured.append(call)

    def __del__(self) -> None:
        self._calls.put(None)


def _work(calls: "queue.SimpleQueue[Call | None]", cuda: "HostCuda") -> None:
    while (call := calls.get()) is not None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it was, the device reports it from now on
            cuda.error = error


class Event:
    def __init__(self, *, timed: bool) -> None:
        self.timed = timed
        self.reached = threading.Event()
        self.at_s = 0.0

    def reach(self) -> None:
        self.at_s = time.perf_counter()
        self.reached.set()


class Context:
    """The primary context, on the stack of the thread that opened the GPU."""

    def __init__(self, cuda: "HostCuda") -> None:
        self._cuda = cuda

    def synchronize(self) -> None:
        assert not self._cuda.capturing

    def detach(self) -> None:
        assert self._cuda.has_context
        self._cuda.has_context = False


class HostCuda:
    """pycuda.driver and `DriverApi` in one. `fails` names calls that fail, with CUDA's error."""

    class Error(Exception):
        pass

    class MemoryError(Error):  # noqa: A001 - pycuda's name
        pass

    def __init__(self, folder: Path) -> None:
        self.numbers = itertools.count(1)
        self.fails: dict[str, str] = {}
        self.error: Exception | None = None
        self.has_context = True
        self.context = Context(self)
        self.taken = self.given_back_late = 0
        self._memory: list[npt.NDArray[Any]] = []
        self.waits = 0
        self.copies_in: list[int] = []
        self.locked: set[int] = set()
        self.events: dict[int, Event] = {}
        self.graphs: dict[int, list[Call]] = {}
        self._streams: weakref.WeakValueDictionary[int, HostStream] = weakref.WeakValueDictionary()
        self.computes = (
            threading.Lock()
        )  # one kernel at a time: they and OpenVINO's request are not reentrant
        self._host = {name: compile_for_host(name, folder) for name in KERNELS}

    @property
    def capturing(self) -> bool:
        return any(stream.captured is not None for stream in self._streams.values())

    def _check(self, name: str, *, in_capture: bool = True) -> None:
        assert in_capture or not self.capturing, f"{name} breaks a capture"
        if self.error is not None:
            raise GpuError("CUDA_ERROR_LAUNCH_FAILED", f"{name} failed: {self.error!r}")
        if name in self.fails:
            raise GpuError(self.fails[name], f"{name} failed")

    # pycuda

    def Stream(self, flags: int = 0) -> HostStream:  # noqa: N802 - pycuda's name
        stream = HostStream(self, flags)
        self._streams[stream.handle] = stream
        return stream

    def pagelocked_empty(self, shape: Any, kind: Any) -> npt.NDArray[Any]:
        self._check("pagelocked_empty", in_capture=False)
        return self.zeros(shape, kind)

    def zeros(self, shape: Any, kind: Any) -> npt.NDArray[Any]:
        """Memory that stays, as CUDA frees none that the device still works on."""
        self._memory.append(np.zeros(shape, kind))
        return self._memory[-1]

    def mem_alloc(self, size: int) -> Memory:
        assert size > 0
        assert not self.capturing
        if "mem_alloc" in self.fails:
            raise HostCuda.MemoryError("cuMemAlloc failed: out of memory")
        return Memory(self, size)

    def module_from_buffer(self, cubin: bytes) -> "Module":
        return Module(self, cubin)

    def kernel(self, name: str) -> Callable[..., None]:
        return {"prepare": self._prepare, "decode": self._decode}[name]

    def _prepare(self, *arguments: Any, block: Any, grid: Any, stream: HostStream) -> None:
        given = PrepareArguments.unpack(arguments)
        assert grid[0] * block[0] >= given.plan.out_w
        assert grid[1] * block[1] >= given.plan.out_h
        kernel = self._host["prepare"].prepare

        def run() -> None:
            with self.computes:
                kernel(ctypes.c_void_p(given.source), ctypes.c_void_p(given.out), ctypes.byref(given.plan))

        stream.enqueue(run)

    def _decode(self, *arguments: Any, block: Any, grid: Any, stream: HostStream) -> None:
        """One block an image, as the kernel finds its place by the block's number."""
        given = DecodeArguments.unpack(arguments)
        cells, answer_bytes = given.plan.rows * given.plan.columns, ctypes.sizeof(Answer)
        kernel, images = self._host["decode"].decode, range(grid[0])
        assert block[0] <= 1024

        def run() -> None:
            for image in images:
                with self.computes:
                    kernel(
                        ctypes.c_void_p(given.score + 4 * image),
                        ctypes.c_void_p(given.score_map + 4 * cells * image),
                        ctypes.byref(given.plan),
                        ctypes.c_void_p(given.work + 4 * WORK_INTS_PER_CELL * cells * image),
                        ctypes.c_void_p(given.answers + answer_bytes * image),
                    )

        stream.enqueue(run)

    # the driver

    def current_context(self) -> int:
        return 1

    def use_context(self, context: int) -> None:
        assert context == 1

    def event(self, *, timed: bool = False) -> int:
        number = next(self.numbers)
        self.events[number] = Event(timed=timed)
        return number

    def destroy_event(self, event: int) -> None:
        assert self.has_context
        del self.events[event]

    def record(self, event: int, stream: int) -> None:
        self._check("record", in_capture=False)
        mark = self.events[event]
        mark.reached.clear()
        self._streams[stream].enqueue(mark.reach)

    def record_within_graph(self, event: int, stream: int) -> None:
        assert self._streams[stream].captured is not None
        self._streams[stream].enqueue(self.events[event].reach)

    def elapsed_ms(self, earlier: int, later: int) -> float:
        marks = self.events[earlier], self.events[later]
        assert all(mark.timed and mark.reached.is_set() for mark in marks)
        return (marks[1].at_s - marks[0].at_s) * 1e3

    def wait(self, event: int) -> None:
        self.waits += 1
        self._check("wait", in_capture=False)
        assert self.events[event].reached.wait(WAIT_S)
        self._check("wait")

    def lock_memory(self, start: int, size: int) -> None:
        del size
        self.locked.add(start)

    def unlock_memory(self, start: int) -> None:
        assert self.has_context
        self.locked.remove(start)

    def device_address(self, host: int) -> int:
        return host

    def copy_in(self, device: int, host: int, size: int, stream: int) -> None:
        self._check("copy_in")
        self.copies_in.append(host)
        self._streams[stream].enqueue(lambda: ctypes.memmove(device, host, size))

    def copy_out(self, host: int, device: int, size: int, stream: int) -> None:
        self._streams[stream].enqueue(lambda: ctypes.memmove(host, device, size))

    def begin_capture(self, stream: int) -> None:
        assert self._streams[stream].captured is None
        self._streams[stream].captured = []

    def end_capture(self, stream: int) -> int:
        self._check("end_capture")
        captured, self._streams[stream].captured = self._streams[stream].captured, None
        assert captured
        number = next(self.numbers)
        self.graphs[number] = captured
        return number

    def launch(self, graph: int, stream: int) -> None:
        self._check("launch")
        for call in self.graphs[graph]:
            self._streams[stream].enqueue(call)

    def destroy_graph(self, graph: int) -> None:
        assert self.has_context
        del self.graphs[graph]

    def stream(self, handle: int) -> HostStream:
        return self._streams[handle]


class Module:
    def __init__(self, cuda: HostCuda, cubin: bytes) -> None:
        self._cuda, self._cubin = cuda, cubin

    def get_function(self, name: str) -> Callable[..., None]:
        assert name.encode() in self._cubin
        return self._cuda.kernel(name)
