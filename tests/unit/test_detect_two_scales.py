"""Fine and coarse cells: kept in one array, judged alike in graph and numpy; each sees its own defects."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.detect.commands import find_backbone
from inspector.detect.cuda.batch_graph import BATCH, with_batch_axis
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.model.manifest import SCORE, SCORE_MAP, load_manifest
from inspector.detect.teaching.features import compile_bytes
from inspector.detect.teaching.held_out import score_images
from inspector.detect.teaching.memory import load_memory
from inspector.detect.teaching.packing import FINE_DEPTH, pack, packed_depth, unpack
from inspector.detect.teaching.peaks import blur_kernel
from inspector.detect.teaching.teach import BLUR_SIGMA, TeachOptions, teach
from inspector.detect.teaching.two_scales import TwoScales

BACKBONE = find_backbone(Path("models"))
SIDE = 256


def part(seed: int, defect: str = "") -> np.ndarray:
    """A square of fine stripes that lies a little otherwise each time; grain like a camera's."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    shift = rng.uniform(-2, 2, 2)
    image = 120 + 30 * np.sin((x + shift[0]) / 5) + rng.normal(0, 4, (SIDE, SIDE))
    inside = (abs(x - 128 - shift[0]) < 90) & (abs(y - 128 - shift[1]) < 90)
    image[~inside] = 40
    place = 70 + 10 * (seed % 9)
    if defect == "scratch":
        cv2.line(image, (place, 100), (place + 14, 104), 20.0, 1)
    elif defect == "missing":
        image[150:, place : place + 90] = 40
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two_scales")
    (root / "good").mkdir()
    for seed in range(10):
        cv2.imwrite(str(root / "good" / f"{seed}.png"), part(seed))
    options = TeachOptions(name="stripes")
    return teach(root / "good", None, root / "models", BACKBONE, options=options).folder


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 5), st.integers(1, 4))
def test_what_was_packed_comes_back(images: int, rows: int, columns: int, fine: int, quarter: int) -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(images, 2 * rows, 2 * columns, fine)).astype(np.float32)
    second = rng.normal(size=(images, rows, columns, 4 * quarter)).astype(np.float32)
    packed = pack(first, second)
    assert packed.shape == (images, 2 * rows, 2 * columns, packed_depth(fine, 4 * quarter))
    for got, wanted in zip(unpack(packed, fine), (first, second), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_the_model_scores_as_what_the_limit_was_set_with(taught: Path) -> None:
    manifest = load_manifest(taught)
    memory = load_memory(taught, manifest.onnx.sha256)
    good = memory.good.astype(np.float32)
    expected = score_images(TwoScales.fit(good), good, blur_kernel(BLUR_SIGMA["gaussian"]))
    run = CpuRun((taught / manifest.onnx.file).read_bytes(), "stripes")
    got = [float(run(part(seed)[None, ..., None])[SCORE]) for seed in range(10)]
    np.testing.assert_allclose(got, expected, rtol=5e-3)  # features are kept in half precision


@pytest.mark.parametrize("defect", ["scratch", "missing"])
def test_small_and_large_defects_score_over_good_parts_and_show_where_they_are(
    taught: Path, defect: str
) -> None:
    run = CpuRun((taught / load_manifest(taught).onnx.file).read_bytes(), "stripes")
    good = [float(run(part(seed)[None, ..., None])[SCORE]) for seed in range(100, 106)]
    for seed in range(200, 206):
        image = part(seed, defect)
        found = run(image[None, ..., None])
        assert float(found[SCORE]) > max(good)
        score_map = np.asarray(found[SCORE_MAP])
        row, column = np.unravel_index(int(score_map.argmax()), score_map.shape)
        y, x = (row + 0.5) * SIDE / score_map.shape[0], (column + 0.5) * SIDE / score_map.shape[1]
        place = 70 + 10 * (seed % 9)
        if defect == "scratch":
            assert abs(x - place - 7) < 24
            assert abs(y - 102) < 24
        else:
            assert place - 16 < x < place + 106
            assert y > 134


def test_the_graph_takes_batches(taught: Path) -> None:
    model = onnx.load(taught / load_manifest(taught).onnx.file)
    one, many = compile_bytes(model.SerializeToString(), 1), with_batch_axis(model)
    assert many.graph.input[0].type.tensor_type.shape.dim[0].dim_param == BATCH
    images = np.stack([part(1), part(200, "missing"), part(201, "scratch")])[..., None]
    batched = compile_bytes(many.SerializeToString(), 1)({"image": images})
    for index, image in enumerate(images):
        alone = one({"image": image[None]})
        np.testing.assert_allclose(batched[SCORE][index], alone[SCORE], rtol=1e-4)
        np.testing.assert_allclose(batched[SCORE_MAP][index], alone[SCORE_MAP], rtol=1e-3, atol=1e-4)


def test_fine_features_come_first(taught: Path) -> None:
    memory = load_memory(taught, load_manifest(taught).onnx.sha256)
    assert memory.projection.coarse is not None
    assert memory.projection.depth == memory.good.shape[-1] > FINE_DEPTH == len(memory.projection.bias)
