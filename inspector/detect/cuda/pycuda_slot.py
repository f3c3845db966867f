"""A `GpuSlot` on a real GPU: pycuda for memory and kernels, TensorRT for the network.

What is enqueued for one run, in one stream: copy in, preparation, then one CUDA graph of network,
decoding and copy out. The copy and the preparation stay outside the graph, as a frame's address
changes; graphs of several slots overlap, so that one slot's copies hide behind another's network.
"""

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from inspector.detect.cuda.decode_plan import WORK_INTS_PER_CELL, Answer, DecodeParameters
from inspector.detect.cuda.device import Gpu
from inspector.detect.cuda.driver_api import DriverApi
from inspector.detect.cuda.frame_pool import FramePool
from inspector.detect.cuda.gpu_slot import NETWORK_REFUSED, Admitted, GpuError, Outputs
from inspector.detect.teaching.graph import IMAGE, SCORE, SCORE_MAP

_STAGED_BELOW: Final = 2 << 20  # copying less than this takes no longer than looking its mapping up
_BLOCK: Final = (32, 8, 1)
_DECODE_THREADS: Final = (256, 1, 1)


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded engine. `outputs` are shapes of one image; `new_context` makes an execution context."""

    image_bytes: int
    image_shape: tuple[int, int, int]
    outputs: Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]
    max_batch: int
    new_context: Callable[[], Any]
    prepare: Any  # pycuda functions of our kernels
    decode: Any
    parameters: DecodeParameters | None  # None: outputs leave as they are


@contextmanager
def gpu_errors(gpu: Gpu) -> Iterator[None]:
    """Translate what pycuda raises. Its text carries the reason; its class tells memory apart."""
    try:
        yield
    except gpu.driver.MemoryError as error:
        raise GpuError("CUDA_ERROR_OUT_OF_MEMORY", str(error)) from error
    except gpu.driver.Error as error:
        raise GpuError(type(error).__name__, str(error)) from error


class PycudaSlot:
    """All memory is taken here, once: a run allocates nothing. Raises GpuError."""

    def __init__(self, gpu: Gpu, api: DriverApi, network: Network, pool: FramePool) -> None:
        self._gpu, self._api, self._network, self._pool = gpu, api, network, pool
        driver, batch = gpu.driver, network.max_batch
        with gpu_errors(gpu):
            self._stream = driver.Stream()
            self._context_here = api.current_context()
            self._event = api.event()
            self._staging = driver.pagelocked_empty((batch, 3 * network.image_bytes), np.uint8)
            self._source = driver.mem_alloc(self._staging.nbytes)
            self._input = driver.mem_alloc(batch * network.image_bytes)
            self._device = {name: driver.mem_alloc(batch * self._bytes(name)) for name in network.outputs}
            self._host = self._host_buffers(driver, batch)
            if network.parameters is not None:
                cells = network.parameters.rows * network.parameters.columns
                self._work = driver.mem_alloc(4 * WORK_INTS_PER_CELL * cells * batch)
                self._answers = driver.mem_alloc(ctypes.sizeof(Answer) * batch)
        self._execution = network.new_context()
        self._execution.set_tensor_address(IMAGE, int(self._input))
        for name, memory in self._device.items():
            self._execution.set_tensor_address(name, int(memory))
        self._graphs: dict[int, int] = {}

    @property
    def _handle(self) -> int:
        return int(self._stream.handle)

    def _bytes(self, name: str) -> int:
        shape, kind = self._network.outputs[name]
        return int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize

    def _host_buffers(self, driver: Any, batch: int) -> dict[str, npt.NDArray[Any]]:
        if self._network.parameters is not None:
            return {"answers": driver.pagelocked_empty(ctypes.sizeof(Answer) * batch, np.uint8)}
        return {
            name: driver.pagelocked_empty((batch, *shape), kind)
            for name, (shape, kind) in self._network.outputs.items()
        }

    def warm_up(self) -> None:
        """Run each batch size once, then capture it: the first run allocates, which a capture may not."""
        for batch in range(1, self._network.max_batch + 1):
            self._enqueue(batch)
            self._api.record(self._event, self._handle)
            self._api.wait(self._event)
            self._api.begin_capture(self._handle)
            try:
                self._enqueue(batch)
            finally:
                self._graphs[batch] = self._api.end_capture(self._handle)

    def upload(self, place: int, admitted: Admitted) -> None:
        image = admitted.frame.image
        address, size = image.ctypes.data, image.nbytes
        source = int(self._source) + place * int(self._staging.shape[1])
        target = int(self._input) + place * self._network.image_bytes
        large = size >= _STAGED_BELOW and image.flags.c_contiguous
        if not (large and self._pool.holds(address, size)):  # small, not shared, or refused by the driver
            np.copyto(self._staging[place, :size], image.reshape(-1).view(np.uint8))
            address = self._staging.ctypes.data + place * int(self._staging.shape[1])
        if self._gpu.integrated:  # the device reads the CPU's memory: nothing to copy
            self._prepare(self._api.device_address(address), target, admitted)
        elif admitted.as_is:
            self._api.copy_in(target, address, size, self._handle)
        else:
            self._api.copy_in(source, address, size, self._handle)
            self._prepare(source, target, admitted)

    def _prepare(self, source: int, target: int, admitted: Admitted) -> None:
        plan = admitted.prepare
        grid = (-(-plan.out_w // _BLOCK[0]), -(-plan.out_h // _BLOCK[1]))
        with gpu_errors(self._gpu):
            self._network.prepare(
                np.uintp(source), np.uintp(target), _by_value(plan), block=_BLOCK, grid=grid,
                stream=self._stream,
            )  # fmt: skip

    def run(self, batch: int) -> None:
        self._api.launch(self._graphs[batch], self._handle)
        self._api.record(self._event, self._handle)

    def _enqueue(self, batch: int) -> None:
        self._execution.set_input_shape(IMAGE, (batch, *self._network.image_shape))
        if not self._execution.execute_async_v3(self._handle):
            raise GpuError(NETWORK_REFUSED, "TensorRT did not start the network")
        parameters = self._network.parameters
        if parameters is None:
            for name, host in self._host.items():
                size = batch * self._bytes(name)
                self._api.copy_out(host.ctypes.data, int(self._device[name]), size, self._handle)
            return
        with gpu_errors(self._gpu):
            score, score_map, work, answers = (
                np.uintp(int(memory))
                for memory in (self._device[SCORE], self._device[SCORE_MAP], self._work, self._answers)
            )
            self._network.decode(
                score, score_map, _by_value(parameters), work, answers,
                block=_DECODE_THREADS, grid=(batch, 1), stream=self._stream,
            )  # fmt: skip
        size = batch * ctypes.sizeof(Answer)
        self._api.copy_out(self._host["answers"].ctypes.data, int(self._answers), size, self._handle)

    def wait(self) -> None:
        self._api.use_context(self._context_here)  # the waiter's thread has none at first
        self._api.wait(self._event)

    def answers(self, batch: int) -> Sequence[Answer] | Sequence[Outputs]:
        if self._network.parameters is not None:
            return [
                Answer.from_address(self._host["answers"].ctypes.data + index * ctypes.sizeof(Answer))
                for index in range(batch)
            ]
        return [{name: np.array(host[index]) for name, host in self._host.items()} for index in range(batch)]

    def close(self) -> None:
        """Give the graphs and the event free; pycuda's memory goes with this object."""
        for graph in self._graphs.values():
            self._api.destroy_graph(graph)
        self._graphs.clear()
        self._api.destroy_event(self._event)


def _by_value(structure: ctypes.Structure) -> Any:
    """A structure as an argument of a kernel, up to the next pointer: pycuda packs arguments without
    the padding that the C compiler puts between them.
    """
    data = bytes(structure)
    data += b"\0" * (-len(data) % 8)
    return np.frombuffer(data, dtype=np.dtype((np.void, len(data))))[0]
