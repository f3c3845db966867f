"""The GPU engine: TensorRT, several slots whose copies and networks overlap."""

import os
from collections.abc import Callable
from pathlib import Path

from inspector.clock import Clock
from inspector.detect.cuda.device import Gpu, close_gpu, open_gpu
from inspector.detect.cuda.driver_api import DriverApi
from inspector.detect.cuda.engine_file import EngineFileError, Precision
from inspector.detect.cuda.frame_pool import FramePool
from inspector.detect.cuda.gpu_slot import Admitted, GpuLane, admit, look
from inspector.detect.cuda.load_network import LoadedEngine, find_engine_file, load_engine, network_outputs
from inspector.detect.cuda.nvrtc import cached_kernel
from inspector.detect.cuda.pycuda_slot import Network, PycudaSlot, gpu_errors
from inspector.detect.cuda.renew import renew_engine
from inspector.detect.engines.outcome import frame_result
from inspector.detect.engines.pipelined import PipelinedEngine
from inspector.detect.engines.slots import SlotPipeline
from inspector.detect.model.manifest import Manifest
from inspector.detect.model.model_folder import ENGINES_FOLDER


class TensorRtEngine(PipelinedEngine[Admitted]):
    """An `Engine` on GPU 0. Made, driven and closed on one thread.

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
    ) -> None:
        self._manifest = manifest
        self._clock = clock
        self._gpu = open_gpu()
        self._api = DriverApi()
        path, library = find_engine_file(
            [folder / ENGINES_FOLDER], manifest, precision, self._gpu.arch, str(folder)
        )
        self._cache = cache_dir / f"{path.stem}.runtime" if cache_dir else None
        kept = self._cache.read_bytes() if self._cache and self._cache.is_file() else b""
        arch = self._gpu.arch
        try:
            self._loaded = load_engine(path, manifest, precision, arch, library, kept)
        except EngineFileError as stale:
            renew_engine(path, folder / manifest.onnx.file, manifest, precision, arch, library, stale)
            self._loaded = load_engine(path, manifest, precision, arch, library, kept)
        network = _network(self._gpu, self._loaded, manifest, cache_dir)
        self.max_batch = network.max_batch
        self._pool = FramePool(self._api.lock_memory, self._api.unlock_memory)
        self._slots = [PycudaSlot(self._gpu, self._api, network, self._pool) for _ in range(slots)]
        for slot in self._slots:
            slot.warm_up()
        self._keep_runtime_cache(kept)
        layout = manifest.input
        self._pipeline = SlotPipeline(
            [GpuLane(slot, manifest, network.parameters) for slot in self._slots],
            lambda frame: admit(frame, layout),
            lambda admitted: look(admitted, layout),
            lambda outcome: frame_result(outcome, manifest.onnx.sha256, clock.now_ns()),
            clock=clock,
            on_ready=on_ready,
            name=f"tensorrt on {self._gpu.name}",
        )

    def time_alone(self, runs: int) -> list[int]:
        """Nanoseconds of `runs` runs of one slot's graph, on its last input. Only while idle."""
        times = []
        for _ in range(runs):
            start_ns = self._clock.now_ns()
            self._slots[0].run(1)
            self._slots[0].wait()
            times.append(self._clock.now_ns() - start_ns)
        return times

    def close(self) -> None:
        """After a lost device nothing is given back: each call would fail or hang, and the process ends."""
        if self._pipeline.close() and self._slots:
            for slot in self._slots:
                slot.close()
            self._slots.clear()
            self._pool.close()
            close_gpu(self._gpu)

    def _keep_runtime_cache(self, before: bytes) -> None:
        data = self._loaded.runtime_cache()
        if self._cache is not None and data and data != before:
            partial = self._cache.with_suffix(f".{os.getpid()}")
            partial.write_bytes(data)
            partial.replace(self._cache)


def _network(gpu: Gpu, loaded: LoadedEngine, manifest: Manifest, cache_dir: Path | None) -> Network:
    outputs, parameters = network_outputs(loaded.engine, manifest, loaded.numpy_type)
    layout = manifest.input
    with gpu_errors(gpu):
        prepare, decode = (
            gpu.driver.module_from_buffer(cached_kernel(name, gpu.arch, cache_dir)).get_function(name)
            for name in ("prepare", "decode")
        )
    return Network(
        image_bytes=layout.height_px * layout.width_px * layout.channels,
        image_shape=(layout.height_px, layout.width_px, layout.channels),
        outputs=outputs,
        max_batch=loaded.max_batch,
        new_context=loaded.new_context,
        prepare=prepare,
        decode=decode,
        parameters=parameters,
    )
