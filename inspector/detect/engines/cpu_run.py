"""Runs a graph on the CPU, one image after the other: for checks and figures, not for the line."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.detect.engines.openvino_runtime import shared_core
from inspector.errors import ModelError

Outputs = Mapping[str, npt.NDArray[Any]]


class CpuRun:
    """A compiled graph. `data` is the serialised ONNX model, `origin` names it in errors.

    float32, as the engine computes. Raises ModelError when OpenVINO cannot load it.
    """

    def __init__(self, data: bytes, origin: str, *, threads: int = 2) -> None:
        self._origin = origin
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        core = shared_core()
        try:
            self._compiled: Any = core.compile_model(core.read_model(data), "CPU", options)
        except RuntimeError as error:
            raise ModelError(f"{origin}: OpenVINO cannot run it ({_reason(error)})") from error
        self._names = [sorted(output.get_names()) for output in self._compiled.outputs]

    def __call__(self, pixels: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """All outputs by name, for the only input, of our models uint8 (1, height, width, channels). Raises
        ModelError."""
        try:
            results = self._compiled({0: pixels})
        except RuntimeError as error:
            raise ModelError(f"{self._origin}: the run failed ({_reason(error)})") from error
        return {name: np.array(results[index]) for index, names in enumerate(self._names) for name in names}

    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Of all outputs; None for a length that depends on the pixels, such as how many boxes are left.

        Raises ModelError when not even the number of axes is fixed.
        """
        found: dict[str, tuple[int | None, ...]] = {}
        for names, output in zip(self._names, self._compiled.outputs, strict=True):
            shape = output.get_partial_shape()
            if shape.rank.is_dynamic:
                raise ModelError(f"{self._origin}: output {names[0]} has no fixed number of axes")
            for name in names:
                found[name] = tuple(None if dim.is_dynamic else dim.get_length() for dim in shape)
        return found


def _reason(error: RuntimeError) -> str:
    """The line that says what is wrong: OpenVINO puts its own source lines before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("Exception from", "Check ", "To facilitate"))]
    telling = [line for line in lines if "operation" in line.lower()]
    return (telling or lines or ["no reason given"])[-1].removeprefix("-- ")[:300]
