"""The pixel formats that we take, by PFNC code, and what becomes of each.

Formats of 10 to 16 bits are delivered with one pixel in one byte or in two (`delivered_bits`);
all others as they come. The names are those of PFNC 2.4, section 5, and of GigE Vision 2.0.
"""

from dataclasses import dataclass
from enum import Enum

from harvesters.util.pfnc import dict_by_ints

from inspector.errors import ConfigError


class Packing(Enum):
    """How pixels lie in memory."""

    BYTE = "8 bits a channel"
    WORD = "a little-endian word a pixel, the value in its low bits"
    GEV = "two pixels in three bytes: high bits, both low parts, high bits"
    LSB_10 = "four pixels in five bytes, 10 bits after another, low bit first"
    LSB_12 = "two pixels in three bytes, 12 bits after another, low bit first"


GROUPS = {Packing.BYTE: (1, 1), Packing.WORD: (1, 2), Packing.LSB_10: (4, 5)}
GROUPS |= {Packing.GEV: (2, 3), Packing.LSB_12: (2, 3)}
"""Pixels and bytes of what repeats along a line."""


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """`name` is the camera's, `bits` those of one channel."""

    name: str
    channels: int
    bits: int
    packing: Packing

    def line_bytes(self, width: int) -> int:
        """Bytes of a line in the camera's memory, without padding."""
        pixels, size = GROUPS[self.packing]
        return width * self.channels * size // pixels

    def delivered_name(self, bits: int) -> str:
        """Return the SFNC name of what is delivered when `bits` (8 or 16) are wanted."""
        if self.bits == 8:
            return self.name
        return "Mono8" if bits == 8 else f"Mono{self.bits}"


def _mono(name: str, bits: int, packing: Packing) -> PixelLayout:
    return PixelLayout(name, 1, bits, packing)


_SUPPORTED = {
    0x01080001: _mono("Mono8", 8, Packing.BYTE),
    0x01080008: _mono("BayerGR8", 8, Packing.BYTE),
    0x01080009: _mono("BayerRG8", 8, Packing.BYTE),
    0x0108000A: _mono("BayerGB8", 8, Packing.BYTE),
    0x0108000B: _mono("BayerBG8", 8, Packing.BYTE),
    0x01100003: _mono("Mono10", 10, Packing.WORD),
    0x010C0004: _mono("Mono10Packed", 10, Packing.GEV),
    0x010A0046: _mono("Mono10p", 10, Packing.LSB_10),
    0x01100005: _mono("Mono12", 12, Packing.WORD),
    0x010C0006: _mono("Mono12Packed", 12, Packing.GEV),
    0x010C0047: _mono("Mono12p", 12, Packing.LSB_12),
    0x01100007: _mono("Mono16", 16, Packing.WORD),
    0x02180014: PixelLayout("RGB8", 3, 8, Packing.BYTE),
    0x02180015: PixelLayout("BGR8", 3, 8, Packing.BYTE),
}
SUPPORTED_NAMES = tuple(layout.name for layout in _SUPPORTED.values())


def layout_of(code: int, camera_id: str) -> PixelLayout:
    """Return the layout of a PFNC code. Raises ConfigError for one that we do not take."""
    layout = _SUPPORTED.get(code)
    if layout is None:
        name = dict_by_ints.get(code, f"0x{code:08X}")
        raise ConfigError(
            f"camera {camera_id}: pixel format {name} is not supported, "
            f"set PixelFormat to {', '.join(SUPPORTED_NAMES[:-1])} or {SUPPORTED_NAMES[-1]}"
        )
    return layout
