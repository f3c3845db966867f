"""From images to what teach-in learns from: features, made-up defects, sums of detail; each image once."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inspector.detect.frame_context import frame_context
from inspector.detect.images import read_image
from inspector.detect.teaching.balance import F16, Rehearsal
from inspector.detect.teaching.detail import PER_CELL, DetailSums
from inspector.detect.teaching.features import Projection, Trunk, extract, extract_both, extract_detail
from inspector.detect.teaching.graph import F32
from inspector.detect.teaching.held_out import Progress
from inspector.detect.teaching.synthetic import (
    Image,
    Synthetic,
    cell_change,
    detail_change,
    spoiled_copies,
)
from inspector.types import FrameContext

_DIGEST: int = 16  # bytes; enough that no two images of a line share one by chance


@dataclass(frozen=True, slots=True)
class Read:
    """Features (N, rows, columns, C or D) of images, a hash of each one's pixels as the model takes them, and
    its light and focus, as the engine measures them of a frame."""

    features: F32
    hashes: tuple[str, ...]
    pictures: tuple[FrameContext, ...]


@dataclass(frozen=True, slots=True)
class Gather:
    """Reads images for one trunk. `progress` is told of each, on a thread of its own; not thread-safe."""

    trunk: Trunk
    threads: int
    progress: Progress

    def features(self, paths: Sequence[Path], what: str, projection: Projection | None = None) -> Read:
        """What `paths` show, each read once."""
        read = _Reading()
        images = read.each(self._images(paths, what))
        found = list(extract(self.trunk, images, threads=self.threads, projection=projection))
        return Read(np.stack(found), tuple(read.hashes), tuple(read.pictures))

    def features_and_detail(self, paths: Sequence[Path], what: str) -> tuple[Read, DetailSums]:
        """The same without a projection, and the sums of detail over all different images, in one pass."""
        read, found = _Reading(), list[F32]()
        images = read.each(self._images(paths, what))

        def details() -> Iterator[F32]:
            for index, (features, detail) in enumerate(
                extract_both(self.trunk, images, threads=self.threads)
            ):
                found.append(features)
                if read.hashes[index] not in read.hashes[:index]:
                    yield detail

        sums = DetailSums.of(details())
        return Read(np.stack(found), tuple(read.hashes), tuple(read.pictures)), sums

    def synthetic(
        self, paths: Sequence[Path], projection: Projection, *, copies: int, first: int = 0
    ) -> Synthetic:
        """`copies` images with made-up defects of each; the images are numbered from `first`."""
        cells: list[F32] = []
        images = self._spoiled(paths, copies, first, cells)
        features = list(extract(self.trunk, images, threads=self.threads, projection=projection))
        return _synthetic(features, cells, first, copies)

    def rehearsed(
        self, paths: Sequence[Path], projection: Projection, sums: DetailSums, *, copies: int, first: int = 0
    ) -> tuple[Synthetic, Rehearsal]:
        """The same, with what detail says of them and of the good images. `sums` are of these and, where
        there are any, of the images before `first`."""
        cells: list[F32] = []
        changes: list[F16] = []
        images = self._spoiled(paths, copies, first, cells, changes)
        detail = sums.fit()
        features: list[F32] = []
        good: list[F16] = []
        made_up: list[F16] = []
        both = extract_both(self.trunk, images, threads=self.threads, projection=projection)
        for index, (projected, own) in enumerate(both):
            if index % (copies + 1) == 0:
                detail = replace(detail, mean=sums.without(own))
                good.append(detail.maps(own).astype(np.float16))
            else:
                features.append(projected)
                made_up.append(detail.maps(own).astype(np.float16))
        rehearsal = Rehearsal(np.stack(good), np.stack(made_up), np.stack(changes))
        return _synthetic(features, cells, first, copies), rehearsal

    def _spoiled(
        self,
        paths: Sequence[Path],
        copies: int,
        first: int,
        cells: list[F32],
        changes: list[F16] | None = None,
    ) -> Iterator[Image]:
        """Each image's copies with made-up defects; `cells` and, where detail is asked for, `changes` hear
        how far each was changed. With `changes` each image itself comes before its copies."""
        what, total = "Making up defects", copies * len(paths)
        rows, columns = self.trunk.rows, self.trunk.columns
        for number, path in enumerate(paths, first):
            image = read_image(path, self.trunk.layout)
            if changes is not None:
                yield image
            for spoiled, change in spoiled_copies(image, number, copies):
                self.progress(what, len(cells), total)
                cells.append(cell_change(change, rows, columns))
                if changes is not None:
                    fine = detail_change(change, PER_CELL * rows, PER_CELL * columns)
                    changes.append(fine.astype(np.float16))
                yield spoiled
        self.progress(what, total, total)

    def detail(self, paths: Sequence[Path]) -> DetailSums:
        images = self._images(paths, "Learning detail")
        return DetailSums.of(extract_detail(self.trunk, images, threads=self.threads))

    def _images(self, paths: Sequence[Path], what: str) -> Iterator[Image]:
        for done, path in enumerate(paths):
            self.progress(what, done, len(paths))
            yield read_image(path, self.trunk.layout)
        self.progress(what, len(paths), len(paths))


class _Reading:
    """Hears of images on their way."""

    def __init__(self) -> None:
        self.hashes: list[str] = []
        self.pictures: list[FrameContext] = []

    def each(self, images: Iterator[Image]) -> Iterator[Image]:
        for image in images:
            self.hashes.append(hashlib.sha256(image.tobytes()).hexdigest()[: 2 * _DIGEST])
            self.pictures.append(frame_context(image[None]))
            yield image


def _synthetic(features: Sequence[F32], cells: Sequence[F32], first: int, copies: int) -> Synthetic:
    """In half precision, as it is kept, so that what is added later changes nothing of what was there."""
    origin = first + np.arange(len(cells)) // copies
    return Synthetic(_rounded(np.stack(features)), origin, _rounded(np.stack(cells)))


def _rounded(array: F32) -> F32:
    return array.astype(np.float16).astype(np.float32)


def first_of_each(hashes: Sequence[str], known: Sequence[str] = ()) -> list[int]:
    """Indices of images that are neither in `known` nor the same as an earlier one."""
    seen = set(known)
    kept = []
    for index, value in enumerate(hashes):
        if value not in seen:
            seen.add(value)
            kept.append(index)
    return kept
