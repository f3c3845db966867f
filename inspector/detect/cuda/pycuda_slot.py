"""A `GpuSlot` on a real GPU: pycuda for memory and kernels, TensorRT for the network.

What is enqueued for one run, in one stream: copy in, preparation, then one CUDA graph of network,
decoding and copy out. The copy and the preparation stay outside the graph, as a frame's address
changes; graphs of several slots overlap, so that one slot's copies hide behind another's network.
"""

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from inspector.detect.cuda.decode_plan import WORK_INTS_PER_CELL, Answer, DecodeParameters
from inspector.detect.cuda.device import Gpu
from inspector.detect.cuda.driver_api import DriverApi
from inspector.detect.cuda.frame_pool import FramePool
from inspector.detect.cuda.gpu_slot import NETWORK_REFUSED, Admitted, GpuError, Outputs
from inspector.detect.cuda.stage_events import EventClock, StageEvents
from inspector.detect.engines.stages import COPY_IN, COPY_OUT, DECODING, NETWORK, PREPARATION, Stage
from inspector.detect.teaching.graph import IMAGE, SCORE, SCORE_MAP

_STAGED_BELOW: Final = 2 << 20  # copying less than this takes no longer than looking its mapping up
_NON_BLOCKING: Final = 0x1  # CU_STREAM_NON_BLOCKING: does not wait for what a library does in stream 0
_BLOCK: Final = (32, 8, 1)
_DECODE_THREADS: Final = (256, 1, 1)


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded engine. `outputs` are shapes of one image; `new_context` makes an execution context, which
    works in `scratch_bytes` of device memory that it is given.
    """

    image_bytes: int
    image_shape: tuple[int, int, int]
    outputs: Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]
    max_batch: int
    new_context: Callable[[], Any]
    scratch_bytes: int
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
    """All memory is taken here, once: a run allocates nothing. Raises GpuError.

    With `clock` the stages of each run are timed, for which each gets a dozen of events more.
    """

    def __init__(  # noqa: PLR0917 - what a slot is made of
        self, gpu: Gpu, api: DriverApi, network: Network, pool: FramePool, number: int = 0,
        clock: EventClock | None = None,
    ) -> None:  # fmt: skip
        self._gpu, self._api, self._network, self._pool = gpu, api, network, pool
        driver, batch = gpu.driver, network.max_batch
        with gpu_errors(gpu):
            self._stream = driver.Stream(_NON_BLOCKING)
            self._context_here = api.current_context()
            self._event = api.event()
            self._staging = driver.pagelocked_empty((batch, 3 * network.image_bytes), np.uint8)
            self._source = driver.mem_alloc(self._staging.nbytes)
            self._input = driver.mem_alloc(batch * network.image_bytes)
            self._scratch = driver.mem_alloc(max(1, network.scratch_bytes))
            self._device = {name: driver.mem_alloc(batch * self._bytes(name)) for name in network.outputs}
            self._host = self._host_buffers(driver, batch)
            if network.parameters is not None:
                cells = network.parameters.rows * network.parameters.columns
                self._work = driver.mem_alloc(4 * WORK_INTS_PER_CELL * cells * batch)
                self._answers = driver.mem_alloc(ctypes.sizeof(Answer) * batch)
        self._executions: list[Any] = []
        self._graphs: dict[int, int] = {}
        self._events = StageEvents(api, clock, number, self.stream, batch) if clock else None

    @property
    def stream(self) -> int:
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
        """Run each batch size once, then capture it: the first run allocates, which a capture may not.

        Each graph has an execution context of its own. A context that is given another shape changes what
        the graphs captured from it read (TensorRT's guide, "CUDA Graphs").
        """
        with gpu_errors(self._gpu):
            self._gpu.context.synchronize()  # TensorRT may set up a context in a stream of its own
        for batch in range(1, self._network.max_batch + 1):
            execution = self._new_execution(batch)
            self._executions.append(execution)  # a graph works on its context's memory
            self._enqueue(execution, batch)
            self._api.record(self._event, self.stream)
            self._api.wait(self._event)
            self._graphs[batch] = self._captured(execution, batch)

    def _new_execution(self, batch: int) -> Any:
        """The contexts of a slot share memory: they never run at the same time."""
        execution = self._network.new_context()
        execution.set_device_memory(int(self._scratch), self._network.scratch_bytes)
        taken = execution.set_input_shape(IMAGE, (batch, *self._network.image_shape))
        for name, memory in ((IMAGE, self._input), *self._device.items()):
            taken = execution.set_tensor_address(name, int(memory)) and taken
        if not taken:
            raise GpuError(NETWORK_REFUSED, f"TensorRT does not take a batch of {batch}")
        return execution

    def _captured(self, execution: Any, batch: int) -> int:
        self._api.begin_capture(self.stream)
        try:
            self._enqueue(execution, batch, self._events)
        except BaseException:
            with suppress(GpuError):  # what broke the capture is the one to tell
                self._api.end_capture(self.stream)
            raise
        return self._api.end_capture(self.stream)

    def upload(self, place: int, admitted: Admitted) -> None:
        image = admitted.frame.image
        address, size = image.ctypes.data, image.nbytes
        source = int(self._source) + place * int(self._staging.shape[1])
        target = int(self._input) + place * self._network.image_bytes
        large = size >= _STAGED_BELOW and image.flags.c_contiguous
        if not (large and self._pool.holds(address, size)):  # small, not shared, or refused by the driver
            np.copyto(self._staging[place, :size], image.reshape(-1).view(np.uint8))
            address = self._staging.ctypes.data + place * int(self._staging.shape[1])
        if self._events:
            self._events.frame_begins(place)
        if self._gpu.integrated:  # the device reads the CPU's memory: nothing to copy
            self._prepare(self._api.device_address(address), target, admitted)
        elif admitted.as_is:
            self._copy_in(target, address, size)
        else:
            self._copy_in(source, address, size)
            self._prepare(source, target, admitted)

    def _copy_in(self, device: int, host: int, size: int) -> None:
        self._api.copy_in(device, host, size, self.stream)
        if self._events:
            self._events.ended(COPY_IN)

    def _prepare(self, source: int, target: int, admitted: Admitted) -> None:
        plan = admitted.prepare
        grid = (-(-plan.out_w // _BLOCK[0]), -(-plan.out_h // _BLOCK[1]))
        with gpu_errors(self._gpu):
            self._network.prepare(
                np.uintp(source), np.uintp(target), _by_value(plan), block=_BLOCK, grid=grid,
                stream=self._stream,
            )  # fmt: skip
        if self._events:
            self._events.ended(PREPARATION)

    def run(self, batch: int) -> None:
        self._api.launch(self._graphs[batch], self.stream)
        self._api.record(self._event, self.stream)

    def _enqueue(self, execution: Any, batch: int, events: StageEvents | None = None) -> None:
        """`events` are for a capture alone."""
        if events:
            events.graph_begins()
        if not execution.execute_async_v3(self.stream):
            raise GpuError(NETWORK_REFUSED, "TensorRT did not start the network")
        if events:
            events.ended_within_graph(NETWORK)
        if self._network.parameters is not None:
            self._decode(batch, self._network.parameters)
            if events:
                events.ended_within_graph(DECODING)
            size = batch * ctypes.sizeof(Answer)
            self._api.copy_out(self._host["answers"].ctypes.data, int(self._answers), size, self.stream)
        else:
            for name, host in self._host.items():
                size = batch * self._bytes(name)
                self._api.copy_out(host.ctypes.data, int(self._device[name]), size, self.stream)
        if events:
            events.ended_within_graph(COPY_OUT)

    def _decode(self, batch: int, parameters: DecodeParameters) -> None:
        score, score_map, work, answers = (
            np.uintp(int(memory))
            for memory in (self._device[SCORE], self._device[SCORE_MAP], self._work, self._answers)
        )
        with gpu_errors(self._gpu):
            self._network.decode(
                score, score_map, _by_value(parameters), work, answers,
                block=_DECODE_THREADS, grid=(batch, 1), stream=self._stream,
            )  # fmt: skip

    def wait(self) -> None:
        self._api.use_context(self._context_here)  # the waiter's thread has none at first
        self._api.wait(self._event)
        if self._events:
            self._events.read()

    def answers(self, batch: int) -> Sequence[Answer] | Sequence[Outputs]:
        if self._network.parameters is not None:
            return [
                Answer.from_address(self._host["answers"].ctypes.data + index * ctypes.sizeof(Answer))
                for index in range(batch)
            ]
        return [{name: np.array(host[index]) for name, host in self._host.items()} for index in range(batch)]

    def take_stages(self) -> list[Stage]:
        """The stages of the runs since the last call. Only while nothing is in flight."""
        return self._events.take() if self._events else []

    def close(self) -> None:
        """Give graphs and events free; pycuda's memory goes with this object, so let it go at once."""
        for graph in self._graphs.values():
            self._api.destroy_graph(graph)
        self._graphs.clear()
        self._executions.clear()
        self._api.destroy_event(self._event)
        if self._events:
            self._events.close()


def _by_value(structure: ctypes.Structure) -> Any:
    """A structure as an argument of a kernel; pycuda packs arguments as Python's struct does, aligned."""
    data = bytes(structure)
    return np.frombuffer(data, dtype=np.dtype((np.void, len(data))))[0]
