"""pycuda, libcuda and TensorRT on the host: what they do for a `PycudaSlot`, in order and by their rules.

Device memory is host memory, kernels are ours compiled by cc, the network runs in OpenVINO. A stream is a
thread of its own, so that what is read too early is not there yet. An error on the "device" stays.
"""

import ctypes
import itertools
import queue
import struct
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from host_kernels import compile_for_host

from inspector.detect.cuda.batch_graph import with_batch_axis
from inspector.detect.cuda.decode_plan import WORK_INTS_PER_CELL, Answer, DecodeParameters
from inspector.detect.cuda.gpu_slot import GpuError
from inspector.detect.cuda.nvrtc import KERNELS
from inspector.detect.cuda.prepare_plan import Prepare
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.teaching.graph import IMAGE, SCORE, SCORE_MAP

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
        given = _PrepareArguments.unpack(arguments)
        assert grid[0] * block[0] >= given.plan.out_w
        assert grid[1] * block[1] >= given.plan.out_h
        kernel = self._host["prepare"].prepare

        def run() -> None:
            with self.computes:
                kernel(ctypes.c_void_p(given.source), ctypes.c_void_p(given.out), ctypes.byref(given.plan))

        stream.enqueue(run)

    def _decode(self, *arguments: Any, block: Any, grid: Any, stream: HostStream) -> None:
        """One block an image, as the kernel finds its place by the block's number."""
        given = _DecodeArguments.unpack(arguments)
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


class _Arguments(ctypes.Structure):
    """A kernel's parameters as its C compiler lays them out."""

    @classmethod
    def unpack(cls, arguments: tuple[Any, ...]) -> Any:
        """From what pycuda makes of the arguments (`_build_arg_buf`); its `pack` is a copy of Python's."""
        layout = "".join(
            f"{value.itemsize}s" if isinstance(value, np.void) else value.dtype.char for value in arguments
        )
        data = struct.pack(
            layout,
            *(a.tobytes() if isinstance(a, np.void) else a.item() for a in arguments),
        )
        last = getattr(cls, cls._fields_[-1][0])
        assert len(data) == last.offset + last.size, "a launch with a buffer of another size is refused"
        return cls.from_buffer_copy(data.ljust(ctypes.sizeof(cls), b"\0"))


class _PrepareArguments(_Arguments):
    _fields_ = (("source", ctypes.c_uint64), ("out", ctypes.c_uint64), ("plan", Prepare))


class _DecodeArguments(_Arguments):
    _fields_ = (
        ("score", ctypes.c_uint64), ("score_map", ctypes.c_uint64), ("plan", DecodeParameters),
        ("work", ctypes.c_uint64), ("answers", ctypes.c_uint64),
    )  # fmt: skip


class IExecutionContext:
    """A graph captured from it is right while its shape stays, and only after a run with that shape."""

    def __init__(self, cuda: HostCuda, run: CpuRun) -> None:
        self._cuda, self._run = cuda, run
        self._address: dict[str, int] = {}
        self._shape: tuple[int, ...] = ()
        self._ran: tuple[int, ...] = ()
        self._scratch = 0

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory
        assert size == ICudaEngine.device_memory_size_v2
        self._scratch = memory

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert not self._cuda.capturing
        self._address[name] = memory
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == IMAGE
        assert not self._cuda.capturing
        self._shape = shape
        return "set_input_shape" not in self._cuda.fails

    def execute_async_v3(self, stream_handle: int) -> bool:
        shape, stream = self._shape, self._cuda.stream(stream_handle)
        assert self._scratch
        assert stream.captured is None or self._ran == shape, "captured before a run with this shape"
        if "execute_async_v3" in self._cuda.fails:
            return False
        stream.enqueue(lambda: self._infer(shape))
        self._ran = shape
        return True

    def _infer(self, shape: tuple[int, ...]) -> None:
        assert self._shape == shape, "another shape was set since the capture"
        pixels = np.frombuffer(ctypes.string_at(self._address[IMAGE], int(np.prod(shape))), np.uint8)
        with self._cuda.computes:
            outputs = self._run(pixels.reshape(shape))
        for name in (SCORE, SCORE_MAP):
            data = np.ascontiguousarray(outputs[name], np.float32)
            ctypes.memmove(self._address[name], data.ctypes.data, data.nbytes)


class ICudaEngine:
    device_memory_size_v2 = 4096

    def __init__(self, cuda: HostCuda, onnx_path: Path) -> None:
        self._cuda = cuda
        graph = with_batch_axis(onnx.load(onnx_path))
        self._run = CpuRun(graph.SerializeToString(), "host", threads=1)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(-1 if length is None else length for length in self._run.shapes()[name])

    def get_tensor_dtype(self, name: str) -> type:
        assert name in {SCORE, SCORE_MAP}
        return np.float32

    def create_execution_context(self, runtime_config: object = None) -> IExecutionContext:
        del runtime_config
        return IExecutionContext(self._cuda, self._run)

    def create_runtime_config(self) -> "IRuntimeConfig":
        return IRuntimeConfig()


class IRuntimeConfig:
    dynamic_shapes_kernel_specialization_strategy = "LAZY"

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        assert strategy.name == "USER_MANAGED"

    def create_runtime_cache(self) -> "IRuntimeCache":
        return IRuntimeCache()

    def set_runtime_cache(self, cache: object) -> bool:
        return cache is not None


class IRuntimeCache:
    def deserialize(self, blob: bytes) -> bool:
        return bool(blob)

    def serialize(self) -> bytes:
        return b"compiled for the device"
