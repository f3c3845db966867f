"""The box network as ONNX nodes: backbone, neck, and an anchor-free head of one level.

The head is that of FCOS (Tian et al. 2019) without the pyramid: one level of stride 8 suits defects, which
are small; the coarser level is added to it for context. What trains and what runs is this one graph.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from inspector.detect.model.manifest import InputLayout
from inspector.detect.teaching.graph import F32, GraphBuilder, backbone, finish, network_input

STRIDE: Final = 8  # network pixels a cell
SCORES: Final = "box_scores"
DISTANCES: Final = "box_distances"
_WIDTH: Final = 64
_LEVELS: Final = ("stride4", "stride8", "stride16")
_LEVEL_CHANNELS: Final = {"stride4": 24, "stride8": 40, "stride16": 112}
_PRIOR: Final = 0.01  # score at the start, as Lin et al. 2017 (focal loss)
_START_DISTANCE: Final = 2.0  # cells, from a cell's centre to each border, at the start


@dataclass(frozen=True, slots=True)
class BoxGraph:
    """The model, and the name of the normalised image in it, where training comes in."""

    model: onnx.ModelProto
    normalised: str


def build(
    layout: InputLayout, size: tuple[int, int], labels: int, backbone_path: Path, *, seed: int = 0
) -> BoxGraph:
    """An untrained model. `size` is the network's (width, height), multiples of 16.

    Outputs: SCORES (1, labels, rows, columns) in 0..1, and DISTANCES (1, 4, rows, columns): from a cell's
    centre to the left, upper, right and lower border of its box, in network pixels.
    """
    width, height = size
    graph = GraphBuilder()
    normalised = network_input(graph, layout, width, height)
    levels = backbone(graph, normalised, layout.channels, backbone_path, _LEVELS)
    rng = np.random.default_rng(seed)

    def conv(source: str, name: str, inputs: int, outputs: int, *, side: int) -> str:
        spread = (2.0 / (inputs * side * side)) ** 0.5
        weights = rng.normal(0.0, spread, (outputs, inputs, side, side)).astype(np.float32)
        _named(graph, f"{name}.w", weights)
        _named(graph, f"{name}.b", np.zeros(outputs, dtype=np.float32))
        return graph.add(
            "Conv", source, f"{name}.w", f"{name}.b", name=name,
            kernel_shape=[side, side], strides=[1, 1], pads=[side // 2] * 4,
        )  # fmt: skip

    fine = graph.add("AveragePool", levels["stride4"], kernel_shape=[2, 2], strides=[2, 2])
    fine = conv(fine, "neck.fine", _LEVEL_CHANNELS["stride4"], _WIDTH, side=1)
    middle = conv(levels["stride8"], "neck.middle", _LEVEL_CHANNELS["stride8"], _WIDTH, side=1)
    coarse = conv(levels["stride16"], "neck.coarse", _LEVEL_CHANNELS["stride16"], _WIDTH, side=1)
    scales = graph.constant(np.array([1, 1, 2, 2], dtype=np.float32))
    coarse = graph.add(
        "Resize", coarse, "", scales, mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    both = graph.add("Add", graph.add("Add", fine, middle), coarse)
    shared = graph.add("Relu", conv(both, "head.shared", _WIDTH, _WIDTH, side=3))
    towers = {}
    for tower, outputs in (("score", labels), ("box", 4)):
        value = graph.add("Relu", conv(shared, f"head.{tower}", _WIDTH, _WIDTH, side=3))
        towers[tower] = conv(value, f"head.{tower}.out", _WIDTH, outputs, side=1)
    _start(graph, "head.score.out", float(np.log(_PRIOR / (1 - _PRIOR))))
    _start(graph, "head.box.out", float(np.log(_START_DISTANCE)))
    graph.add("Sigmoid", towers["score"], name=SCORES)
    graph.add("Mul", graph.add("Exp", towers["box"]), graph.number(STRIDE), name=DISTANCES)
    rows, columns = height // STRIDE, width // STRIDE
    found: dict[str, tuple[int, ...]] = {
        SCORES: (1, labels, rows, columns),
        DISTANCES: (1, 4, rows, columns),
    }
    return BoxGraph(finish(graph, layout, found, "boxes and classes"), normalised)


def with_weights(model: onnx.ModelProto, weights: dict[str, F32]) -> onnx.ModelProto:
    """A copy of `model` with the constants of those names replaced."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    onnx.checker.check_model(copy)
    return copy


def _named(graph: GraphBuilder, name: str, value: F32) -> None:
    graph.constants.append(numpy_helper.from_array(value, name))


def _start(graph: GraphBuilder, conv: str, bias: float) -> None:
    """Small weights and this bias, so that training starts from one prediction everywhere."""
    for tensor in graph.constants:
        if tensor.name in (f"{conv}.w", f"{conv}.b"):
            value = numpy_helper.to_array(tensor) * np.float32(0.1)
            if tensor.name.endswith(".b"):
                value = np.full_like(value, bias)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
