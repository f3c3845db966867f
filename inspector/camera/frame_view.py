"""One frame in the producer's memory, lent out until it is released."""

from collections.abc import Callable
from types import TracebackType

import numpy as np
import numpy.typing as npt

from inspector.camera.pixel_format import PixelLayout
from inspector.errors import DataError
from inspector.types import FrameMeta


def image_view(
    memory: bytes, layout: PixelLayout, width: int, height: int, padding: int
) -> npt.NDArray[np.uint8]:
    """Return the pixels as (height, width) or (height, width, 3) uint8, read-only, not copied.

    `padding` bytes at the end of each line are left out by the strides. Raises DataError when
    the memory is too short for such an image.
    """
    line = width * layout.bytes_per_pixel + padding
    if width <= 0 or height <= 0 or line * height - padding > len(memory):
        raise DataError(f"{width}x{height} {layout.name} does not fit {len(memory)} bytes")
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (line, layout.bytes_per_pixel)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, 1)
    view = np.ndarray(shape, np.uint8, memory, 0, strides)
    view.flags.writeable = False
    return view


class FrameView:
    """A frame; `image` is valid until `release`, which gives the buffer back to the camera.

    Use it as a context manager. A frame whose `meta.missing_packets` is over 0 is incomplete:
    the missing parts hold what was in the buffer before.
    """

    __slots__ = ("_release", "image", "meta")

    def __init__(self, meta: FrameMeta, image: npt.NDArray[np.uint8], release: Callable[[], None]) -> None:
        self.meta = meta
        self.image = image
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Give the buffer back. A second call does nothing."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __enter__(self) -> "FrameView":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
