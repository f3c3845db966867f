"""Gives a graph that takes one image a batch axis of any length. Pure.

Our graphs drop the batch axis of one on the way (a matrix of cells, a scalar score). Each value is
therefore followed through the graph: it either still has its axis of one in front, which may then
be longer, or has lost it, and gets a new axis in front.
"""

from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from inspector.errors import ModelError

BATCH: Final = "batch"
_SAME: Final = frozenset(
    {"Cast", "Clip", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Sqrt", "Exp", "Log"}
    | {"Neg", "Abs", "Identity", "Dropout", "Erf", "QuantizeLinear", "DequantizeLinear"}
)
_TOGETHER: Final = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "MatMul"})
_SPATIAL: Final = frozenset(
    {"Conv", "ConvTranspose", "AveragePool", "MaxPool", "GlobalAveragePool", "BatchNormalization", "Pad"}
    | {"Resize", "DepthToSpace", "InstanceNormalization", "Flatten", "Gemm"}
)
_REDUCE: Final = frozenset({"ReduceMax", "ReduceMin", "ReduceMean", "ReduceL2", "ReduceSumSquare"})


def with_batch_axis(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with a leading dimension "batch" on its input and on every output.

    Raises ModelError for an operator whose batch axis cannot be followed.
    """
    lifted = onnx.ModelProto()
    lifted.CopyFrom(model)
    _Lift(lifted).run()
    onnx.checker.check_model(lifted)
    return lifted


class _Lift:
    """`state` of a value: True where it gets a new axis, False where it has one; constants have none."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        known = [*inferred.value_info, *inferred.input, *inferred.output]
        self._shapes = {value.name: _dims(value) for value in known}
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}
        self._state: dict[str, bool] = {value.name: False for value in self._graph.input}
        self._nodes: list[onnx.NodeProto] = []

    def run(self) -> None:
        for node in self._graph.node:
            data = [name for name in node.input if name in self._state]
            if data:
                self._node(node, data)
            else:  # made of constants alone
                self._nodes.append(node)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        del self._graph.value_info[:]
        for value in self._graph.input:
            value.type.tensor_type.shape.dim[0].dim_param = BATCH
        for value in self._graph.output:
            rest = self._shapes[value.name][0 if self._state[value.name] else 1 :]
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, [BATCH, *rest]))

    def _node(self, node: onnx.NodeProto, data: list[str]) -> None:
        new = self._state[data[0]]
        op = node.op_type
        if len({self._state[name] for name in data}) > 1:
            raise self._refuse(node)
        if op in _TOGETHER:
            self._check_ranks(node, data)
        elif op in _SPATIAL and not new:
            if op == "Resize":
                self._resize(node)
        elif op == "Reshape":
            new = self._reshape(node)
        elif op in _REDUCE:
            new = self._reduce(node, new)
        elif op == "Transpose":
            self._transpose(node, new)
        elif op in {"Concat", "Softmax", "Split"} and len(data) == sum(bool(name) for name in node.input):
            self._axis(node, new)
        elif op not in _SAME:
            raise self._refuse(node)
        self._nodes.append(node)
        for name in node.output:
            self._state[name] = new

    def _check_ranks(self, node: onnx.NodeProto, data: list[str]) -> None:
        """A constant of a higher rank, or values of two ranks, would meet the new axis wrongly."""
        ranks = {len(self._shape(name)) for name in data}
        constants = [len(self._constant_shape(name)) for name in node.input if name not in self._state]
        if len(ranks) > 1 or max(constants, default=0) > max(ranks):
            raise self._refuse(node)

    def _resize(self, node: onnx.NodeProto) -> None:
        """Sizes start with a batch of one: take the true one from the value itself."""
        if len(node.input) < 4 or not node.input[3]:
            return
        target = self._shape(node.output[0])[1:]
        name = node.output[0]
        for suffix, value in (("first", [0]), ("end", [1]), ("rest", target)):
            self._graph.initializer.append(
                numpy_helper.from_array(np.array(value, dtype=np.int64), f"{name}.{suffix}")
            )
        shape, batch, sizes = f"{name}.shape", f"{name}.batch", f"{name}.sizes"
        self._nodes += [
            helper.make_node("Shape", [node.input[0]], [shape]),
            helper.make_node("Slice", [shape, f"{name}.first", f"{name}.end"], [batch]),
            helper.make_node("Concat", [batch, f"{name}.rest"], [sizes], axis=0),
        ]
        node.input[3] = sizes

    def _reshape(self, node: onnx.NodeProto) -> bool:
        target = self._shape(node.output[0])
        keeps = bool(target) and target[0] == 1
        name = f"{node.output[0]}.batched_shape"
        dims = np.array([-1, *(target[1:] if keeps else target)], dtype=np.int64)
        self._graph.initializer.append(numpy_helper.from_array(dims, name))
        node.input[1] = name
        return not keeps

    def _reduce(self, node: onnx.NodeProto, new: bool) -> bool:
        if len(node.input) > 1:  # axes as an input, from operator set 18 on
            raise self._refuse(node)
        rank = len(self._shape(node.input[0]))
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        axes = [axis % rank for axis in attributes.get("axes", range(rank))]
        if not new and "axes" in attributes and 0 in axes:
            raise self._refuse(node)
        keeps = bool(attributes.get("keepdims", 1))
        axes = [axis + 1 for axis in axes] if new else [axis for axis in axes if axis]
        drops = not new and "axes" not in attributes and not keeps
        del node.attribute[:]
        node.attribute.extend(
            helper.make_attribute(key, value) for key, value in (("axes", axes), ("keepdims", int(keeps)))
        )
        return new or drops

    def _transpose(self, node: onnx.NodeProto, new: bool) -> None:
        rank = len(self._shape(node.input[0]))
        given = [helper.get_attribute_value(a) for a in node.attribute if a.name == "perm"]
        perm = list(given[0]) if given else list(range(rank))[::-1]
        if new:
            perm = [0, *(axis + 1 for axis in perm)]
        elif perm[0] != 0:
            raise self._refuse(node)
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("perm", perm))

    def _axis(self, node: onnx.NodeProto, new: bool) -> None:
        rank = len(self._shape(node.input[0]))
        for attribute in node.attribute:
            if attribute.name == "axis":
                axis = attribute.i % rank
                if not new and axis == 0:
                    raise self._refuse(node)
                attribute.i = axis + 1 if new else axis

    def _shape(self, name: str) -> list[int]:
        if name not in self._shapes:
            raise ModelError(f"the shape of '{name}' is not known: the graph cannot take batches")
        return self._shapes[name]

    def _constant_shape(self, name: str) -> list[int]:
        if name in self._constants:
            return list(self._constants[name].dims)
        return self._shape(name)

    @staticmethod
    def _refuse(node: onnx.NodeProto) -> ModelError:
        return ModelError(f"{node.op_type} '{node.output[0]}' cannot take batches")


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]
