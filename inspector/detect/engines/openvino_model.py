"""A model in OpenVINO, compiled and warm: what an engine needs besides its pipeline."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inspector.detect.engines.compiled_file import compiled_model
from inspector.detect.engines.openvino_bindings import ov
from inspector.detect.model.manifest import Manifest
from inspector.errors import ModelError


@dataclass(frozen=True, slots=True)
class OpenVinoModel:
    """`requests` are what runs are made with; `kept` is the compiled model and the memory that it lies in."""

    requests: tuple[Any, ...]
    kept: Any


def load_model(
    manifest: Manifest, onnx_path: Path, *, threads: int, requests: int, cache_dir: Path | None
) -> OpenVinoModel:
    """Compile the model, or take it from `cache_dir`, and run it once. Any thread.

    float32 throughout: thresholds are the same on every machine. OpenVINO works outside Python's lock.
    Raises ModelError when it cannot load the model.
    """
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",  # else silently bf16 where the CPU has it
        "EXECUTION_MODE_HINT": "ACCURACY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,  # frames one after the other: the shortest time for each
        "ENABLE_CPU_PINNING": False,  # other services share these cores
        "ENABLE_MMAP": True,
    }
    try:
        kept = compiled_model(onnx_path, manifest.onnx.sha256, options, cache_dir)
        model = OpenVinoModel(tuple(kept[0].create_infer_request() for _ in range(requests)), kept)
        # The first inference allocates, for all requests of a stream: do it before the first part comes.
        run_blank(model.requests[0], manifest)
    except RuntimeError as error:
        raise ModelError(f"{onnx_path}: OpenVINO cannot load it ({reason(error)})") from error
    return model


def run_blank(request: Any, manifest: Manifest) -> None:
    """Run the network over a black picture, and wait for it. Raises RuntimeError."""
    layout = manifest.input
    shape = (1, layout.height_px, layout.width_px, layout.channels)
    request.set_input_tensor(ov.Tensor(np.zeros(shape, dtype=np.uint8)))
    request.start_async({}, None)
    request.wait()


def reason(error: RuntimeError) -> str:
    """The line of OpenVINO's message that says what is wrong."""
    return str(error).strip().splitlines()[-1]
