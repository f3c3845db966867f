"""One frame in the producer's memory, lent out until it is released."""

from collections.abc import Callable
from types import TracebackType

import numpy as np
import numpy.typing as npt

from inspector.camera.pixels import Image, Pixels
from inspector.types import FrameMeta


class FrameView:
    """A frame, valid until `release`, which gives the buffer back to the camera.

    Use it as a context manager. A frame whose `meta.missing_packets` is over 0 is incomplete:
    the missing parts hold what was in the buffer before.
    """

    __slots__ = ("_pixels", "_release", "meta")

    def __init__(self, meta: FrameMeta, pixels: Pixels, release: Callable[[], None]) -> None:
        self.meta = meta
        self._pixels = pixels
        self._release: Callable[[], None] | None = release

    @property
    def image(self) -> Image:
        """(height, width) or (height, width, 3), read-only, as `meta.pixel_format` says.

        A view of the producer's memory where the camera sends 8 bits, else unpacked each time.
        """
        return self._pixels.image()

    @property
    def size_bytes(self) -> int:
        """Bytes that `write_to` writes."""
        return self._pixels.size_bytes

    def write_to(self, destination: npt.NDArray[np.uint8]) -> None:
        """Write the image into flat memory of `size_bytes`, unpacked and without line gaps."""
        self._pixels.write_to(destination)

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
