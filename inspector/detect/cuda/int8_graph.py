"""Which convolutions of a model TensorRT computes in INT8. Pure.

Symmetric, as TensorRT takes it: activations one scale a tensor, weights one a channel of the output
("Working with Quantized Types" in its developer guide). Sums stay in float: TensorRT fuses them as they are.
"""

from collections.abc import Mapping

import onnx

from inspector.detect.cuda.half_graph import network_nodes
from inspector.detect.quantizing.q_dq import Range, quantized
from inspector.errors import ModelError


def quantized_values(model: onnx.ModelProto) -> list[str]:
    """Names of the activations that `with_int8` needs the range of: what goes into the convolutions."""
    return list(dict.fromkeys(node.input[0] for node in _convolutions(model)))


def with_int8(model: onnx.ModelProto, ranges: Mapping[str, Range]) -> onnx.ModelProto:
    """The same model with its network's convolutions quantized.

    `ranges` are of each of `quantized_values`. Raises ModelError when one is missing.
    """
    values = quantized_values(model)
    if missing := [name for name in values if name not in ranges]:
        raise ModelError(f"no range of '{missing[0]}' was measured: calibrate with the same model")
    chosen = [node.output[0] for node in _convolutions(model)]
    return quantized(model, chosen, {name: ranges[name] for name in values}, "symmetric")


def _convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = network_nodes(model.graph, frozenset({"Conv"}))
    return [node for node in nodes if node.input[1] in constants]
