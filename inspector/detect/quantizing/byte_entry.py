"""A quicker way of the frame into an int8 graph: in bytes, and scaled row by row. Pure but for ONNX objects.

The same averaging and bilinear scaling as in `graph.network_input`, with rounding to bytes after each step.
A large frame is first averaged over whole blocks (docs/decisions/053). Then the rows are scaled, with a
whole row of pixels along the channels, where a CPU's vector units work; OpenVINO's scaling of three
channels or one leaves most of their width idle. Then the columns: where so many pixels always become so
many (8 become 7 from 512 to 448), that is one small product of matrices, and the pixels stay in order; else
the image is turned and scaled as rows are (docs/decisions/046).
"""

from dataclasses import dataclass
from math import gcd
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspector.detect.teaching.graph import IMAGE, GraphBuilder

_PREFIX = "byte_entry/"
_MOST_STEPS: Final = 127  # of a weight in int8
_VECTOR: Final = 64  # bytes that a CPU multiplies at once: blocks are averaged together that fill it


@dataclass(frozen=True, slots=True)
class _Chain:
    """The nodes of `graph.network_input`, from the raw image to its normalised form."""

    nodes: list[onnx.NodeProto]
    block: int  # pixels, each way, that are averaged first
    size: tuple[int, int] | None  # (width, height) that it is scaled to
    mean: float
    scale: float

    @property
    def end(self) -> str:
        return str(self.nodes[-1].output[0])


def with_byte_entry(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose frame is scaled in bytes.

    A graph that enters otherwise than by `graph.network_input` stays as it is.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    chain = _find(copy.graph)
    if chain is None:
        return copy
    _, rows, columns, channels = (dim.dim_value for dim in copy.graph.input[0].type.tensor_type.shape.dim)
    builder = GraphBuilder()
    value = _averaged(builder, (columns, rows), channels, chain.block)
    blocks = (-(-columns // chain.block), -(-rows // chain.block))
    value = _scaled(builder, value, blocks, channels, chain.size)
    names = {value: f"{_PREFIX}bytes"}
    nodes, constants = [], []
    for node in builder.nodes:
        node.input[:] = [
            name if name in ("", IMAGE) else names.get(name, _PREFIX + name) for name in node.input
        ]
        node.output[:] = [names.get(name, _PREFIX + name) for name in node.output]
        nodes.append(node)
    for tensor in builder.constants:
        tensor.name = _PREFIX + tensor.name
        constants.append(tensor)
    numbers = {f"{_PREFIX}mean": chain.mean, f"{_PREFIX}scale": chain.scale}
    for name, number in numbers.items():
        constants.append(numpy_helper.from_array(np.array(number, dtype=np.float32), name))
    floats, centred = f"{_PREFIX}floats", f"{_PREFIX}centred"
    nodes.append(helper.make_node("Cast", [f"{_PREFIX}bytes"], [floats], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Sub", [floats, f"{_PREFIX}mean"], [centred]))
    nodes.append(helper.make_node("Mul", [centred, f"{_PREFIX}scale"], [chain.end]))
    gone = {node.output[0] for node in chain.nodes}
    kept = [node for node in copy.graph.node if node.output[0] not in gone]
    del copy.graph.node[:]
    copy.graph.node.extend([*nodes, *kept])
    copy.graph.initializer.extend(constants)
    del copy.graph.value_info[:]
    onnx.checker.check_model(copy)
    return copy


def byte_range(model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    """The normalised image's name, and what bytes 0 and 255 are in it; empty for graphs that enter otherwise.

    Quantized over that range each step is a byte, and nothing is lost.
    """
    chain = _find(model.graph)
    return {chain.end: (-chain.mean * chain.scale, (255 - chain.mean) * chain.scale)} if chain else {}


def _find(graph: onnx.GraphProto) -> _Chain | None:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    nodes: list[onnx.NodeProto] = []
    value, block, size, mean, factor = IMAGE, 1, None, None, None
    for wanted in ("Cast", "Transpose", "AveragePool", "Resize", "Sub", "Mul"):
        following = users.get(value, [])
        if len(following) != 1 or following[0].op_type != wanted:
            if wanted in {"AveragePool", "Resize"}:
                continue
            return None
        node = following[0]
        if wanted == "AveragePool":
            block = next(int(a.ints[0]) for a in node.attribute if a.name == "kernel_shape")
        elif wanted == "Resize":
            _, _, height, width = (int(v) for v in numpy_helper.to_array(constants[node.input[3]]))
            size = (width, height)
        elif wanted in ("Sub", "Mul"):
            number = numpy_helper.to_array(constants[node.input[1]])
            if number.size != 1:
                return None
            mean, factor = (number.item(), factor) if wanted == "Sub" else (mean, number.item())
        nodes.append(node)
        value = node.output[0]
    if mean is None or factor is None or mean != round(mean):
        return None
    return _Chain(nodes, block, size, mean, factor)


def _averaged(builder: GraphBuilder, source: tuple[int, int], channels: int, block: int) -> str:
    """From IMAGE (1, H, W, C) to bytes, the mean of each block, (1, H / block, W / block, C), rounded up: the
    last blocks may be smaller. The columns come first, as their product takes bytes and leaves fewer."""
    if block == 1:
        return IMAGE
    columns, rows = source
    parts = []
    for first, last, pixels in _blocks(columns, block):
        part = _part(builder, IMAGE, first, last, columns, axis=2)
        count = (last - first) // pixels
        fitting = max(1, _VECTOR // (pixels * channels))
        together = next(n for n in range(fitting, 0, -1) if count % n == 0)
        mean = np.kron(np.eye(together), np.ones((pixels, 1))).astype(np.int8)
        part = _by_product(builder, part, mean, pixels, (rows, last - first, channels))
        parts.append(builder.add("Reshape", part, builder.integers(1, rows, count, channels)))
    value = builder.add("Concat", *parts, axis=2) if len(parts) > 1 else parts[0]
    width = -(-columns // block)
    lanes = width * channels
    value = builder.add("Reshape", value, builder.integers(1, rows, 1, lanes))
    one, zero = builder.number(1.0), _bytes(builder, np.zeros((), dtype=np.uint8))
    parts = []
    for first, last, pixels in _blocks(rows, block):
        part = _part(builder, value, first, last, rows, axis=1)
        part = builder.add("Transpose", part, perm=[0, 3, 1, 2])
        part = builder.add("DequantizeLinear", part, one, zero)
        kernel = builder.constant(np.full((lanes, 1, pixels, 1), 1 / pixels, dtype=np.float32))
        side = [pixels, 1]
        part = builder.add("Conv", part, kernel, kernel_shape=side, strides=side, group=lanes)
        part = builder.add("QuantizeLinear", part, one, zero)
        parts.append(builder.add("Transpose", part, perm=[0, 2, 3, 1]))
    value = builder.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    return builder.add("Reshape", value, builder.integers(1, -(-rows // block), width, channels))


def _blocks(length: int, block: int) -> list[tuple[int, int, int]]:
    """(first, last, pixels a block) of the whole blocks, and of what is left after them."""
    whole = length // block * block
    left = [(whole, length, length - whole)] if whole < length else []
    return [(0, whole, block), *left]


def _part(builder: GraphBuilder, value: str, first: int, last: int, length: int, *, axis: int) -> str:
    if last - first == length:
        return value
    ends = builder.integers(first), builder.integers(last), builder.integers(axis)
    return builder.add("Slice", value, *ends)


def _scaled(
    builder: GraphBuilder,
    value: str,
    source: tuple[int, int],
    channels: int,
    size: tuple[int, int] | None,
) -> str:
    """From bytes (1, H, W, C) to bytes (1, C, height, width)."""
    if size is None:
        return builder.add("Transpose", value, perm=[0, 3, 1, 2])
    (columns, rows), (width, height) = source, size
    value = _along(builder, value, rows, height, columns * channels)
    if columns == width:
        value = builder.add("Reshape", value, builder.integers(1, height, width, channels))
        return builder.add("Transpose", value, perm=[0, 3, 1, 2])
    steps = _repeated(columns, width)
    if steps is not None:
        value = _by_product(builder, value, steps, 2 * steps.shape[1], (height, columns, channels))
        value = builder.add("Reshape", value, builder.integers(1, height, width, channels))
        return builder.add("Transpose", value, perm=[0, 3, 1, 2])
    value = builder.add("Reshape", value, builder.integers(1, height, columns, channels))
    value = builder.add("Transpose", value, perm=[0, 2, 1, 3])
    value = _along(builder, value, columns, width, height * channels)
    value = builder.add("Reshape", value, builder.integers(1, width, height, channels))
    return builder.add("Transpose", value, perm=[0, 3, 2, 1])


def _repeated(length: int, wanted: int) -> npt.NDArray[np.int8] | None:
    """Weights (pixels, scaled pixels) of a linear scaling that repeats, in steps of 1 / (2 x scaled pixels).

    None where one is enlarged, as pixels then depend on their neighbours' too, or where a weight is no
    whole number of steps in int8.
    """
    pixels, scaled = length // gcd(length, wanted), wanted // gcd(length, wanted)
    if pixels < scaled or 2 * scaled > _MOST_STEPS:
        return None
    weights = np.zeros((pixels, scaled), dtype=np.int8)
    for place in range(scaled):
        # Of half a pixel each: (place + 1/2) * pixels / scaled - 1/2, times 2 * scaled.
        left, rest = divmod((2 * place + 1) * pixels - scaled, 2 * scaled)
        weights[left, place] = 2 * scaled - rest
        if rest:
            weights[left + 1, place] = rest
    return weights


def _by_product(
    builder: GraphBuilder, value: str, steps: npt.NDArray[np.int8], whole: int, shape: tuple[int, int, int]
) -> str:
    """Scale the columns of `shape` (height, columns, channels) by `steps`, of which `whole` are 1; what comes
    is bytes again."""
    height, columns, channels = shape
    pixels, scaled = steps.shape
    matrix = np.kron(steps, np.eye(channels, dtype=np.int8))
    one, zero = builder.number(1.0), _bytes(builder, np.zeros((), dtype=np.uint8))
    value = builder.add("Reshape", value, builder.integers(1, height, columns // pixels, pixels * channels))
    value = builder.add("DequantizeLinear", value, one, zero)
    weights = builder.add(
        "DequantizeLinear",
        _bytes(builder, matrix),
        builder.constant(np.full(scaled * channels, 1 / whole, dtype=np.float32)),
        _bytes(builder, np.zeros(scaled * channels, dtype=np.int8)),
        axis=1,
    )
    value = builder.add("MatMul", value, weights)
    return builder.add("QuantizeLinear", value, one, zero)


def _along(builder: GraphBuilder, value: str, length: int, wanted: int, lanes: int) -> str:
    """Scale the axis after the batch from `length` to `wanted`; everything behind it are lanes."""
    value = builder.add("Reshape", value, builder.integers(1, length, 1, lanes))
    value = builder.add("Transpose", value, perm=[0, 3, 1, 2])
    value = builder.add(
        "Resize", value, "", "", builder.integers(1, lanes, wanted, 1), mode="linear",
        coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    return builder.add("Transpose", value, perm=[0, 2, 3, 1])


def _bytes(builder: GraphBuilder, value: npt.NDArray[np.int8] | npt.NDArray[np.uint8]) -> str:
    name = f"bytes_{len(builder.constants)}"
    builder.constants.append(numpy_helper.from_array(value, name))
    return name
