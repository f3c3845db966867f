"""The discriminator learns made-up defects from good parts alone, and the graph scores as numpy does."""

import itertools

import numpy as np
import pytest

from inspector.detect.model.manifest import InputLayout
from inspector.detect.teaching.discriminator import DiscriminatingScorer, Discriminator
from inspector.detect.teaching.features import compile_bytes
from inspector.detect.teaching.gaussian import GaussianScorer
from inspector.detect.teaching.graph import F32, IMAGE, GraphBuilder, finish
from inspector.detect.teaching.held_out import Fitted, fit_and_check
from inspector.detect.teaching.peaks import blur_kernel
from inspector.detect.teaching.synthetic import Image, Synthetic, cell_change, spoiled_copies

ROWS, COLUMNS = 12, 16


def texture(seed: int) -> Image:
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(120, 6, (ROWS * 8, COLUMNS * 8, 1)), 0, 255).astype(np.uint8)


def features(image: Image) -> F32:
    """Mean, spread, and steps along both axes in each cell of 8 x 8 pixels: (rows, columns, 4)."""
    cells = image.astype(np.float32).reshape(ROWS, 8, COLUMNS, 8).transpose(0, 2, 1, 3)
    steps = [np.abs(np.diff(cells, axis=axis)).mean(axis=(2, 3)) for axis in (2, 3)]
    stacked = np.stack([cells.mean(axis=(2, 3)), cells.std(axis=(2, 3)), *steps], axis=-1)
    return np.asarray((stacked - [120, 6, 6, 6]) / [1, 1, 1, 1], dtype=np.float32)


@pytest.fixture(scope="module")
def good() -> F32:
    return np.stack([features(texture(seed)) for seed in range(20)])


@pytest.fixture(scope="module")
def synthetic() -> Synthetic:
    made = [one for seed in range(20) for one in spoiled_copies(texture(seed), seed, 4)]
    return Synthetic(
        np.stack([features(image) for image, _ in made]),
        np.arange(20).repeat(4),
        np.stack([cell_change(change, ROWS, COLUMNS) for _, change in made]),
    )


def fit(good: F32, synthetic: Synthetic) -> Fitted:
    scratched = texture(70)
    scratched[40:44, 20:60] = 180
    return fit_and_check(
        "gaussian", good, features(scratched)[None], synthetic,
        discriminate=True, blur=blur_kernel(0.7), progress=lambda _what, _done, _total: None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted(good: F32, synthetic: Synthetic) -> Fitted:
    return fit(good, synthetic)


def scorer_of(fitted: Fitted) -> DiscriminatingScorer:
    assert isinstance(fitted.scorer, DiscriminatingScorer)
    return fitted.scorer


def test_a_defect_on_a_flat_texture_is_found_at_its_place(fitted: Fitted) -> None:
    image = texture(99)
    image[24:40, 80:96] = np.clip(image[24:40, 80:96] + 14.0, 0, 255).astype(np.uint8)
    (cells,) = scorer_of(fitted).maps(features(image)[None])
    assert 3 <= np.unravel_index(cells.argmax(), cells.shape)[0] <= 4
    assert 10 <= np.unravel_index(cells.argmax(), cells.shape)[1] <= 11
    (clean,) = scorer_of(fitted).maps(features(texture(99))[None])
    assert cells.max() > 1.5 * clean.max()


def test_held_out_scores_keep_good_parts_under_defects(fitted: Fitted) -> None:
    assert fitted.good_scores.min() > 0
    assert fitted.good_scores.max() < fitted.defect_scores.min()
    assert np.median(fitted.synthetic_scores) > np.median(fitted.good_scores)


def test_teaching_twice_gives_the_same_scores(good: F32, synthetic: Synthetic, fitted: Fitted) -> None:
    again = fit(good, synthetic)
    assert (again.good_scores == fitted.good_scores).all()
    assert (scorer_of(again).maps(good) == scorer_of(fitted).maps(good)).all()


def test_the_graph_scores_as_numpy_does(fitted: Fitted) -> None:
    assert isinstance(fitted.scorer, DiscriminatingScorer)
    layout = InputLayout(width_px=COLUMNS, height_px=ROWS, pixel_format="RGB8")
    graph = GraphBuilder()
    grid = graph.add("Transpose", graph.add("Cast", IMAGE, to=1), perm=[0, 3, 1, 2])
    grid = graph.add("Concat", grid, graph.add("ReduceMax", grid, axes=[1]), axis=1)  # 4 channels
    scores = fitted.scorer.add_to(graph, grid)
    graph.add("Reshape", scores, graph.integers(ROWS, COLUMNS), name="map")
    model = finish(graph, layout, {"map": (ROWS, COLUMNS)}, "test")
    image = np.random.default_rng(3).integers(0, 12, (1, ROWS, COLUMNS, 3)).astype(np.uint8)
    values = np.concatenate([image, image.max(axis=3, keepdims=True)], axis=3).astype(np.float32)
    result = compile_bytes(model.SerializeToString(), 1)({IMAGE: image})["map"]
    np.testing.assert_allclose(result, scorer_of(fitted).maps(values)[0], rtol=1e-3, atol=1e-3)


def test_scores_stay_positive_however_sure_the_discriminator_is() -> None:
    flat = np.zeros((1, 2, 2, 3), dtype=np.float32)
    scorer = DiscriminatingScorer(
        GaussianScorer.fit(np.random.default_rng(0).normal(size=(8, 2, 2, 3)).astype(np.float32)),
        Discriminator(
            (np.zeros((3, 4), np.float32), np.zeros((4, 4), np.float32), np.zeros((4, 1), np.float32)),
            (np.zeros(4, np.float32), np.zeros(4, np.float32), np.full(1, -1e6, np.float32)),
        ),
    )
    assert (scorer.maps(flat) > 0).all()


def test_progress_never_runs_backwards(good: F32, synthetic: Synthetic) -> None:
    seen: dict[str, list[int]] = {}
    fit_and_check(
        "gaussian", good, good[:0], synthetic, discriminate=True, blur=blur_kernel(0.7),
        progress=lambda what, done, _total: seen.setdefault(what, []).append(done),
    )  # fmt: skip
    assert len(seen) == 4
    for done in seen.values():
        assert all(a <= b for a, b in itertools.pairwise(done))
