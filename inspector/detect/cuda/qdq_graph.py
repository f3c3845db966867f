"""Explicit INT8 quantization: pairs of QuantizeLinear and DequantizeLinear around convolutions. Pure.

Symmetric, as TensorRT takes it: activations one scale a tensor, weights one a channel of the output
("Working with Quantized Types" in its developer guide).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspector.detect.cuda.half_graph import network_nodes
from inspector.errors import ModelError

_LARGEST: Final = 127.0


def quantized_values(model: onnx.ModelProto) -> list[str]:
    """Names of the activations that `with_int8` needs the range of: what goes into the convolutions."""
    return list(dict.fromkeys(node.input[0] for node in network_nodes(model.graph, frozenset({"Conv"}))))


def with_int8(model: onnx.ModelProto, largest: Mapping[str, float]) -> onnx.ModelProto:
    """The same model with its network's convolutions quantized.

    `largest` gives the largest magnitude of each of `quantized_values`. Raises ModelError when one
    is missing.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    chosen = {node.output[0] for node in network_nodes(graph, frozenset({"Conv"}))}
    done: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.output[0] in chosen and node.input[1] in constants:
            source, weights = node.input[0], node.input[1]
            if source not in largest:
                raise ModelError(f"no range of '{source}' was measured: calibrate with the same model")
            if source not in done:
                scale = np.array(max(largest[source], 1e-6) / _LARGEST, dtype=np.float32)
                done[source] = _pair(graph, nodes, source, source, scale, None)
            if weights not in done:
                values = numpy_helper.to_array(constants[weights])
                scales = np.abs(values).reshape(values.shape[0], -1).max(axis=1) / _LARGEST
                done[weights] = _pair(graph, nodes, weights, weights, np.maximum(scales, 1e-9), 0)
            node.input[0], node.input[1] = done[source], done[weights]
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(quantized)
    return quantized


def _pair(  # noqa: PLR0917 - a graph, what is added to it, and how
    graph: onnx.GraphProto,
    nodes: list[onnx.NodeProto],
    source: str,
    name: str,
    scale: npt.NDArray[np.float32],
    axis: int | None,
) -> str:
    """Add the two nodes; returns the name of the value that went through them."""
    scale_name, zero_name = f"{name}.scale", f"{name}.zero"
    graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), scale_name))
    graph.initializer.append(helper.make_tensor(zero_name, TensorProto.INT8, scale.shape, [0] * scale.size))
    along = {} if axis is None else {"axis": axis}
    through = f"{name}.int8"
    nodes.append(helper.make_node("QuantizeLinear", [source, scale_name, zero_name], [through], **along))
    nodes.append(
        helper.make_node("DequantizeLinear", [through, scale_name, zero_name], [f"{name}.dq"], **along)
    )
    return f"{name}.dq"
