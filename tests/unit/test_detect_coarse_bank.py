"""Parts that lie anywhere: told from those that lie alike, and their large defects found where they are."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.detect.commands import find_backbone
from inspector.detect.cuda.batch_graph import with_batch_axis
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.model.manifest import SCORE_MAP, InputLayout, load_manifest
from inspector.detect.teaching.coarse_bank import CoarseBank, lies_anywhere, spread
from inspector.detect.teaching.features import compile_bytes
from inspector.detect.teaching.graph import F32, IMAGE, GraphBuilder, finish
from inspector.detect.teaching.teach import TeachOptions, teach

BACKBONE = find_backbone(Path("models"))
SIDE = 256


def features(count: int, *, of_the_place: float, seed: int = 0) -> F32:
    """Features that the place decides by that much, and each image else."""
    rng = np.random.default_rng(seed)
    place, own = rng.normal(size=(8, 10, 6)), rng.normal(size=(count, 8, 10, 6))
    return (of_the_place * place + (1 - of_the_place) * own).astype(np.float32)


@given(st.integers(5, 40), st.integers(0, 1000))
def test_the_place_of_a_cell_tells_or_it_does_not(count: int, seed: int) -> None:
    assert not lies_anywhere(features(count, of_the_place=0.8, seed=seed))
    assert lies_anywhere(features(count, of_the_place=0.2, seed=seed))


def test_even_material_spreads_as_a_gaussian_and_uneven_more() -> None:
    even = features(30, of_the_place=0.0)
    assert spread(even) == pytest.approx(1.0, abs=0.25)
    uneven = even * np.where(np.arange(8) < 4, 0.1, 1.0).astype(np.float32)[:, None, None]
    assert spread(uneven) > 2.0


@settings(max_examples=5)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 99))
def test_the_graph_gives_the_same_distances(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(7, rows, columns, 4)).astype(np.float32)
    bank = CoarseBank.fit(cells[:-1])
    graph = GraphBuilder()
    graph.add("Cast", IMAGE, to=1)  # the graph must read its input
    value = graph.constant(np.ascontiguousarray(cells[-1].transpose(2, 0, 1)[None]))
    graph.add("Identity", bank.add_to(graph, value, (rows, columns)), name=SCORE_MAP)
    layout = InputLayout(width_px=8, height_px=8, pixel_format="Mono8")
    model = finish(graph, layout, {SCORE_MAP: (1, 1, rows, columns)}, "bank")
    got = compile_bytes(model.SerializeToString(), 1)({IMAGE: np.zeros((1, 8, 8, 1), np.uint8)})[SCORE_MAP]
    np.testing.assert_allclose(got[0, 0], bank.maps(cells[-1:])[0], rtol=2e-3, atol=2e-3)


def biscuit(seed: int, *, bitten: bool = False) -> tuple[np.ndarray, tuple[float, float]]:
    """A rough disc that lies somewhere on a plain tray, and its centre (x, y). A bite is on its left."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(80, SIDE - 80, 2)
    image = np.full((SIDE, SIDE), 60.0)
    cv2.circle(image, (int(x), int(y)), 58, 150.0, -1)
    crumbs = cv2.GaussianBlur(rng.normal(0, 60, (SIDE, SIDE)), (0, 0), 3)
    image += np.where(image > 100, crumbs, 0)
    if bitten:
        cv2.circle(image, (int(x) - 40, int(y)), 32, 60.0, -1)
    image = cv2.GaussianBlur(image, (0, 0), 1) + rng.normal(0, 3, image.shape)
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8), (x, y)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("anywhere")
    (root / "good").mkdir()
    for seed in range(20):
        cv2.imwrite(str(root / "good" / f"{seed}.png"), biscuit(seed)[0])
    return teach(root / "good", None, root / "models", BACKBONE, options=TeachOptions(name="biscuit")).folder


def test_a_missing_piece_is_found_where_it_is(taught: Path) -> None:
    run = CpuRun((taught / load_manifest(taught).onnx.file).read_bytes(), "biscuit")
    inside, outside = [], []
    for seed in range(100, 108):
        image, (x, y) = biscuit(seed, bitten=True)
        score_map = cv2.resize(np.asarray(run(image[None, ..., None])[SCORE_MAP]), (SIDE, SIDE))
        rows, columns = np.mgrid[0:SIDE, 0:SIDE]
        bite = (columns - x + 40) ** 2 + (rows - y) ** 2 < 30**2
        inside.append(score_map[bite].mean())
        outside.append(np.quantile(score_map[~bite], 0.8))
    assert all(here > there for here, there in zip(inside, outside, strict=True))


def test_the_graph_takes_batches(taught: Path) -> None:
    model = onnx.load(taught / load_manifest(taught).onnx.file)
    one = compile_bytes(model.SerializeToString(), 1)
    many = compile_bytes(with_batch_axis(model).SerializeToString(), 1)
    images = np.stack([biscuit(1)[0], biscuit(2, bitten=True)[0]])[..., None]
    together = many({"image": images})[SCORE_MAP]
    for index, image in enumerate(images):
        alone = one({"image": image[None]})[SCORE_MAP]
        np.testing.assert_allclose(together[index], alone, rtol=1e-3, atol=1e-4)
