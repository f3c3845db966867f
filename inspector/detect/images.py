"""Finding and reading the images that teach-in and evaluation take."""

from collections import Counter
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.model.manifest import InputLayout
from inspector.errors import ConfigError

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
SMALLEST_PX: Final = 32
LARGEST_PIXELS: Final = 120_000_000
_MOST_STRETCH: Final = 1.25  # a larger difference in shape is another picture, not another crop
_TAIL: Final = 4096  # some cameras write notes after the picture's end
# OpenCV decodes what there is of a file that was cut off, and leaves the rest grey.
_KINDS: Final = ("train_good", "test_good", "good", "train_defect", "test_defect", "defect", "bad", "masks")
_ENDS: Final = ((b"\xff\xd8", b"\xff\xd9"), (b"\x89PNG", b"IEND"))

# What cannot be read is told in one line of our own.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def list_images(folder: Path) -> list[Path]:
    """All images under `folder`, in the order of their paths. Raises ConfigError for none."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise ConfigError(f"{folder}: no images in it (png, jpg, bmp or tif)")
    return found


def list_parts(folder: Path) -> list[Path]:
    """As `list_images`, of a folder of parts of one kind: one that holds folders of several is refused."""
    if inside := sorted(each for each in _KINDS if (folder / each).is_dir()):
        raise ConfigError(f"{folder}: holds {', '.join(inside)}; give the one folder whose images are meant")
    return list_images(folder)


def common_layout(paths: list[Path], like: InputLayout | None = None) -> InputLayout:
    """The size that most images have, and Mono8 when all are grey, RGB8 else; or `like`, where they fit it.

    Raises ConfigError for an image that cannot be taken, or whose shape is another than the others'.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    first: dict[tuple[int, int], Path] = {}
    colour = False
    for path in paths:
        image = _read(path)
        size = (image.shape[1], image.shape[0])
        sizes[size] += 1
        first.setdefault(size, path)
        colour = colour or _is_colour(image)
    (width, height), _ = sizes.most_common(1)[0]
    if like is not None:
        width, height = like.width_px, like.height_px
    for size, path in first.items():
        _check_shape(path, size, (width, height), "most are" if like is None else "the model has")
    if like is not None:
        return like
    pixel_format: Literal["Mono8", "RGB8"] = "RGB8" if colour else "Mono8"
    return InputLayout(width_px=width, height_px=height, pixel_format=pixel_format)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels. Raises ConfigError for an image that cannot be taken."""
    image = _read(path)
    return image.shape[1], image.shape[0]


def read_image(path: Path, layout: InputLayout) -> npt.NDArray[np.uint8]:
    """The image as uint8 (height, width, channels) of `layout`; another size is scaled to it.

    Raises ConfigError for an image that cannot be taken, or whose shape is another than the layout's.
    """
    image = _read(path)
    size = (layout.width_px, layout.height_px)
    _check_shape(path, (image.shape[1], image.shape[0]), size, "the model has")
    mono = layout.pixel_format == "Mono8"
    if mono and image.ndim == 3:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    elif not mono:
        code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
        image = np.asarray(cv2.cvtColor(image, code), dtype=np.uint8)
    if (image.shape[1], image.shape[0]) != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return image.reshape(layout.height_px, layout.width_px, layout.channels)


def read_mask(path: Path, layout: InputLayout) -> npt.NDArray[np.bool_]:
    """True where the picture is not black, (rows, columns), at its own size.

    Raises ConfigError for a picture that cannot be taken, or whose shape is another than the layout's.
    """
    image = _read(path)
    size = (layout.width_px, layout.height_px)
    _check_shape(path, (image.shape[1], image.shape[0]), size, "the model has")
    return np.asarray(image > 0 if image.ndim == 2 else image.any(axis=2), dtype=np.bool_)


def _check_shape(path: Path, size: tuple[int, int], wanted: tuple[int, int], whose: str) -> None:
    """Raise ConfigError for an image that is no crop of one of the `wanted` (width, height)."""
    stretch = (size[0] * wanted[1]) / (size[1] * wanted[0])
    if not 1 / _MOST_STRETCH <= stretch <= _MOST_STRETCH:
        raise ConfigError(
            f"{path}: {size[0]} x {size[1]} pixels, {whose} {wanted[0]} x {wanted[1]}; give images of one "
            "camera and one region"
        )


def _read(path: Path) -> npt.NDArray[np.uint8]:
    """uint8, (height, width) or (height, width, 3) in BGR; alpha is dropped, CMYK becomes BGR."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if not data:
        raise ConfigError(f"{path}: the file is empty")
    if any(data.startswith(head) and end not in data[-_TAIL:] for head, end in _ENDS):
        raise ConfigError(f"{path}: the file is cut off; copy it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:  # over OpenCV's own limit of pixels
        raise ConfigError(f"{path}: cannot be decoded ({error.err or 'too large'})") from error
    if image is None:
        raise ConfigError(f"{path}: cannot be read as an image")
    height, width = image.shape[:2]
    if image.dtype != np.uint8:
        raise ConfigError(
            f"{path}: {image.dtype.itemsize * 8} bits a channel; give 8-bit images, as the camera sends them"
        )
    if min(width, height) < SMALLEST_PX:
        raise ConfigError(f"{path}: {width} x {height} pixels; the shorter side takes at least {SMALLEST_PX}")
    if width * height > LARGEST_PIXELS:
        raise ConfigError(f"{path}: {width} x {height} pixels; at most {LARGEST_PIXELS // 10**6} million")
    return np.asarray(image, dtype=np.uint8)


def _is_colour(image: npt.NDArray[np.uint8]) -> bool:
    """Whether the channels differ; a grey image saved with three equal channels is grey."""
    if image.ndim == 2:
        return False
    return bool((image[..., 0] != image[..., 1]).any() or (image[..., 1] != image[..., 2]).any())
