"""From images to what teach-in learns from: features, made-up defects, sums of detail; each image once."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspector.detect.frame_context import frame_context
from inspector.detect.images import read_image
from inspector.detect.teaching.detail import DetailSums
from inspector.detect.teaching.features import Projection, Trunk, extract, extract_detail
from inspector.detect.teaching.graph import F32
from inspector.detect.teaching.held_out import Progress
from inspector.detect.teaching.synthetic import Image, Synthetic, spoil_all
from inspector.types import FrameContext

_DIGEST: int = 16  # bytes; enough that no two images of a line share one by chance


@dataclass(frozen=True, slots=True)
class Gather:
    """Reads images for one trunk. `progress` is told of each; not thread-safe."""

    trunk: Trunk
    threads: int
    progress: Progress

    def features(
        self, paths: Sequence[Path], what: str, projection: Projection | None = None
    ) -> tuple[F32, tuple[str, ...]]:
        """Features (N, rows, columns, C or D), and a hash of each image's pixels as the model takes them."""
        hashes: list[str] = []

        def images() -> Iterator[Image]:
            for image in self._images(paths, what):
                hashes.append(hashlib.sha256(image.tobytes()).hexdigest()[: 2 * _DIGEST])
                yield image

        found = list(extract(self.trunk, images(), threads=self.threads, projection=projection))
        return np.stack(found), tuple(hashes)

    def synthetic(
        self, paths: Sequence[Path], projection: Projection, *, copies: int, first: int = 0
    ) -> Synthetic:
        """`copies` images with made-up defects of each; the images are numbered from `first`."""
        total = copies * len(paths)
        changes: list[F32] = []

        def images() -> Iterator[Image]:
            what = "Making up defects"
            good = (read_image(path, self.trunk.layout) for path in paths)
            grid = (self.trunk.rows, self.trunk.columns)
            for image, change in spoil_all(good, copies, grid, first=first):
                self.progress(what, len(changes), total)
                changes.append(change)
                yield image
            self.progress(what, total, total)

        found = extract(self.trunk, images(), threads=self.threads, projection=projection)
        features = np.stack(list(found))
        return Synthetic(features, np.arange(first, first + len(paths)).repeat(copies), np.stack(changes))

    def detail(self, paths: Sequence[Path]) -> DetailSums:
        images = self._images(paths, "Learning detail")
        return DetailSums.of(extract_detail(self.trunk, images, threads=self.threads))

    def pictures(self, paths: Sequence[Path]) -> list[FrameContext]:
        """Light and focus of each, as the engine measures them of a frame."""
        return [frame_context(image[None]) for image in self._images(paths, "Measuring light and focus")]

    def _images(self, paths: Sequence[Path], what: str) -> Iterator[Image]:
        for done, path in enumerate(paths):
            self.progress(what, done, len(paths))
            yield read_image(path, self.trunk.layout)
        self.progress(what, len(paths), len(paths))


def rounded(synthetic: Synthetic) -> Synthetic:
    """As it is kept, in half precision, so that what is added later changes nothing of what was there."""
    features, change = (
        array.astype(np.float16).astype(np.float32) for array in (synthetic.features, synthetic.change)
    )
    return Synthetic(features, synthetic.origin, change)


def first_of_each(hashes: Sequence[str], known: Sequence[str] = ()) -> list[int]:
    """Indices of images that are neither in `known` nor the same as an earlier one."""
    seen = set(known)
    kept = []
    for index, value in enumerate(hashes):
        if value not in seen:
            seen.add(value)
            kept.append(index)
    return kept
