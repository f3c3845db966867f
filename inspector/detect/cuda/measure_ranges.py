"""Measures the ranges of activations on real images, on the CPU, for INT8."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx

from inspector.detect.engines.openvino_runtime import ov
from inspector.detect.engines.prepare import NetworkInput
from inspector.errors import ModelError

_PERCENTILE = 99.99  # one stray value must not coarsen the scale of all others


def measure_ranges(
    model: onnx.ModelProto,
    values: Sequence[str],
    inputs: Iterable[NetworkInput],
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, float]:
    """The largest magnitude of each of `values` over `inputs`, uint8 (1, height, width, channels).

    Of each image the 99.99th percentile counts. Raises ModelError when the graph cannot be run, or
    there was no image.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in values)
    try:
        core = ov.Core()
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(
            core.read_model(probe.SerializeToString()), "CPU", options
        ).create_infer_request()
        largest = dict.fromkeys(values, 0.0)
        for done, pixels in enumerate(inputs, start=1):
            request.infer({0: pixels})
            for index, name in enumerate(values):
                magnitude = np.abs(request.get_output_tensor(index).data)
                largest[name] = max(largest[name], float(np.percentile(magnitude, _PERCENTILE)))
            progress(done)
    except RuntimeError as error:
        raise ModelError(f"ranges cannot be measured: {str(error).strip().splitlines()[-1]}") from error
    if not any(largest.values()):
        raise ModelError("ranges cannot be measured: no image was given")
    return largest
