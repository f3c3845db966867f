"""Measures the ranges of activations on real images, on the CPU, for int8."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
import onnx

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.engines.prepare import NetworkInput
from inspector.detect.quantizing.q_dq import Range
from inspector.errors import ModelError

_SHARE: Final = (0.01, 99.99)  # percentiles: one stray value must not coarsen the scale of all others


def measure_ranges(
    model: onnx.ModelProto,
    names: Sequence[str],
    inputs: Iterable[NetworkInput],
    *,
    threads: int = 2,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Range]:
    """The widest range of each of `names` in any of `inputs`, uint8 (1, height, width, channels).

    Of each image all but one value in ten thousand count, at either end. `progress` is told how many are
    done. Raises ModelError when the graph cannot be run, or there was no image.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    run = CpuRun(probe.SerializeToString(), "the graph to measure ranges on", threads=threads)
    ranges: dict[str, Range] = {}
    for done, pixels in enumerate(inputs, start=1):
        outputs = run(pixels)
        for name in names:
            low, high = (float(v) for v in np.percentile(outputs[name], _SHARE))
            known = ranges.get(name, Range(low, high))
            ranges[name] = Range(min(known.low, low), max(known.high, high))
        progress(done)
    if names and not ranges:
        raise ModelError("ranges cannot be measured: no image was given")
    return ranges
