"""The CPU engine: OpenVINO, several inference requests in flight."""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from inspector.clock import Clock
from inspector.detect.engines.engine_errors import RunError
from inspector.detect.engines.openvino_bindings import ov
from inspector.detect.engines.openvino_model import OpenVinoModel, reason, run_blank
from inspector.detect.engines.pipelined import PipelinedEngine
from inspector.detect.engines.prepare import NetworkInput, prepare
from inspector.detect.frame_context import frame_context
from inspector.detect.model.decode import Decoded, decode, output_names
from inspector.detect.model.manifest import Manifest
from inspector.errors import InvariantError, ModelError


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
            self._request.start_async({}, None)
        except RuntimeError as error:
            raise RunError(f"inference did not start ({reason(error)})") from error

    def wait(self) -> None:
        try:
            self._request.wait()  # OpenVINO waits outside Python's lock
        except RuntimeError as error:
            raise RunError(f"inference failed ({reason(error)})") from error

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

    Raises ModelError when the graph has not what the manifest says.
    """

    max_batch = 1  # one frame's work fills the cores: a batch only makes the first frame wait

    def __init__(
        self, manifest: Manifest, model: OpenVinoModel, *, clock: Clock, on_ready: Callable[[], None]
    ) -> None:
        self._model: OpenVinoModel | None = model
        layout = manifest.input
        super().__init__(
            manifest,
            [_Request(request, manifest) for request in model.requests],
            lambda frame: prepare(frame, layout),
            frame_context,
            clock,
            on_ready,
            "openvino",
        )

    def time_alone(self, runs: int) -> list[int]:
        """Nanoseconds of `runs` runs of the network by itself. Only while nothing is in flight."""
        if self._model is None:
            raise InvariantError("time_alone: the engine is closed")
        request = self._model.requests[0]
        run_blank(request, self._manifest)  # its input is the last frame's memory, which is gone
        times = []
        for _ in range(runs):
            start_ns = self._clock.now_ns()
            request.start_async({}, None)
            request.wait()
            times.append(self._clock.now_ns() - start_ns)
        return times

    def close(self) -> None:
        self._pipeline.close()
        self._model = None


def _share(pixels: NetworkInput) -> Any:
    """An OpenVINO tensor over the same memory.

    OpenVINO's Python API refuses arrays that are read-only, which frames in shared memory are;
    the graph only reads its input, so a second view of the same bytes is safe.
    """
    memory = (ctypes.c_uint8 * pixels.nbytes).from_address(pixels.ctypes.data)
    view: NetworkInput = np.frombuffer(memoryview(memory), dtype=np.uint8).reshape(pixels.shape)
    return ov.Tensor(view, shared_memory=True)
