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
from inspector.detect.model.decode import decode
from inspector.detect.model.manifest import SCORE_MAP, InputLayout, load_manifest
from inspector.detect.teaching.add import add_good
from inspector.detect.teaching.coarse_bank import CoarseBank, lies_anywhere
from inspector.detect.teaching.features import Projection, compile_bytes
from inspector.detect.teaching.graph import F32, IMAGE, GraphBuilder, finish
from inspector.detect.teaching.memory import load_memory
from inspector.detect.teaching.packing import FINE_DEPTH, unpack
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


@pytest.mark.parametrize("count", [2, 5])
def test_images_of_one_colour_are_no_trouble(count: int) -> None:
    fine, coarse = np.zeros((count, 8, 8, 3), np.float32), np.zeros((count, 4, 4, 6), np.float32)
    assert not lies_anywhere(coarse)
    bank = CoarseBank.fit(fine, coarse)  # of fewer cells than PATCHES, all alike
    assert np.isfinite(bank.patches).all()
    assert bank.map(fine[0], coarse[0]).max() == pytest.approx(0.01)  # as near as it gets
    assert np.isfinite(bank.map(fine[0], coarse[0] + 1e4)).all()


def test_without_an_image_its_own_cells_are_far() -> None:
    fine, coarse = features(6, of_the_place=0.0)[:, :, :8], features(6, of_the_place=0.0, seed=1)[:, :4, :4]
    bank = CoarseBank.fit(fine, coarse)
    assert bank.map(fine[2], coarse[2]).max() < bank.without(2).map(fine[2], coarse[2]).min()


@settings(max_examples=5)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(2, 7), st.integers(0, 99))
def test_the_graph_gives_the_same_distances(rows: int, columns: int, images: int, seed: int) -> None:
    """With fewer patches than are compared at once, as many, and more."""
    rng = np.random.default_rng(seed)
    fine = rng.normal(size=(images, 2 * rows, 2 * columns, 3)).astype(np.float32)
    coarse = rng.normal(size=(images, rows, columns, 4)).astype(np.float32)
    bank = CoarseBank.fit(fine[:-1], coarse[:-1])
    graph = GraphBuilder()
    graph.add("Cast", IMAGE, to=1)  # the graph must read its input
    values = [
        graph.constant(np.ascontiguousarray(one.transpose(2, 0, 1)[None])) for one in (fine[-1], coarse[-1])
    ]
    grid = (2 * rows, 2 * columns)
    graph.add("Identity", bank.add_to(graph, values[0], values[1], grid), name=SCORE_MAP)
    layout = InputLayout(width_px=8, height_px=8, pixel_format="Mono8")
    model = finish(graph, layout, {SCORE_MAP: (1, 1, *grid)}, "bank")
    got = compile_bytes(model.SerializeToString(), 1)({IMAGE: np.zeros((1, 8, 8, 1), np.uint8)})[SCORE_MAP]
    np.testing.assert_allclose(got[0, 0], bank.map(fine[-1], coarse[-1]), rtol=2e-3, atol=2e-3)


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


def test_a_rejected_part_has_a_box_where_it_is_bitten(taught: Path) -> None:
    """The map's values lie where the limit of the score can tell: not only their order counts."""
    manifest = load_manifest(taught)
    run = CpuRun((taught / manifest.onnx.file).read_bytes(), "biscuit")
    for seed in range(100, 108):
        image, (x, y) = biscuit(seed, bitten=True)
        decoded = decode(run(image[None, ..., None]), manifest)
        assert decoded.p_defect >= manifest.thresholds["box"]
        assert any(
            box.box_px[0] < x - 12 and x - 68 < box.box_px[2] and box.box_px[1] < y + 28 < box.box_px[3] + 56
            for box in decoded.detections
        )


def coarse_features(folder: Path) -> F32:
    memory = load_memory(folder, load_manifest(folder).onnx.sha256)
    return unpack(memory.good.astype(np.float32), FINE_DEPTH)[1]


@pytest.mark.parametrize("before", ["lie alike", "lie anywhere"])
def test_adding_gives_the_map_that_all_at_once_gives(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first parts lay alike, and it is those added that lie anywhere."""
    folders = {name: tmp_path / name for name in ("first", "more", "all")}
    for folder in folders.values():
        folder.mkdir()
    for number in range(16):
        lies = 0 if before == "lie alike" and number < 5 else number
        image = biscuit(lies)[0] ^ np.uint8(number % 2)  # no two of them the same
        image[0, number] = 255
        for name in ("first" if number < 5 else "more", "all"):
            cv2.imwrite(str(folders[name] / f"{number:02}.png"), image)
    models = tmp_path / "models"
    added = teach(folders["first"], None, models, BACKBONE, options=TeachOptions(name="added")).folder
    assert lies_anywhere(coarse_features(added)) == (before == "lie anywhere")
    add_good(added, folders["more"], None, BACKBONE)
    assert lies_anywhere(coarse_features(added))
    kept = load_memory(added, load_manifest(added).onnx.sha256).projection
    monkeypatch.setattr(Projection, "fit", staticmethod(lambda _features, _depth: kept))
    whole = teach(folders["all"], None, models, BACKBONE, options=TeachOptions(name="whole")).folder
    image = biscuit(100, bitten=True)[0][None, ..., None]
    maps = [
        CpuRun((folder / load_manifest(folder).onnx.file).read_bytes(), "biscuit")(image)[SCORE_MAP]
        for folder in (added, whole)
    ]
    # Not the same to the digit: the first images were rehearsed beside each other only.
    assert np.corrcoef(np.log(maps[0]).ravel(), np.log(maps[1]).ravel())[0, 1] > 0.99
    np.testing.assert_allclose(maps[0].max(), maps[1].max(), rtol=0.2)


def test_the_graph_takes_batches(taught: Path) -> None:
    model = onnx.load(taught / load_manifest(taught).onnx.file)
    one = compile_bytes(model.SerializeToString(), 1)
    many = compile_bytes(with_batch_axis(model).SerializeToString(), 1)
    images = np.stack([biscuit(1)[0], biscuit(2, bitten=True)[0]])[..., None]
    together = many({"image": images})[SCORE_MAP]
    for index, image in enumerate(images):
        alone = one({"image": image[None]})[SCORE_MAP]
        np.testing.assert_allclose(together[index], alone, rtol=1e-3, atol=1e-4)
