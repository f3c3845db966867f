"""Rewrites a graph so that its convolutions compute in half precision. Pure.

TensorRT from 11 on, and TensorRT for RTX, take the types that stand in the graph (strongly typed):
precision is therefore chosen here. Only the network itself is halved. What prepares the image and
what scores it stay in float32, as squares of distances overflow half precision.
"""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspector.detect.teaching.graph import FEATURES

_HALVED: Final = frozenset(
    {"Conv", "ConvTranspose", "Clip", "Relu", "LeakyRelu", "Sigmoid", "HardSwish", "HardSigmoid", "Mul"}
    | {"Add", "AveragePool", "MaxPool", "Concat", "Identity", "Gemm"}
)


def network_nodes(graph: onnx.GraphProto, ops: frozenset[str]) -> list[onnx.NodeProto]:
    """Nodes of the network proper with one of `ops`: from the first convolution on, up to the features.

    A graph without a value "features" (a user's own) is taken to its end.
    """
    makers = {name: node for node in graph.node for name in node.output}
    wanted: set[str] | None = None
    if FEATURES in makers:
        wanted, queue = set(), [FEATURES]
        while queue:
            name = queue.pop()
            if name in makers and name not in wanted:
                wanted.add(name)
                queue.extend(makers[name].input)
    after_conv: set[str] = set()
    chosen = []
    for node in graph.node:
        if node.op_type == "Conv" or any(name in after_conv for name in node.input):
            after_conv.update(node.output)
            if node.op_type in ops and (wanted is None or node.output[0] in wanted):
                chosen.append(node)
    return chosen


def with_half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model whose network computes in float16; inputs and outputs keep their types."""
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    graph = halved.graph
    inferred = onnx.shape_inference.infer_shapes(halved).graph
    kinds = {
        v.name: v.type.tensor_type.elem_type
        for v in [*inferred.value_info, *inferred.input, *inferred.output]
    }
    constants = {tensor.name: tensor for tensor in graph.initializer}
    chosen = {
        node.output[0]
        for node in network_nodes(graph, _HALVED)
        if kinds.get(node.output[0]) == TensorProto.FLOAT
    }
    half_names: dict[str, str] = {}  # of a float32 value, the name of its half copy
    nodes: list[onnx.NodeProto] = []

    def half_of(name: str) -> str:
        if name not in half_names:
            half_names[name] = f"{name}.half"
            if name in constants:
                values = numpy_helper.to_array(constants[name]).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(values, half_names[name]))
            else:
                nodes.append(helper.make_node("Cast", [name], [half_names[name]], to=TensorProto.FLOAT16))
        return half_names[name]

    needed = {value.name for value in graph.output}
    for node in graph.node:
        if node.output[0] not in chosen:
            needed.update(node.input)
    for node in graph.node:
        if node.output[0] not in chosen:
            nodes.append(node)
            continue
        node.input[:] = [half_of(name) if _is_float(name, kinds, constants) else name for name in node.input]
        (output,) = node.output
        node.output[0] = half_names[output] = f"{output}.half"
        nodes.append(node)
        if output in needed:
            nodes.append(helper.make_node("Cast", [node.output[0]], [output], to=TensorProto.FLOAT))
    del graph.node[:]
    del graph.value_info[:]
    graph.node.extend(nodes)
    _drop_unused(graph)
    onnx.checker.check_model(halved)
    return halved


def _is_float(name: str, kinds: dict[str, int], constants: dict[str, onnx.TensorProto]) -> bool:
    if name in constants:
        return bool(constants[name].data_type == TensorProto.FLOAT)
    return bool(kinds.get(name) == TensorProto.FLOAT)


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
