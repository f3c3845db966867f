"""Writes what scores in the form that int8 suits. Pure but for ONNX objects.

After the backbone three steps are left that cost time and memory: each cell's own matrix (gaussian.py), the
whitening of the map's fine part (detail.py) and the comparison with patches (coarse_bank.py). The first two
multiply residuals, of which some weigh a hundred times more than others. Here each is first brought to the
unit in which it counts, which lets all share one step of 1/256, and the products become convolutions, whose
weights an engine keeps as bytes. Patches are rounded to those weights, so that what is left is the exact
distance between a rounded cell and a rounded patch: of two large products that nearly cancel, the steps
would be seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspector.detect.quantizing.q_dq import F32, rounded_weights

LARGEST_RESIDUAL: Final = 6.0
"""Of a weighed residual; more counts as that much. A part's distance is 1 where it is as usual, and one
residual of 6 alone makes it about 6, beyond all thresholds. The step of 12 / 255 changes the distance of a
good part by a thousandth."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """The graph rewritten, and its convolutions: output and the residuals that each takes, by name; of those
    that compare with patches, output and the cells."""

    model: onnx.ModelProto
    residuals: Mapping[str, str]
    compared: Mapping[str, str]


def with_convolved_scoring(model: onnx.ModelProto) -> Scoring:
    """The same function of the image, but for the order of float32's sums. Other graphs stay as they are."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    writer = _Writer(graph)
    made, compared = dict[str, str](), dict[str, str]()
    for node in list(graph.node):
        if node.op_type == "MatMul":
            made |= writer.cells(node)
        elif node.op_type == "Conv":
            made |= writer.whitening(node)
            compared |= writer.patches(node)
    del graph.value_info[:]
    writer.drop_unused()
    onnx.checker.check_model(copy)
    return Scoring(copy, made, compared)


class _Writer:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {node.output[0]: node for node in graph.node}

    def cells(self, product: onnx.NodeProto) -> dict[str, str]:
        """(cells, depth) residuals times a matrix for each cell: one group of a convolution a cell."""
        shaped, whitening = self._made(product, 0, "Reshape"), self._value(product.input[1])
        residuals = self._made(shaped, 0, "Sub") if shaped else None
        if residuals is None or whitening is None or whitening.ndim != 3:
            return {}
        cells, depth, width = whitening.shape
        weight = _weight(whitening, axis=2)
        kernel = (whitening / weight).transpose(0, 2, 1).reshape(cells * width, depth, 1, 1)
        name = product.output[0]
        unit = self._constant(f"{name}/unit", weight[:, :, 0])
        flat = self._constant(f"{name}/flat", np.array([1, cells * depth, 1, 1], dtype=np.int64))
        back = self._constant(f"{name}/back", np.array([cells, 1, width], dtype=np.int64))
        kernels = self._constant(f"{name}/w", kernel)
        self._replace(
            product,
            helper.make_node("Mul", [residuals.output[0], unit], [f"{name}/weighed"]),
            helper.make_node("Reshape", [f"{name}/weighed", flat], [f"{name}/in"]),
            helper.make_node(
                "Conv", [f"{name}/in", kernels], [f"{name}/out"], group=cells, kernel_shape=[1, 1]
            ),
            helper.make_node("Reshape", [f"{name}/out", back], [name]),
        )
        return {f"{name}/out": f"{name}/in"}

    def whitening(self, product: onnx.NodeProto) -> dict[str, str]:
        """A 1 x 1 convolution of (1, channels, rows, columns) residuals from a mean for each cell."""
        residuals, kernel = self._made(product, 0, "Sub"), self._value(product.input[1])
        mean = self._value(residuals.input[1]) if residuals else None
        if (
            residuals is None
            or mean is None
            or kernel is None
            or mean.ndim != 4
            or kernel.shape[2:] != (1, 1)
        ):
            return {}
        name = product.output[0]
        weight = _weight(kernel, axis=0)
        unit = self._constant(f"{name}/unit", weight)
        changed = onnx.NodeProto()
        changed.CopyFrom(product)
        changed.input[0] = f"{name}/weighed"
        changed.input[1] = self._constant(f"{name}/w", kernel / weight)
        self._replace(
            product, helper.make_node("Mul", [residuals.output[0], unit], [f"{name}/weighed"]), changed
        )
        return {name: f"{name}/weighed"}

    def patches(self, product: onnx.NodeProto) -> dict[str, str]:
        """-2 times each patch's product with a cell, plus the patch's square, of which the least is taken."""
        takers = [node for node in self._graph.node if product.output[0] in node.input]
        kernel = self._value(product.input[1])
        bias = self._value(product.input[2]) if len(product.input) == 3 else None
        if (
            kernel is None
            or bias is None
            or kernel.shape[2:] != (1, 1)
            or [node.op_type for node in takers] != ["ReduceMin"]
            or not np.allclose(bias, _squares(kernel), rtol=1e-4)
        ):
            return {}
        name, rounded = product.output[0], rounded_weights(kernel)
        product.input[1] = self._constant(f"{name}/w", rounded)
        product.input[2] = self._constant(f"{name}/squares", _squares(rounded))
        return {name: product.input[0]}

    def drop_unused(self) -> None:
        """What made the old products' matrices is left over."""
        outputs = {value.name for value in self._graph.output}
        nodes = list(self._graph.node)
        while True:
            used = outputs.union(*(node.input for node in nodes))
            kept = [node for node in nodes if used.intersection(node.output)]
            if len(kept) == len(nodes):
                break
            nodes = kept
        tensors = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.node[:]
        del self._graph.initializer[:]
        self._graph.node.extend(nodes)
        self._graph.initializer.extend(tensors)

    def _made(self, node: onnx.NodeProto, place: int, op: str) -> onnx.NodeProto | None:
        maker = self._makers.get(node.input[place])
        return maker if maker is not None and maker.op_type == op else None

    def _value(self, name: str) -> F32 | None:
        """A constant, which may be stored in half precision."""
        maker = self._makers.get(name)
        if maker is not None and maker.op_type == "Cast":
            name = maker.input[0]
        tensor = self._constants.get(name)
        if tensor is None or tensor.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
            return None
        return np.asarray(numpy_helper.to_array(tensor), dtype=np.float32)

    def _constant(self, name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _replace(self, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
        place = next(i for i, other in enumerate(self._graph.node) if other.output[0] == node.output[0])
        del self._graph.node[place]
        for offset, new in enumerate(nodes):
            self._graph.node.insert(place + offset, new)


def _squares(kernel: F32) -> F32:
    """Of patches, whose kernel is -2 times them."""
    return np.asarray(((kernel / 2.0) ** 2).sum(axis=(1, 2, 3)), dtype=np.float32)


def _weight(matrix: F32, axis: int) -> F32:
    """How much a residual weighs in the length of the product; `axis` is that of the products."""
    length = np.sqrt((matrix**2).sum(axis=axis, keepdims=True))
    return np.asarray(np.maximum(length, 1e-12), dtype=np.float32)
