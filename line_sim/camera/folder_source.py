"""Real photographs from a folder, as the frames of the camera."""

from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np

from inspector.errors import ConfigError, DataError
from line_sim.camera.pixel_format import PixelFormat
from line_sim.camera.source import FrameRequest, Image, Picture, bayer_rg

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_CACHE_BYTES = 256 << 20


class Fit(StrEnum):
    """How a photograph of another size comes onto the sensor."""

    LETTERBOX = "letterbox"  # scaled until it fits, black bars beside it
    CROP = "crop"  # never scaled: the middle of it, black bars where it is smaller


class FolderSource:
    """Streams the images of a folder in sorted order, again and again.

    Every file is decoded once when this is made, so that a bad one is a ConfigError then and no
    gap in the stream later; `on_checked` is called after each with (files done, files in all).
    The n-th frame of an acquisition is the n-th image.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fit: Fit = Fit.LETTERBOX,
        on_checked: Callable[[int, int], None] | None = None,
    ) -> None:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder; name one with images in it")
        self.files = tuple(
            sorted(each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
        )
        if not self.files:
            raise ConfigError(f"{folder} has no images ({', '.join(SUFFIXES)}) in it")
        self._fit = fit
        self._cache: OrderedDict[tuple[Path, int, int, str], Picture] = OrderedDict()
        self._cached_bytes = 0
        for done, file in enumerate(self.files, start=1):
            try:
                _decode(file, grey=True)
            except DataError as error:
                raise ConfigError(f"{error}; remove or replace it") from error
            if on_checked is not None:
                on_checked(done, len(self.files))

    def frame(self, request: FrameRequest) -> Picture:
        """Return the image of this frame, shape (height, width), in the raw pixel format."""
        file = self.files[(request.frame_id - 1) % len(self.files)]
        key = (file, request.width, request.height, request.pixel_format)
        image = self._cache.get(key)
        if image is None:
            image = self._prepare(file, request)
            self._cache[key] = image
            self._cached_bytes += image.nbytes
            while self._cached_bytes > _CACHE_BYTES:
                _, oldest = self._cache.popitem(last=False)
                self._cached_bytes -= oldest.nbytes
        return image

    def _prepare(self, file: Path, request: FrameRequest) -> Picture:
        grey = request.pixel_format.startswith("Mono")
        image = _decode(file, grey=grey)
        placed = place(image, request.width, request.height, self._fit)
        return bayer_rg(placed) if request.pixel_format == PixelFormat.BAYER_RG8.sfnc_name else placed


def _decode(file: Path, *, grey: bool) -> Image:
    """Return (height, width) or (height, width, 3) RGB; raises DataError."""
    try:
        content = np.frombuffer(file.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    image = None
    if content.size:
        image = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DataError(f"{file} is not an image that can be decoded")
    return np.asarray(image, dtype=np.uint8)


def place(image: Picture, width: int, height: int, fit: Fit) -> Picture:
    """Return the image in the middle of a black picture of the sensor's size."""
    rows, columns = image.shape[:2]
    if fit is Fit.LETTERBOX:
        scale = min(width / columns, height / rows)
        columns, rows = max(1, round(columns * scale)), max(1, round(rows * scale))
        # INTER_AREA keeps fine texture from aliasing when shrinking.
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        scaled = np.asarray(cv2.resize(image, (columns, rows), interpolation=method))
        image = scaled.astype(np.uint8) if image.dtype == np.uint8 else scaled.astype(np.uint16)
    else:
        top, left = max(0, (rows - height) // 2), max(0, (columns - width) // 2)
        image = image[top : top + height, left : left + width]
        rows, columns = image.shape[:2]
    picture: Picture = np.zeros((height, width, *image.shape[2:]), dtype=image.dtype)
    top, left = (height - rows) // 2, (width - columns) // 2
    picture[top : top + rows, left : left + columns] = image
    return picture
