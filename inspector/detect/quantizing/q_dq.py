"""Writes quantized graphs: int8 weights and activations in explicit Q/DQ form. Pure but for ONNX objects.

The form is ONNX's QuantizeLinear and DequantizeLinear around the float operators, which every engine fuses
into int8 ones. Weights are symmetric, one scale for each output channel (Krishnamoorthi 2018, section 3.1),
or one for all where their rows are of one length anyway.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

F32 = npt.NDArray[np.float32]
Activations = Literal["asymmetric", "symmetric"]
"""asymmetric: uint8 with a zero point, all 256 steps are used. symmetric: int8 around 0, as TensorRT asks."""

_OF_QUANTIZED: Final = ("Add", "ReduceSumSquare")  # take the same steps as the convolutions beside them
_FOLLOWED: Final = ("Clip", "Relu")  # fused into the operator before them: quantized after, not between


@dataclass(frozen=True, slots=True)
class Range:
    """Smallest and largest value of a tensor over the calibration images."""

    low: float
    high: float


def convolutions(model: onnx.ModelProto) -> list[str]:
    """Outputs of the convolutions whose weights are constants, in order."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [n.output[0] for n in model.graph.node if n.op_type == "Conv" and n.input[1] in constants]


def activations(model: onnx.ModelProto, chosen: Sequence[str]) -> list[str]:
    """Tensors that are quantized so that the convolutions `chosen` (and Adds between them) run in int8."""
    names: list[str] = []
    for node in model.graph.node:
        if node.output[0] in chosen:
            names.append(node.input[0])
    constants = {tensor.name for tensor in model.graph.initializer}
    after = _chains(model, chosen)
    for node in model.graph.node:
        if node.op_type == "Add" and not constants & set(node.input) and all(n in after for n in node.input):
            names += list(node.input)
    return list(dict.fromkeys(names))


def quantized(
    model: onnx.ModelProto,
    chosen: Sequence[str],
    ranges: Mapping[str, Range],
    how: Activations,
    one_scale: Collection[str] = (),
) -> onnx.ModelProto:
    """A copy in which the convolutions `chosen` take quantized inputs and weights.

    `ranges` are of the tensors that `activations` names. Those convolutions that `one_scale` names as well
    have one scale for all weights: an engine keeps several copies of a scale for each output channel.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    made: list[onnx.TensorProto] = []
    gone: set[str] = set()
    inputs = {value.name for value in graph.input}

    def after(name: str) -> None:
        if name in ranges:
            q, constants = _activation(name, ranges[name], how)
            nodes.extend(q)
            made.extend(constants)

    for name in inputs:
        after(name)
    for node in graph.node:
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        if node.output[0] in chosen:
            kept.input[0] = _dq(node.input[0])
            if node.input[1] not in gone:
                shared = node.output[0] in one_scale
                q, constants = _weights(node.input[1], weights[node.input[1]], shared=shared)
                nodes.extend(q)
                made.extend(constants)
                gone.add(node.input[1])
            kept.input[1] = _dq(node.input[1])
        elif node.op_type in _OF_QUANTIZED and all(name in ranges for name in node.input):
            kept.input[:] = [_dq(name) for name in node.input]
        nodes.append(kept)
        for name in node.output:
            after(name)
    del graph.node[:]
    graph.node.extend(nodes)
    still = {name for node in nodes for name in node.input}
    left = [tensor for tensor in graph.initializer if tensor.name not in gone or tensor.name in still]
    del graph.initializer[:]
    graph.initializer.extend([*left, *made])
    del graph.value_info[:]
    onnx.checker.check_model(copy)
    return copy


def _chains(model: onnx.ModelProto, chosen: Sequence[str]) -> set[str]:
    """Values that come from the convolutions `chosen` by fused operators and Adds alone."""
    found = set(chosen)
    for node in model.graph.node:
        if (node.op_type in _FOLLOWED and node.input[0] in found) or (
            node.op_type == "Add" and all(name in found for name in node.input)
        ):
            found.add(node.output[0])
    return found


def _dq(name: str) -> str:
    return f"{name}/dequantized"


def _activation(
    name: str, values: Range, how: Activations
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    low, high = min(values.low, 0.0), max(values.high, 0.0)  # zero must be exact: padding is zero
    if how == "symmetric":
        scale, zero = max(-low, high, 1e-6) / 127.0, np.array(0, dtype=np.int8)
    else:
        scale = max(high - low, 1e-6) / 255.0
        zero = np.array(round(-low / scale), dtype=np.uint8)
    constants = [
        numpy_helper.from_array(np.array(scale, dtype=np.float32), f"{name}/scale"),
        numpy_helper.from_array(zero, f"{name}/zero"),
    ]
    q, scales = f"{name}/quantized", [f"{name}/scale", f"{name}/zero"]
    return [
        helper.make_node("QuantizeLinear", [name, *scales], [q], name=q),
        helper.make_node("DequantizeLinear", [q, *scales], [_dq(name)], name=_dq(name)),
    ], constants


def rounded_weights(value: F32) -> F32:
    """What is left of weights, one scale for each output channel."""
    steps, scale = _steps(value, shared=False)
    return np.asarray(steps * scale.reshape(-1, *[1] * (value.ndim - 1)), dtype=np.float32)


def _steps(value: F32, *, shared: bool) -> tuple[npt.NDArray[np.int8], F32]:
    rows = value.reshape(1 if shared else len(value), -1)
    scale = np.maximum(np.abs(rows).max(axis=1), 1e-12).astype(np.float32) / np.float32(127.0)
    steps = np.rint(value / scale.reshape(-1, *[1] * (value.ndim - 1)))
    return np.clip(steps, -127, 127).astype(np.int8), scale


def _weights(name: str, value: F32, *, shared: bool) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    steps, scale = _steps(value, shared=shared)
    zeros = np.zeros(scale.shape, dtype=np.int8)
    constants = [
        numpy_helper.from_array(steps, f"{name}/int8"),
        numpy_helper.from_array(scale.reshape(()) if shared else scale, f"{name}/scale"),
        numpy_helper.from_array(zeros.reshape(()) if shared else zeros, f"{name}/zero"),
    ]
    names = [f"{name}/int8", f"{name}/scale", f"{name}/zero"]
    return [helper.make_node("DequantizeLinear", names, [_dq(name)], name=_dq(name), axis=0)], constants
