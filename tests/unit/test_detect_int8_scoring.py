"""int8's forms of what scores and of the way in: the same numbers as the graphs they are made from."""

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.model.manifest import InputLayout
from inspector.detect.quantizing.byte_entry import byte_range, with_byte_entry
from inspector.detect.quantizing.q_dq import Range, quantized
from inspector.detect.quantizing.scoring import LARGEST_RESIDUAL, with_convolved_scoring
from inspector.detect.teaching.bank import BankScorer
from inspector.detect.teaching.coarse_bank import CoarseBank
from inspector.detect.teaching.gaussian import GaussianScorer
from inspector.detect.teaching.graph import GraphBuilder, finish, network_input

ROWS, COLUMNS, DEPTH = 6, 8, 32
CELL_MAP = "cells"
LAYOUT = InputLayout(width_px=COLUMNS, height_px=ROWS, pixel_format="RGB8")


def features(seed: int, count: int) -> npt.NDArray[np.float32]:
    """Correlated, and of very different sizes."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(DEPTH, DEPTH)) * np.geomspace(0.05, 5.0, DEPTH)
    return np.asarray(rng.normal(size=(count, ROWS, COLUMNS, DEPTH)) @ mixing, dtype=np.float32)


def scoring_graph(scorer: GaussianScorer | BankScorer) -> onnx.ModelProto:
    """Pixels, weighed differently for each axis, stand for the backbone's features."""
    graph = GraphBuilder()
    value = graph.add("Transpose", graph.add("Cast", "image", to=onnx.TensorProto.FLOAT), perm=[0, 3, 1, 2])
    kernel = np.random.default_rng(5).normal(size=(DEPTH, 3, 1, 1)) / 40
    projected = graph.add("Conv", value, graph.constant(kernel.astype(np.float32)), kernel_shape=[1, 1])
    graph.add("Identity", scorer.add_to(graph, projected), name=CELL_MAP)
    return finish(graph, LAYOUT, {CELL_MAP: (ROWS * COLUMNS,)}, "scoring")


def cells(model: onnx.ModelProto, seed: int) -> npt.NDArray[np.float32]:
    pixels = np.random.default_rng(seed).integers(0, 256, (1, ROWS, COLUMNS, 3), dtype=np.uint8)
    return np.asarray(CpuRun(model.SerializeToString(), "test")(pixels)[CELL_MAP])


def test_each_cells_matrix_as_a_convolution_is_the_same() -> None:
    model = scoring_graph(GaussianScorer.fit(features(0, 30)))
    scoring = with_convolved_scoring(model)
    assert len(scoring.residuals) == 1
    assert all(node.op_type != "MatMul" for node in scoring.model.graph.node)
    for seed in range(3):
        np.testing.assert_allclose(cells(scoring.model, seed), cells(model, seed), rtol=1e-4)


def test_in_int8_each_cells_distance_stays_within_a_hundredth() -> None:
    model = scoring_graph(GaussianScorer.fit(features(0, 30)))
    scoring = with_convolved_scoring(model)
    ranges = dict.fromkeys(scoring.residuals.values(), Range(-LARGEST_RESIDUAL, LARGEST_RESIDUAL))
    int8 = quantized(scoring.model, list(scoring.residuals), ranges, "asymmetric")
    for seed in range(3):
        wanted = cells(model, seed)
        usual = wanted < LARGEST_RESIDUAL  # of more, single residuals may be cut
        assert usual.any()
        np.testing.assert_allclose(cells(int8, seed)[usual], wanted[usual], rtol=0.02)


def test_what_has_no_matrix_for_each_cell_stays_as_it_is() -> None:
    model = scoring_graph(BankScorer.fit(features(0, 10)))
    scoring = with_convolved_scoring(model)
    assert scoring.residuals == {}
    assert [node.op_type for node in scoring.model.graph.node] == [n.op_type for n in model.graph.node]


def bank_graph() -> onnx.ModelProto:
    """As `scoring_graph`, with patches of more images than are compared at once."""
    size = np.float32(1 / 40)
    fine, coarse = features(0, 12) * size, features(1, 12)[:, ::2, ::2] * size
    graph = GraphBuilder()
    value = graph.add("Transpose", graph.add("Cast", "image", to=onnx.TensorProto.FLOAT), perm=[0, 3, 1, 2])
    kernel = np.asarray(np.random.default_rng(5).normal(size=(DEPTH, 3, 1, 1)) / 40, dtype=np.float32)
    projected = graph.add("Conv", value, graph.constant(kernel), kernel_shape=[1, 1])
    halved = graph.add("AveragePool", projected, kernel_shape=[2, 2], strides=[2, 2])
    distances = CoarseBank.fit(fine, coarse).add_to(graph, projected, halved, (ROWS, COLUMNS))
    graph.add("Reshape", distances, graph.integers(ROWS * COLUMNS), name=CELL_MAP)
    return finish(graph, LAYOUT, {CELL_MAP: (ROWS * COLUMNS,)}, "bank")


def test_a_minimum_of_another_networks_convolution_stays_as_it_is() -> None:
    graph = GraphBuilder()
    value = graph.add("Transpose", graph.add("Cast", "image", to=onnx.TensorProto.FLOAT), perm=[0, 3, 1, 2])
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(4, 3, 1, 1)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    products = graph.add("Conv", value, graph.constant(weights), graph.constant(bias), kernel_shape=[1, 1])
    least = graph.add("ReduceMin", products, axes=[1], keepdims=1)
    graph.add("Reshape", least, graph.integers(ROWS * COLUMNS), name=CELL_MAP)
    model = finish(graph, LAYOUT, {CELL_MAP: (ROWS * COLUMNS,)}, "theirs")
    scoring = with_convolved_scoring(model)
    assert scoring.compared == {}
    np.testing.assert_allclose(cells(scoring.model, 0), cells(model, 0))


def test_distances_from_patches_in_int8_stay_within_three_hundredths() -> None:
    model = bank_graph()
    scoring = with_convolved_scoring(model)
    assert len(scoring.compared) == 3  # of 576 patches, 250 at once
    (taken,) = set(scoring.compared.values())
    ranges = {taken: Range(-120.0, 120.0)}  # of all cells here
    int8 = quantized(scoring.model, list(scoring.compared), ranges, "asymmetric")
    assert sum(tensor.data_type == onnx.TensorProto.INT8 for tensor in int8.graph.initializer) >= 3
    for seed in range(3):
        np.testing.assert_allclose(cells(int8, seed), cells(model, seed), rtol=0.03)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("columns", "width"),
    [(128, 112), (80, 64), (64, 64), (113, 96), (64, 96), (127, 64)],
    ids=["8 to 7", "5 to 4", "rows alone", "never repeats", "enlarged", "nearly half"],
)
def test_columns_are_scaled_as_by_bilinear_interpolation(columns: int, width: int, channels: int) -> None:
    layout = InputLayout(width_px=columns, height_px=48, pixel_format="RGB8" if channels == 3 else "Mono8")
    graph = GraphBuilder()
    end = network_input(graph, layout, width, 32)
    model = finish(graph, layout, {end: (1, channels, 32, width)}, "entry")
    ((name, _),) = byte_range(model).items()
    assert name == end
    pixels = np.random.default_rng(1).integers(0, 256, (1, 48, columns, channels), dtype=np.uint8)
    wanted, found = (
        CpuRun(one.SerializeToString(), "test")(pixels)[end] for one in (model, with_byte_entry(model))
    )
    assert np.abs(found - wanted).max() * 128 <= 1.51  # two roundings to bytes


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "frame",
    [(256, 96), (320, 128), (259, 101), (128, 64)],
    ids=["blocks of two", "of two, then 5 to 4", "smaller blocks at the ends", "averaged alone"],
)
def test_large_frames_are_averaged_as_in_float(frame: tuple[int, int], channels: int) -> None:
    layout = InputLayout(
        width_px=frame[0], height_px=frame[1], pixel_format="RGB8" if channels == 3 else "Mono8"
    )
    graph = GraphBuilder()
    end = network_input(graph, layout, 64, 32)
    model = finish(graph, layout, {end: (1, channels, 32, 64)}, "entry")
    assert any(node.op_type == "AveragePool" for node in model.graph.node)
    assert list(byte_range(model)) == [end]
    pixels = np.random.default_rng(1).integers(0, 256, (1, frame[1], frame[0], channels), dtype=np.uint8)
    entered = with_byte_entry(model)
    assert all(node.op_type != "AveragePool" for node in entered.graph.node)
    wanted, found = (CpuRun(one.SerializeToString(), "test")(pixels)[end] for one in (model, entered))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() * 128 <= 2.01  # four roundings to bytes, each by half at most


def test_weights_with_one_scale_are_as_near_as_with_one_each() -> None:
    scoring = with_convolved_scoring(scoring_graph(GaussianScorer.fit(features(0, 30))))
    ranges = dict.fromkeys(scoring.residuals.values(), Range(-LARGEST_RESIDUAL, LARGEST_RESIDUAL))
    int8 = quantized(scoring.model, list(scoring.residuals), ranges, "asymmetric", set(scoring.residuals))
    scales = [t for t in int8.graph.initializer if t.name.endswith("/w/scale")]
    assert [list(tensor.dims) for tensor in scales] == [[]]
    for seed in range(3):
        wanted = cells(scoring.model, seed)
        usual = wanted < LARGEST_RESIDUAL
        assert usual.any()
        np.testing.assert_allclose(cells(int8, seed)[usual], wanted[usual], rtol=0.02)
