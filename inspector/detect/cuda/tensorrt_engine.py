"""The GPU engine: TensorRT, several slots whose copies and networks overlap."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from inspector.clock import Clock
from inspector.detect.cuda.device import Gpu, close_gpu, open_gpu
from inspector.detect.cuda.driver_api import DriverApi
from inspector.detect.cuda.engine_file import EngineFileError, Precision
from inspector.detect.cuda.frame_pool import FramePool
from inspector.detect.cuda.gpu_slot import Admitted, GpuLane, admit, look
from inspector.detect.cuda.kept_file import keep, kept
from inspector.detect.cuda.load_network import LoadedEngine, find_engine_file, load_engine, network_outputs
from inspector.detect.cuda.nvrtc import KERNELS, cached_kernel
from inspector.detect.cuda.pycuda_slot import Network, PycudaSlot, gpu_errors
from inspector.detect.cuda.renew import renew_engine
from inspector.detect.cuda.stage_events import EventClock
from inspector.detect.engines.pipelined import PipelinedEngine
from inspector.detect.engines.stages import NETWORK, Stage
from inspector.detect.model.manifest import Manifest
from inspector.detect.model.model_folder import ENGINES_FOLDER
from inspector.errors import InvariantError

_LOST: Final[list[list[PycudaSlot]]] = []
"""Slots of a lost device, kept until the process ends: to give their memory back would fail or hang."""


class TensorRtEngine(PipelinedEngine[Admitted]):
    """An `Engine` on GPU 0. Made, driven and closed on one thread. `timed` is for `take_stages`.

    Raises ConfigError when there is no GPU or its software is missing, ModelError when there is no
    engine file for this model, GPU and TensorRT.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        *,
        precision: Precision,
        slots: int,
        clock: Clock,
        on_ready: Callable[[], None],
        cache_dir: Path | None = None,
        timed: bool = False,
    ) -> None:
        with ExitStack() as undo:
            gpu = open_gpu()
            undo.callback(close_gpu, gpu)  # whatever fails: pycuda aborts a process that ends with a context
            api = DriverApi()
            loaded, keep_cache = _load(gpu, manifest, folder, precision, cache_dir)
            network = _network(gpu, loaded, manifest, cache_dir)
            pool = FramePool(api.lock_memory, api.unlock_memory)
            undo.callback(pool.close)
            self._event_clock = EventClock(api, clock) if timed else None
            if self._event_clock:
                undo.callback(self._event_clock.close)
            self._slots: list[PycudaSlot] = []
            undo.callback(_close_all, self._slots)
            for number in range(slots):
                self._slots.append(PycudaSlot(gpu, api, network, pool, number, self._event_clock))
                self._slots[-1].warm_up()
            keep_cache()
            layout = manifest.input
            self.max_batch = network.max_batch
            super().__init__(
                manifest,
                [GpuLane(slot, manifest, network.parameters) for slot in self._slots],
                lambda frame: admit(frame, layout),
                lambda admitted: look(admitted, layout),
                clock,
                on_ready,
                f"tensorrt on {gpu.name}",
            )
            self.take_stages()
            self._undo = undo.pop_all()

    def take_stages(self) -> list[Stage]:
        """The stages of the runs since the last call, of an engine that is timed. Only while idle."""
        taken = [stage for slot in self._slots for stage in slot.take_stages()]
        if self._event_clock:
            self._event_clock.start(self._slots[0].stream)
        return taken

    def time_alone(self, runs: int) -> list[int]:
        """Nanoseconds of the network in `runs` runs of one slot's graph, on its last input, by the device.

        Only while idle, and of an engine that is timed.
        """
        if self._event_clock is None:
            raise InvariantError("time_alone: the engine was not made to be timed")
        self.take_stages()
        for _ in range(runs):
            self._slots[0].run(1)
            self._slots[0].wait()
        return [stage.end_ns - stage.start_ns for stage in self.take_stages() if stage.name == NETWORK]

    def close(self) -> None:
        """After a lost device nothing is given back: each call would fail or hang, and the process ends."""
        if self._pipeline.close():
            self._undo.close()
        else:
            _LOST.append(self._slots)


def _close_all(slots: list[PycudaSlot]) -> None:
    """Each with its memory, while the context is there."""
    while slots:
        slots.pop().close()


def _load(
    gpu: Gpu, manifest: Manifest, folder: Path, precision: Precision, cache_dir: Path | None
) -> tuple[LoadedEngine, Callable[[], None]]:
    """The engine, built again where its file is stale, and what keeps its runtime cache once it is warm."""
    path, library = find_engine_file([folder / ENGINES_FOLDER], manifest, precision, gpu.arch, str(folder))
    cache = cache_dir / f"{path.stem}.runtime" if cache_dir else None
    before = kept(cache)
    try:
        loaded = load_engine(path, manifest, precision, gpu.arch, library, before)
    except EngineFileError as stale:
        renew_engine(path, folder / manifest.onnx.file, manifest, precision, gpu.arch, library, stale)
        loaded = load_engine(path, manifest, precision, gpu.arch, library, before)

    def keep_cache() -> None:
        data = loaded.runtime_cache()
        if cache and data and data != before:
            keep(cache, data)

    return loaded, keep_cache


def _network(gpu: Gpu, loaded: LoadedEngine, manifest: Manifest, cache_dir: Path | None) -> Network:
    outputs, parameters = network_outputs(loaded.engine, manifest, loaded.numpy_type)
    layout = manifest.input
    cubins = [cached_kernel(name, gpu.arch, cache_dir) for name in KERNELS]
    with gpu_errors(gpu):
        prepare, decode = (
            gpu.driver.module_from_buffer(cubin).get_function(name)
            for name, cubin in zip(KERNELS, cubins, strict=True)
        )
    return Network(
        image_bytes=layout.height_px * layout.width_px * layout.channels,
        image_shape=(layout.height_px, layout.width_px, layout.channels),
        outputs=outputs,
        max_batch=loaded.max_batch,
        new_context=loaded.new_context,
        scratch_bytes=loaded.scratch_bytes,
        prepare=prepare,
        decode=decode,
        parameters=parameters,
    )
