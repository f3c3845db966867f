"""Finding and reading the images that teach-in and evaluation take."""

from collections import Counter
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.manifest import InputLayout
from inspector.errors import ConfigError

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


def list_images(folder: Path) -> list[Path]:
    """All images under `folder`, in the order of their paths. Raises ConfigError for none."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise ConfigError(f"{folder}: no images in it (png, jpg, bmp or tif)")
    return found


def common_layout(paths: list[Path]) -> InputLayout:
    """The size that most images have, and Mono8 when all are grey, RGB8 else.

    Raises ConfigError for an image that cannot be read.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    colour = False
    for path in paths:
        image = _read(path, cv2.IMREAD_UNCHANGED)
        sizes[image.shape[1], image.shape[0]] += 1
        colour = colour or _is_colour(image)
    (width, height), _ = sizes.most_common(1)[0]
    pixel_format: Literal["Mono8", "RGB8"] = "RGB8" if colour else "Mono8"
    return InputLayout(width_px=width, height_px=height, pixel_format=pixel_format)


def read_image(path: Path, layout: InputLayout) -> npt.NDArray[np.uint8]:
    """The image as uint8 (height, width, channels) of `layout`; another size is scaled to it."""
    mono = layout.pixel_format == "Mono8"
    image = _read(path, cv2.IMREAD_GRAYSCALE if mono else cv2.IMREAD_COLOR)
    if not mono:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    size = (layout.width_px, layout.height_px)
    if (image.shape[1], image.shape[0]) != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return image.reshape(layout.height_px, layout.width_px, layout.channels)


def _read(path: Path, flags: int) -> npt.NDArray[np.uint8]:
    image = cv2.imread(str(path), flags)
    if image is None:
        raise ConfigError(f"{path}: cannot be read as an image")
    return np.asarray(image, dtype=np.uint8)


def _is_colour(image: npt.NDArray[np.uint8]) -> bool:
    """Whether the channels differ; a grey image saved with three equal channels is grey."""
    if image.ndim == 2:
        return False
    return bool((image[..., 0] != image[..., 1]).any() or (image[..., 1] != image[..., 2]).any())
