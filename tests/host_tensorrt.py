"""TensorRT's runtime on the host, by its rules and names: the network runs in OpenVINO."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from host_cuda import HostCuda

from inspector.detect.cuda.batch_graph import with_batch_axis
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.teaching.graph import IMAGE, SCORE, SCORE_MAP


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
