"""The pixels of one frame where the camera's packets left them, and the one pass that moves them.

A frame must be copied once, from the producer's buffer to shared memory. Formats of more than 8
bits are unpacked in that pass, some lines at a time, so that what is in between stays in the
processor's cache.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inspector.camera.pixel_format import GROUPS, Packing, PixelLayout
from inspector.errors import DataError

Image = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
_Bytes = npt.NDArray[np.uint8]

_BAND_BYTES = 64 << 10  # with its temporaries well within a level 2 cache


@dataclass(frozen=True, slots=True)
class Pixels:
    """`lines` is a read-only view of the producer's memory, (height, bytes of a line)."""

    lines: _Bytes
    layout: PixelLayout
    width: int
    delivered_bits: int

    @staticmethod
    def of(  # noqa: PLR0917 - what GenTL tells of a buffer, in its order
        memory: bytes, layout: PixelLayout, width: int, height: int, padding: int, delivered_bits: int
    ) -> "Pixels":
        """`padding` bytes follow each line. Raises DataError when the memory holds no such image."""
        group, _ = GROUPS[layout.packing]
        if width % group:
            raise DataError(f"{layout.name} needs a Width that is a multiple of {group}, not {width}")
        line = layout.line_bytes(width)
        if width <= 0 or height <= 0 or (line + padding) * height - padding > len(memory):
            raise DataError(f"{width}x{height} {layout.name} does not fit {len(memory)} bytes")
        lines = np.ndarray((height, line), np.uint8, memory, 0, (line + padding, 1))
        lines.flags.writeable = False
        return Pixels(lines, layout, width, delivered_bits)

    @property
    def pixel_format(self) -> str:
        """The SFNC name of what is delivered."""
        return self.layout.delivered_name(self.delivered_bits)

    @property
    def _wide(self) -> bool:
        return self.layout.bits > 8 and self.delivered_bits == 16

    @property
    def size_bytes(self) -> int:
        """How much `write_to` writes."""
        return int(self.lines.shape[0]) * self.width * self.layout.channels * (2 if self._wide else 1)

    def write_to(self, destination: _Bytes) -> None:
        """Write the image into flat memory of `size_bytes`, lines without gaps, in one pass."""
        if destination.shape != (self.size_bytes,):
            raise DataError(f"{destination.shape} bytes are not the {self.size_bytes} of this image")
        height = self.lines.shape[0]
        if self.layout.packing is Packing.BYTE:
            np.copyto(destination.reshape(self.lines.shape), self.lines)
            return
        target = destination.view(np.uint16) if self._wide else destination
        into = target.reshape(height, self.width)
        unpack = (_WIDE if self._wide else _HIGH)[self.layout.packing]
        band = max(1, _BAND_BYTES // self.lines.shape[1])
        for start in range(0, height, band):
            unpack(self.lines[start : start + band], into[start : start + band], self.layout.bits)

    def image(self) -> Image:
        """(height, width) or (height, width, 3): a read-only view, or a copy where it is unpacked."""
        height = self.lines.shape[0]
        shape = (height, self.width, self.layout.channels)[: 3 if self.layout.channels > 1 else 2]
        if self.layout.packing is Packing.BYTE:
            strides = (self.lines.strides[0], self.layout.channels, 1)[: len(shape)]
            return np.lib.stride_tricks.as_strided(self.lines, shape, strides, writeable=False)
        flat = np.empty(self.size_bytes, np.uint8)
        self.write_to(flat)
        image: Image = flat.view(np.uint16) if self._wide else flat
        image = image.reshape(shape)
        image.flags.writeable = False
        return image


# Each takes some lines of bytes, the pixels to fill and the bits of a pixel. "High" keeps the
# highest eight bits, which in the packed formats mostly lie in a byte of their own.


def _word_high(lines: _Bytes, out: npt.NDArray[np.generic], bits: int) -> None:
    if bits == 16:
        out[:] = lines[:, 1::2]
    else:
        np.right_shift(_words(lines), bits - 8, out=out, casting="unsafe")


def _gev_high(lines: _Bytes, out: npt.NDArray[np.generic], bits: int) -> None:
    del bits
    out[:, 0::2] = lines[:, 0::3]
    out[:, 1::2] = lines[:, 2::3]


def _lsb_12_high(lines: _Bytes, out: npt.NDArray[np.generic], bits: int) -> None:
    del bits
    out[:, 0::2] = lines[:, 0::3] >> 4 | lines[:, 1::3] << 4
    out[:, 1::2] = lines[:, 2::3]


def _lsb_10_high(lines: _Bytes, out: npt.NDArray[np.generic], bits: int) -> None:
    del bits
    first, second, third, fourth, last = (lines[:, index::5] for index in range(5))
    out[:, 0::4] = first >> 2 | second << 6
    out[:, 1::4] = second >> 4 | third << 4
    out[:, 2::4] = third >> 6 | fourth << 2
    out[:, 3::4] = last


def _word_wide(lines: _Bytes, out: npt.NDArray[np.generic], bits: int) -> None:
    del bits
    out[:] = _words(lines)


def _gev_wide(lines: _Bytes, out: npt.NDArray[np.generic], bits: int) -> None:
    shift = bits - 8
    high = lines.astype(np.uint16)
    low = high[:, 1::3]
    out[:, 0::2] = high[:, 0::3] << shift | low & ((1 << shift) - 1)
    out[:, 1::2] = high[:, 2::3] << shift | low >> 4


def _lsb_12_wide(lines: _Bytes, out: npt.NDArray[np.generic], bits: int) -> None:
    del bits
    wide = lines.astype(np.uint16)
    middle = wide[:, 1::3]
    out[:, 0::2] = wide[:, 0::3] | (middle & 0x0F) << 8
    out[:, 1::2] = middle >> 4 | wide[:, 2::3] << 4


def _lsb_10_wide(lines: _Bytes, out: npt.NDArray[np.generic], bits: int) -> None:
    del bits
    wide = lines.astype(np.uint16)
    first, second, third, fourth, last = (wide[:, index::5] for index in range(5))
    out[:, 0::4] = first | (second & 0x03) << 8
    out[:, 1::4] = second >> 2 | (third & 0x0F) << 6
    out[:, 2::4] = third >> 4 | (fourth & 0x3F) << 4
    out[:, 3::4] = fourth >> 6 | last << 2


def _words(lines: _Bytes) -> npt.NDArray[np.uint16]:
    return lines.view("<u2")  # along the line, which has no gaps; padding only strides over lines


_Unpack = Callable[[_Bytes, npt.NDArray[np.generic], int], None]
_HIGH: dict[Packing, _Unpack] = {
    Packing.WORD: _word_high,
    Packing.GEV: _gev_high,
    Packing.LSB_10: _lsb_10_high,
    Packing.LSB_12: _lsb_12_high,
}
_WIDE: dict[Packing, _Unpack] = {
    Packing.WORD: _word_wide,
    Packing.GEV: _gev_wide,
    Packing.LSB_10: _lsb_10_wide,
    Packing.LSB_12: _lsb_12_wide,
}
