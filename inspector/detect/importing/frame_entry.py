"""Puts the frame's way into a network of another make in front of it, inside the graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspector.detect.model.manifest import InputLayout
from inspector.detect.model.placement import Fit, Placement
from inspector.detect.teaching.graph import IMAGE, GraphBuilder
from inspector.errors import ConfigError, ModelError

Normalise = Literal["unit", "imagenet", "none"]

OLDEST_OPSET: Final = 13
_OLDEST_IR: Final = 7  # opset 13's; before 4 every constant had to be an input too
_PREFIX: Final = "frame_entry/"
GREY: Final = 114.0  # what YOLO's letterbox is filled with
IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # of pixels in 0..1
_FLOATS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16)


@dataclass(frozen=True, slots=True)
class Entry:
    """`size` is the network's (width, height). "unit" scales pixels to 0..1."""

    frame: InputLayout
    size: tuple[int, int]
    fit: Fit
    normalise: Normalise
    bgr: bool


def network_size(model: onnx.ModelProto, wanted: tuple[int, int] | None, path: Path) -> tuple[int, int]:
    """The (width, height) of the network's only input, float (1, 3 or 1, height, width).

    `wanted` is for inputs that leave it open. Raises ModelError for any other input, ConfigError when
    the size is open and not given, or given and another.
    """
    dims = _input_dims(model, path)
    height, width = dims[2], dims[3]
    if not (height and width):
        if wanted is None:
            raise ConfigError(f"{path}: its input size is open; give it with --size WIDTHxHEIGHT")
        return wanted
    if wanted not in (None, (width, height)):
        raise ConfigError(f"{path}: takes {width}x{height} pixels, --size says {wanted[0]}x{wanted[1]}")
    return width, height


def with_frame_entry(model: onnx.ModelProto, entry: Entry, path: Path) -> onnx.ModelProto:
    """A copy that takes raw frames, uint8 (1, height, width, channels), named IMAGE.

    Its opset is raised to 13 where it is older. Raises ModelError when that does not work. Its outputs
    have no shapes, which ONNX asks for, until `with_output_shapes`.
    """
    dims = _input_dims(model, path)
    channels = dims[1] or 3
    model = _at_least_opset(model, path)
    model.ir_version = max(model.ir_version, _OLDEST_IR)
    graph = model.graph
    name = network_input(model).name
    dtype = network_input(model).type.tensor_type.elem_type
    if any(IMAGE in (*node.input, *node.output) for node in graph.node):
        _rename(graph, IMAGE, f"{_PREFIX}network_{IMAGE}")
        name = f"{_PREFIX}network_{IMAGE}" if name == IMAGE else name
    builder = GraphBuilder()
    value = _entry_nodes(builder, entry, channels)
    if dtype == TensorProto.FLOAT16:
        value = builder.add("Cast", value, to=TensorProto.FLOAT16)
    nodes, constants = _prefixed(builder, {value: name})
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *kept])
    graph.initializer.extend(constants)
    inputs = [i for i in graph.input if i.name in {t.name for t in graph.initializer}]
    frame = [1, entry.frame.height_px, entry.frame.width_px, entry.frame.channels]
    del graph.input[:]
    graph.input.extend([helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, frame), *inputs])
    del graph.value_info[:]  # shapes of the open batch no longer hold
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def with_output_shapes(
    model: onnx.ModelProto, shapes: Mapping[str, Sequence[int | None]], path: Path
) -> onnx.ModelProto:
    """A copy whose outputs have these shapes; None is a length that depends on what the frame shows.

    Raises ModelError where ONNX's own check refuses the graph.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    for output in whole.graph.output:
        shape = output.type.tensor_type.shape
        shape.SetInParent()  # a scalar has a shape too, without lengths
        for axis, length in enumerate(shapes[output.name]):
            dim = shape.dim.add()
            if length is None:
                dim.dim_param = f"{output.name}_{axis}"
            else:
                dim.dim_value = length
    try:
        onnx.checker.check_model(whole)
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path}: no valid graph with the frame's way in ({reason[:200]})") from error
    return whole


def _entry_nodes(builder: GraphBuilder, entry: Entry, channels: int) -> str:
    frame = entry.frame
    value = builder.add("Cast", IMAGE, to=TensorProto.FLOAT)
    value = builder.add("Transpose", value, perm=[0, 3, 1, 2])
    place = Placement.of((frame.width_px, frame.height_px), entry.size, entry.fit)
    block = max(1, min(frame.width_px // place.width, frame.height_px // place.height))
    if block > 1:  # averaged over whole blocks first, so that thin scratches do not fall between pixels
        value = builder.add(
            "AveragePool", value, kernel_shape=[block, block], strides=[block, block], ceil_mode=1
        )
    if (frame.width_px, frame.height_px) != (place.width * block, place.height * block):
        size = builder.integers(1, frame.channels, place.height, place.width)
        value = builder.add(
            "Resize", value, "", "", size, mode="linear", coordinate_transformation_mode="half_pixel"
        )
    right = place.network_width - place.width - place.left
    lower = place.network_height - place.height - place.upper
    if place.left or place.upper or right or lower:
        pads = builder.integers(0, 0, place.upper, place.left, 0, 0, lower, right)
        value = builder.add("Pad", value, pads, builder.number(GREY), mode="constant")
    if frame.channels == 1 and channels == 3:
        value = builder.add("Concat", value, value, value, axis=1)
    elif frame.channels == 3 and channels == 1:
        grey = np.array([0.299, 0.587, 0.114], dtype=np.float32)[None, :, None, None]  # ITU-R BT.601
        value = builder.add("Conv", value, builder.constant(grey), kernel_shape=[1, 1])
    elif entry.bgr and channels == 3:
        value = builder.add("Gather", value, builder.integers(2, 1, 0), axis=1)
    if entry.normalise == "none":
        return value
    value = builder.add("Mul", value, builder.number(1.0 / 255.0))
    if entry.normalise == "imagenet":
        mean, deviation = (np.array(v[:channels], dtype=np.float32)[None, :, None, None] for v in IMAGENET)
        value = builder.add("Sub", value, builder.constant(mean))
        value = builder.add("Div", value, builder.constant(deviation))
    return value


def network_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in model.graph.initializer}
    return next(value for value in model.graph.input if value.name not in constants)


def _input_dims(model: onnx.ModelProto, path: Path) -> list[int]:
    """(batch, channels, height, width), 0 where open."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelError(f"{path}: has {len(inputs)} inputs ({names}); one image is what can be given to it")
    kind = inputs[0].type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
    fits = len(dims) == 4 and dims[0] in (0, 1) and dims[1] in (0, 1, 3) and kind.elem_type in _FLOATS
    if not fits:
        shape = "x".join(str(dim) if dim else "?" for dim in dims)
        what = TensorProto.DataType.Name(kind.elem_type).lower()
        raise ModelError(
            f"{path}: input {inputs[0].name} is {what} {shape}; it must be float 1x3xHEIGHTxWIDTH or 1x1x..."
        )
    return dims


def _at_least_opset(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset >= OLDEST_OPSET:
        return copy
    try:
        return onnx.version_converter.convert_version(copy, OLDEST_OPSET)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path}: opset {opset} cannot be raised to {OLDEST_OPSET} ({reason})") from error


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for output in graph.output:
        output.name = new if output.name == old else output.name


def _prefixed(
    builder: GraphBuilder, renamed: Mapping[str, str]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The builder's nodes and constants under names that no other exporter uses."""

    def name_of(name: str) -> str:
        return renamed.get(name, name if name in ("", IMAGE) else _PREFIX + name)

    constants = [
        numpy_helper.from_array(numpy_helper.to_array(t), name_of(t.name)) for t in builder.constants
    ]
    nodes = []
    for node in builder.nodes:
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        kept.input[:] = [name_of(name) for name in node.input]
        kept.output[:] = [name_of(name) for name in node.output]
        nodes.append(kept)
    return nodes, constants
