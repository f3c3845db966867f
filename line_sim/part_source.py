"""Which parts a run makes and what each looks like: rendered, or real photographs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np

from inspector.errors import ConfigError
from line_sim.camera.source import Image
from line_sim.parts import DefectKind, PlannedPart, Stream, part_id_of, plan_part, stream_rng
from line_sim.render import GrayImage, Renderer
from line_sim.scenario import Folder, Scenario

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_SIZE_SAMPLE: Final = 64  # pictures that are opened to find the most common size
_MAX_SIDE_PX: Final = 4096
_OTHER_SIDE: Final = 1_000_000  # keys of the pictures of another side, beyond every part number


class PartSource(Protocol):
    """The parts of a run, in order, and their pictures.

    `picture` returns grey (height, width) or RGB (height, width, 3), of `size_px` = (width, height);
    the camera makes its pixel format of it. `view` counts the cameras from 0. It is called by one
    thread at a time (a camera's). Raises DataError when a picture cannot be had.
    """

    @property
    def size_px(self) -> tuple[int, int]: ...

    @property
    def parts(self) -> Sequence[PlannedPart]: ...

    def picture(self, part: PlannedPart, view: int = 0) -> Image: ...


class RenderedParts:
    """Parts drawn by the renderer, with defects at the scenario's rate.

    Each camera sees another side of the part; a defect is on one side only.
    """

    def __init__(self, scenario: Scenario, seed: int, count: int, renderer: Renderer | None = None) -> None:
        self.size_px = (scenario.camera.width_px, scenario.camera.height_px)
        rate, kinds, first = scenario.defect_rate, scenario.defects, scenario.first_part
        self.parts = tuple(plan_part(seed, n, rate, kinds) for n in range(first, first + count))
        self._renderer = renderer or Renderer(seed, self.size_px)
        self._seed, self._views = seed, scenario.camera.views

    def picture(self, part: PlannedPart, view: int = 0) -> GrayImage:
        seen = part.defect is not None and view == self.side_of_defect(part)
        kind = DefectKind(part.defect) if part.defect is not None and seen else None
        return self._renderer.render(part.image_key + view * _OTHER_SIDE, kind).image

    def side_of_defect(self, part: PlannedPart) -> int:
        """The view that shows the part's defect, if it has one."""
        if self._views == 1:
            return 0
        return int(stream_rng(self._seed, Stream.VIEW, part.image_key).integers(self._views))


@dataclass(frozen=True, slots=True)
class _Photo:
    path: Path
    defect: str | None


def _photos(folder: Path, key: str, defective: bool) -> list[_Photo]:
    if not folder.is_dir():
        raise ConfigError(f"source.folder.{key}: there is no folder {folder}")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise ConfigError(f"source.folder.{key}: no pictures in {folder}")
    return [_Photo(p, _kind_of(p, folder) if defective else None) for p in paths]


def _kind_of(path: Path, folder: Path) -> str:
    """A subfolder names the kind of defect, as in most published sets."""
    parents = path.relative_to(folder).parts[:-1]
    return parents[0] if parents else "defect"


def read_photo(path: Path) -> Image:
    """Read a photograph, grey (height, width) or RGB (height, width, 3). Raises ConfigError if it is none."""
    image = cv2.imread(str(path), cv2.IMREAD_ANYCOLOR)
    if image is None:
        raise ConfigError(f"{path}: cannot be read as a picture; remove it or convert it to PNG")
    pixels = cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.ndim == 3 else image
    return np.asarray(pixels, dtype=np.uint8)


def letterbox(image: Image, size_px: tuple[int, int]) -> Image:
    """Fit a picture into (width, height) without changing its shape; the rest is black."""
    width, height = size_px
    if image.shape[:2] == (height, width):
        return image
    scale = min(width / image.shape[1], height / image.shape[0])
    w = min(width, max(1, round(image.shape[1] * scale)))
    h = min(height, max(1, round(image.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    out = np.zeros((height, width, *image.shape[2:]), np.uint8)
    y, x = (height - h) // 2, (width - w) // 2
    out[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=how)
    return out


def common_size(shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the most common (width, height) of (height, width) shapes, as a camera can have it.

    A camera's width and height are even here, and at most 4096 px.
    """
    height, width = Counter(shapes).most_common(1)[0][0]
    scale = min(1.0, _MAX_SIDE_PX / max(width, height))
    w, h = (max(96, int(side * scale) // 2 * 2) for side in (width, height))
    return w, h


class FolderParts:
    """Real photographs, each streamed once, in an order shuffled by the seed."""

    def __init__(self, folder: Folder, seed: int, count: int | None) -> None:
        photos = _photos(folder.good, "good", False) + _photos(folder.defect, "defect", True)
        if count is not None and count > len(photos):
            raise ConfigError(f"parts: {count} asked for, but source.folder has {len(photos)} pictures")
        order = stream_rng(seed, Stream.SHUFFLE).permutation(len(photos))[:count]
        self._photos = [photos[int(i)] for i in order]
        self.parts = tuple(
            PlannedPart(n, part_id_of(n), photo.defect, n - 1, photo.path.name)
            for n, photo in enumerate(self._photos, start=1)
        )
        step = max(1, len(self._photos) // _SIZE_SAMPLE)
        shapes = [read_photo(photo.path).shape for photo in self._photos[::step]]
        self.size_px = common_size([(shape[0], shape[1]) for shape in shapes])

    def picture(self, part: PlannedPart, view: int = 0) -> Image:  # noqa: ARG002 - one photograph for all
        return letterbox(read_photo(self._photos[part.image_key].path), self.size_px)


def open_source(scenario: Scenario, seed: int, count: int | None) -> PartSource:
    """Open the scenario's source. `count` overrides the scenario's number of parts."""
    wanted = count if count is not None else scenario.parts
    if scenario.source.folder is not None:
        return FolderParts(scenario.source.folder, seed, wanted)
    if wanted is None:
        raise ConfigError("parts: needed, because the pictures are rendered")
    return RenderedParts(scenario, seed, wanted)
