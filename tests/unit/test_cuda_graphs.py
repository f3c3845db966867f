"""Graphs rewritten for GPUs give the scores of the graph that they come from, run on the CPU."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from inspector.detect.commands import find_backbone
from inspector.detect.cuda.batch_graph import with_batch_axis
from inspector.detect.cuda.half_graph import with_half_precision
from inspector.detect.cuda.int8_graph import quantized_values, with_int8
from inspector.detect.cuda.turing_graph import without_matrix_products
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.model.manifest import InputLayout
from inspector.detect.quantizing.ranges import measure_ranges
from inspector.detect.teaching.bank import BankScorer
from inspector.detect.teaching.graph import (
    SCORE,
    SCORE_MAP,
    GraphBuilder,
    backbone,
    finish,
    grid_features,
    image_score,
    network_input,
    project,
)
from inspector.errors import ModelError

MODELS = Path(__file__).parents[2] / "models"
Images = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def demo() -> onnx.ModelProto:
    return onnx.load(MODELS / "demo_part" / "model.onnx")


@pytest.fixture(scope="module")
def bank() -> onnx.ModelProto:
    """A model that scores by the nearest patch; its weights matter to nobody here."""
    rng = np.random.default_rng(1)
    layout = InputLayout(width_px=96, height_px=64, pixel_format="RGB8")
    graph = GraphBuilder()
    levels = backbone(graph, network_input(graph, layout, 64, 32), 3, find_backbone(MODELS))
    matrix = rng.normal(0, 0.1, (16, 64)).astype(np.float32)
    projected = project(graph, grid_features(graph, levels), matrix, np.zeros(16, dtype=np.float32))
    cells = BankScorer(rng.normal(0, 1, (50, 16)).astype(np.float32)).add_to(graph, projected)
    image_score(graph, cells, 4, 8, np.full((3, 3), 1 / 9, dtype=np.float32))
    return finish(graph, layout, {SCORE: (), SCORE_MAP: (4, 8)}, "bank")


def images(model: onnx.ModelProto, count: int) -> Images:
    """Random coarse patterns, (count, height, width, channels)."""
    _, height, width, channels = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (count, height // 16, width // 16, channels), dtype=np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


def scores(model: onnx.ModelProto, pixels: Images) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    outputs = CpuRun(model.SerializeToString(), "test")(pixels)
    return outputs[SCORE], outputs[SCORE_MAP]


@pytest.mark.parametrize("name", ["demo", "bank"])
def test_a_batch_gives_each_image_the_scores_that_it_has_alone(
    name: str, request: pytest.FixtureRequest
) -> None:
    model: onnx.ModelProto = request.getfixturevalue(name)
    pixels = images(model, 3)
    together = scores(with_batch_axis(model), pixels)
    for index in range(3):
        alone = scores(model, pixels[index : index + 1])
        np.testing.assert_allclose(together[0][index], alone[0], rtol=1e-4)
        np.testing.assert_allclose(together[1][index], alone[1], rtol=1e-4, atol=1e-4)


def test_half_precision_changes_scores_by_less_than_a_hundredth(demo: onnx.ModelProto) -> None:
    pixels = images(demo, 1)
    halved = with_half_precision(demo)
    np.testing.assert_allclose(scores(halved, pixels)[0], scores(demo, pixels)[0], rtol=0.01)
    kinds = {tensor.name: tensor.data_type for tensor in halved.graph.initializer}
    assert kinds["stem.w.half"] == onnx.TensorProto.FLOAT16
    assert "stem.w" not in kinds


def test_int8_stays_near_with_measured_ranges(demo: onnx.ModelProto) -> None:
    pixels = images(demo, 2)
    values = quantized_values(demo)
    ranges = measure_ranges(demo, values, [pixels[:1], pixels[1:]])
    assert set(ranges) == set(values)
    quantized = with_int8(demo, ranges)
    np.testing.assert_allclose(scores(quantized, pixels[:1])[0], scores(demo, pixels[:1])[0], rtol=0.2)
    nodes = quantized.graph.node
    constants = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    assert sum(node.op_type == "QuantizeLinear" for node in nodes) == len(values) > 10
    weights = [
        node.input[0] for node in nodes if node.op_type == "DequantizeLinear" and node.input[0] in constants
    ]
    assert len(weights) > 10
    assert {constants[name] for name in weights} == {onnx.TensorProto.INT8}


def test_int8_without_a_range_is_refused(demo: onnx.ModelProto) -> None:
    with pytest.raises(ModelError, match="no range of"):
        with_int8(demo, {})


def test_products_written_as_sums_are_the_same(demo: onnx.ModelProto) -> None:
    rewritten = without_matrix_products(demo)
    assert all(node.op_type != "MatMul" for node in rewritten.graph.node)
    pixels = images(demo, 1)
    np.testing.assert_allclose(scores(rewritten, pixels)[0], scores(demo, pixels)[0], rtol=1e-4)


def test_an_operator_whose_batch_cannot_be_followed_is_named() -> None:
    layout = InputLayout(width_px=8, height_px=8, pixel_format="Mono8")
    graph = GraphBuilder()
    value = graph.add("Cast", "image", to=onnx.TensorProto.FLOAT)
    graph.add("Transpose", value, perm=[1, 0, 2, 3], name=SCORE_MAP)
    with pytest.raises(ModelError, match="Transpose 'score_map' cannot take batches"):
        with_batch_axis(finish(graph, layout, {SCORE_MAP: (8, 1, 8, 1)}, "odd"))
