"""Writes the detector as ONE ONNX graph: raw image in, score map and image score out.

Everything that decides is in this graph, so that any engine that runs ONNX gives the same scores.
"""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspector.detect.model import manifest
from inspector.detect.model.graph_file import load_graph
from inspector.detect.model.manifest import InputLayout

F32 = npt.NDArray[np.float32]
Constant = npt.NDArray[np.float32] | npt.NDArray[np.float16] | npt.NDArray[np.int64]

GRID_STRIDE: Final = 8  # network pixels a cell of the score map
IMAGE: Final = "image"
FEATURES: Final = "features"
SCORE: Final = manifest.SCORE
SCORE_MAP: Final = manifest.SCORE_MAP
_OPSET: Final = 17
_IR_VERSION: Final = 9
_PIXEL_MEAN: Final = 127.0  # how EfficientNet-Lite was trained: (x - 127) / 128
_PIXEL_SCALE: Final = 128.0


class GraphBuilder:
    """Collects nodes and constants. Each method adds nodes and returns the last one's output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._count = 0

    def add(self, op: str, *inputs: str, name: str = "", **attributes: object) -> str:
        self._count += 1
        output = name or f"{op.lower()}_{self._count}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, value: Constant) -> str:
        self._count += 1
        name = f"constant_{self._count}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))


def network_input(graph: GraphBuilder, layout: InputLayout, width: int, height: int) -> str:
    """Raw uint8 (1, H, W, C) to normalised float (1, C, height, width).

    A large image is first averaged over whole blocks, so that the bilinear step that follows
    shrinks by less than two and skips no pixel (thin scratches would flicker otherwise).
    """
    value = graph.add("Cast", IMAGE, to=TensorProto.FLOAT)
    value = graph.add("Transpose", value, perm=[0, 3, 1, 2])
    block = max(1, min(layout.width_px // width, layout.height_px // height))
    if block > 1:
        value = graph.add(
            "AveragePool", value, kernel_shape=[block, block], strides=[block, block], ceil_mode=1
        )
    size = graph.integers(1, layout.channels, height, width)
    if (layout.width_px, layout.height_px) != (width * block, height * block):
        value = graph.add(
            "Resize", value, "", "", size, mode="linear",
            coordinate_transformation_mode="half_pixel",
        )  # fmt: skip
    value = graph.add("Sub", value, graph.number(_PIXEL_MEAN))
    return graph.add("Mul", value, graph.number(1.0 / _PIXEL_SCALE))


def backbone(
    graph: GraphBuilder,
    source: str,
    channels: int,
    path: Path,
    levels: tuple[str, ...] = ("stride4", "stride8"),
) -> dict[str, str]:
    """Inline backbone.onnx up to `levels` (stride4, stride8, stride16); returns them by name.

    A grey image goes in once, not three times: the first layer's weights are summed over colours.
    """
    model = load_graph(path)
    stem_weight = next(n.input[1] for n in model.graph.node if n.input[0] == IMAGE)
    used = _ancestors(model.graph, levels)
    for tensor in model.graph.initializer:
        weights = tensor
        if tensor.name == stem_weight and channels == 1:
            summed = numpy_helper.to_array(tensor).sum(axis=1, keepdims=True)
            weights = numpy_helper.from_array(summed, tensor.name)
        if tensor.name in used:
            graph.constants.append(weights)
    for node in model.graph.node:
        if node.output[0] in used:
            kept = onnx.NodeProto()
            kept.CopyFrom(node)
            kept.input[:] = [source if name == IMAGE else name for name in node.input]
            graph.nodes.append(kept)
    return {level: level for level in levels}


def grid_features(graph: GraphBuilder, levels: dict[str, str]) -> str:
    """One feature vector a grid cell, (1, 64, rows, columns): fine detail and coarser form.

    Both levels are averaged over 3 x 3 cells: a part lies some pixels off in every image, and
    without the average edges and texture drown small defects (docs/decisions/005).
    """
    fine = graph.add("AveragePool", levels["stride4"], kernel_shape=[2, 2], strides=[2, 2])
    both = graph.add("Concat", fine, levels["stride8"], axis=1)
    return graph.add(
        "AveragePool", both, name=FEATURES,
        kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1],
    )  # fmt: skip


def project(graph: GraphBuilder, features: str, matrix: F32, bias: F32) -> str:
    """A linear map (C to D channels) at every cell: `matrix` (D, C), `bias` (D,)."""
    weights = graph.constant(matrix[:, :, None, None])
    return graph.add("Conv", features, weights, graph.constant(bias), kernel_shape=[1, 1])


def doubled(graph: GraphBuilder, value: str) -> str:
    """(1, C, rows, columns) to (1, C, 2 rows, 2 columns), bilinear."""
    scales = graph.constant(np.array([1, 1, 2, 2], dtype=np.float32))
    return graph.add("Resize", value, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")


def twice(cells: F32) -> F32:
    """The same as `doubled`, of (rows, columns) or (rows, columns, C)."""
    size = (2 * cells.shape[1], 2 * cells.shape[0])
    return np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def smoothed(graph: GraphBuilder, cell_map: str, rows: int, columns: int, blur: F32) -> str:
    """A map of rows * columns scores after the kernel `blur` (odd side), (1, 1, rows, columns)."""
    value = graph.add("Reshape", cell_map, graph.integers(1, 1, rows, columns))
    side = blur.shape[0]
    if side == 1:
        return value
    margin = side // 2
    value = graph.add("Pad", value, graph.integers(0, 0, margin, margin, 0, 0, margin, margin), mode="edge")
    return graph.add("Conv", value, graph.constant(blur[None, None]), kernel_shape=[side, side])


def image_score(graph: GraphBuilder, cell_map: str, rows: int, columns: int, blur: F32) -> None:
    """The score is the maximum of the map after the kernel `blur` (odd side).

    `cell_map` holds rows * columns scores. Outputs score () and score_map, the smoothed map (rows, columns).
    """
    value = smoothed(graph, cell_map, rows, columns, blur)
    graph.add("Reshape", value, graph.integers(rows, columns), name=SCORE_MAP)
    graph.add("ReduceMax", value, keepdims=0, name=SCORE)


def finish(
    graph: GraphBuilder, layout: InputLayout, outputs: dict[str, tuple[int, ...]], doc: str
) -> onnx.ModelProto:
    """The checked model with float outputs of the given shapes."""
    shape = [1, layout.height_px, layout.width_px, layout.channels]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "inspector_anomaly",
            [helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, shape)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))
                for name, dims in outputs.items()
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION,
        producer_name="inspector", doc_string=doc,
    )  # fmt: skip
    onnx.checker.check_model(model)
    return model


def _ancestors(graph: onnx.GraphProto, wanted: tuple[str, ...]) -> set[str]:
    """Names of all values and constants that `wanted` depend on, and themselves."""
    makers = {node.output[0]: node for node in graph.node}
    found: set[str] = set()
    queue = list(wanted)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            if name in makers:
                queue.extend(makers[name].input)
    return found
