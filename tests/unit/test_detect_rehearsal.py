"""What weighs the map's halves has not seen the image that it judges."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.detect.commands import find_backbone
from inspector.detect.images import list_images, read_image
from inspector.detect.model.manifest import InputLayout
from inspector.detect.teaching import fine_map
from inspector.detect.teaching.balance import Balance, Rehearsal
from inspector.detect.teaching.coarse_bank import CoarseBank
from inspector.detect.teaching.detail import Detail
from inspector.detect.teaching.features import Projection, Trunk, extract_detail
from inspector.detect.teaching.fine_map import FineMap
from inspector.detect.teaching.gather import Gather
from inspector.detect.teaching.graph import F32, twice
from inspector.detect.teaching.held_out import Fitted
from inspector.detect.teaching.packing import FINE_DEPTH, pack
from inspector.detect.teaching.synthetic import Synthetic, spoiled_copies
from inspector.detect.teaching.two_scales import TwoScales

LAYOUT = InputLayout(width_px=96, height_px=64, pixel_format="Mono8")
TRUNK = Trunk(LAYOUT, 96, 64, find_backbone(Path("models")), coarse=True)
COPIES = 2


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("good")
    for seed in range(5):
        picture = np.random.default_rng(seed).integers(0, 255, (8, 12), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{seed}.png"), cv2.resize(picture, (96, 64)))
    return list_images(folder)


def gather() -> Gather:
    return Gather(TRUNK, 1, lambda _what, _done, _total: None)


def details(images: list[np.ndarray]) -> list[F32]:
    return list(extract_detail(TRUNK, images, threads=1))


def test_detail_judges_an_image_by_the_mean_of_the_others(paths: list[Path]) -> None:
    read, sums = gather().features_and_detail(paths, "")
    projection = Projection.fit(read.features, FINE_DEPTH)
    synthetic, rehearsal = gather().rehearsed(paths, projection, sums, copies=COPIES)
    images = [read_image(path, LAYOUT) for path in paths]
    good, fitted = details(images), sums.fit()
    spoiled = [one for number, image in enumerate(images) for one, _ in spoiled_copies(image, number, COPIES)]
    assert synthetic.origin.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    for origins, features, found in (
        (range(5), good, rehearsal.good),
        (synthetic.origin, details(spoiled), rehearsal.made_up),
    ):
        for origin, one, distances in zip(origins, features, found, strict=True):
            others = np.mean([good[index] for index in range(5) if index != origin], axis=0)
            mean = others.transpose(2, 0, 1).astype(np.float16)
            wanted = Detail(mean, fitted.whitening).maps(one)
            np.testing.assert_allclose(distances, wanted, rtol=2e-2)
    assert (rehearsal.change.max(axis=(1, 2)) > 8).any()


def test_an_image_that_is_there_twice_counts_once_in_detail(paths: list[Path]) -> None:
    read, once = gather().features_and_detail(paths, "")
    assert len(read.features) == len(set(read.hashes)) == 5
    read, twice_there = gather().features_and_detail([*paths, paths[1], paths[1]], "")
    assert len(read.features) == len(read.hashes) == 7
    assert twice_there.count == once.count == 5
    np.testing.assert_allclose(twice_there.total, once.total)


def test_patches_of_an_image_do_not_judge_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    count, made_up, rows, columns = 5, 6, 6, 8
    fine = rng.normal(size=(count + made_up, rows, columns, FINE_DEPTH)).astype(np.float32)
    coarse = rng.normal(size=(count + made_up, rows // 2, columns // 2, 64)).astype(np.float32)
    origin = np.array([0, 0, 1, 3, 4, 4])
    packed = pack(fine, coarse)
    none = np.zeros((count, 2 * rows, 2 * columns), np.float16)
    none_made = np.zeros((made_up, 2 * rows, 2 * columns), np.float16)
    heard: list[list[F32]] = []

    def find_balance(_rehearsal: Rehearsal, good: list[F32], made: list[F32], *_scores: object) -> Balance:
        heard.extend((good, made))
        return Balance()

    monkeypatch.setattr(fine_map, "find_balance", find_balance)
    FineMap.fit(
        Detail(np.zeros((64, 2 * rows, 2 * columns), np.float16), np.eye(64, dtype=np.float32)),
        packed[:count],
        Synthetic(packed[count:], origin, np.zeros((made_up, rows, columns), np.float32)),
        Rehearsal(none, none_made, none_made),
        Fitted(TwoScales.fit(packed[:count]), np.ones(count), np.zeros(0), np.ones(made_up)),
    )
    bank = CoarseBank.fit(fine[:count], coarse[:count])
    for image, found in enumerate(heard[0]):
        np.testing.assert_allclose(found, twice(bank.without(image).map(fine[image], coarse[image])))
        assert found.min() > 0.2  # its own patches would make it 0.01
    for image, one, other, found in zip(origin, fine[count:], coarse[count:], heard[1], strict=True):
        np.testing.assert_allclose(found, twice(bank.without(image).map(one, other)))
