"""The CPU engine: OpenVINO, several inference requests in flight."""

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inspector.clock import Clock
from inspector.detect.engines.compiled_file import compiled_model
from inspector.detect.engines.engine_errors import RunError
from inspector.detect.engines.openvino_runtime import ov
from inspector.detect.engines.outcome import frame_result
from inspector.detect.engines.pipelined import PipelinedEngine
from inspector.detect.engines.prepare import NetworkInput, prepare
from inspector.detect.engines.slots import SlotPipeline
from inspector.detect.frame_context import frame_context
from inspector.detect.model.decode import Decoded, decode, output_names
from inspector.detect.model.manifest import Manifest
from inspector.errors import ModelError


class _Request:
    """One inference request: a `Lane` of the slot pipeline."""

    def __init__(self, request: Any, manifest: Manifest) -> None:
        self._request = request
        self._manifest = manifest
        # Looked up once, as a request keeps its outputs' memory; not where a length depends on the image,
        # such as how many boxes are left.
        self._outputs = {
            name: None if port.get_partial_shape().is_dynamic else request.get_tensor(port).data
            for port in request.model_outputs
            for name in port.get_names()
            if name in output_names(manifest)
        }
        if missing := set(output_names(manifest)) - set(self._outputs):
            raise ModelError(
                f"{manifest.name}: the graph has no output '{min(missing)}'; make the model again"
            )
        self._inputs: Sequence[NetworkInput] = ()

    def start(self, inputs: Sequence[NetworkInput]) -> None:
        self._inputs = inputs  # keeps what OpenVINO reads alive
        (pixels,) = inputs
        try:
            self._request.set_input_tensor(_share(pixels))
            self._request.start_async()
        except RuntimeError as error:
            raise RunError(f"inference did not start ({_reason(error)})") from error

    def wait(self) -> None:
        try:
            self._request.wait()  # OpenVINO waits outside Python's lock
        except RuntimeError as error:
            raise RunError(f"inference failed ({_reason(error)})") from error

    def read(self) -> list[Decoded]:
        self._inputs = ()
        outputs = {
            name: self._request.get_tensor(name).data if data is None else data
            for name, data in self._outputs.items()
        }
        try:
            return [decode(outputs, self._manifest)]
        except ModelError as error:
            raise RunError(str(error)) from error


class OpenVinoEngine(PipelinedEngine[NetworkInput]):
    """An `Engine` on the CPU. float32 throughout: thresholds are the same on every machine.

    Raises ModelError when OpenVINO cannot load the model.
    """

    max_batch = 1  # one frame's work fills the cores: a batch only makes the first frame wait

    def __init__(
        self,
        manifest: Manifest,
        onnx_path: Path,
        *,
        threads: int,
        requests_in_flight: int,
        clock: Clock,
        on_ready: Callable[[], None],
        cache_dir: Path | None = None,
    ) -> None:
        self._manifest = manifest
        self._clock = clock
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",  # else silently bf16 where the CPU has it
            "EXECUTION_MODE_HINT": "ACCURACY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,  # frames one after the other: the shortest time for each
            "ENABLE_CPU_PINNING": False,  # other services share these cores
            "ENABLE_MMAP": True,
        }
        layout = manifest.input
        shape = (1, layout.height_px, layout.width_px, layout.channels)
        try:
            # The second keeps the compiled model's memory alive.
            self._compiled: Any = compiled_model(onnx_path, manifest.onnx.sha256, options, cache_dir)
            requests = [self._compiled[0].create_infer_request() for _ in range(requests_in_flight)]
            # The first inference allocates, for all requests of a stream: do it before the first part comes.
            requests[0].infer({0: np.zeros(shape, dtype=np.uint8)})
        except RuntimeError as error:
            raise ModelError(f"{onnx_path}: OpenVINO cannot load it ({_reason(error)})") from error
        self._bare = requests[0]
        self._pipeline = SlotPipeline(
            [_Request(request, manifest) for request in requests],
            lambda frame: prepare(frame, layout),
            frame_context,
            lambda outcome: frame_result(outcome, manifest.onnx.sha256, clock.now_ns()),
            clock=clock,
            on_ready=on_ready,
            name="openvino",
        )

    def time_alone(self, runs: int) -> list[int]:
        """Nanoseconds of `runs` runs of the network by itself. Only while nothing is in flight."""
        layout = self._manifest.input
        # Not the last frame's memory, which is gone.
        self._bare.set_input_tensor(
            ov.Tensor(np.zeros((1, layout.height_px, layout.width_px, layout.channels), dtype=np.uint8))
        )
        times = []
        for _ in range(runs):
            start_ns = self._clock.now_ns()
            self._bare.infer()
            times.append(self._clock.now_ns() - start_ns)
        return times

    def close(self) -> None:
        self._pipeline.close()
        self._bare = None
        self._compiled = None


def _reason(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1]


def _share(pixels: NetworkInput) -> Any:
    """An OpenVINO tensor over the same memory.

    OpenVINO's Python API refuses arrays that are read-only, which frames in shared memory are;
    the graph only reads its input, so a second view of the same bytes is safe.
    """
    memory = (ctypes.c_uint8 * pixels.nbytes).from_address(pixels.ctypes.data)
    view: NetworkInput = np.frombuffer(memoryview(memory), dtype=np.uint8).reshape(pixels.shape)
    return ov.Tensor(view, shared_memory=True)
