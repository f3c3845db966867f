"""Pixel formats: their codes, and how values of more than 8 bits lie in memory.

Names and codes: PFNC (GenICam Pixel Format Naming Convention 2.4); the packed layout is that of
GigE Vision 1.x (Mono12Packed), which differs from PFNC's own Mono12p.
"""

from enum import Enum

import numpy as np
import numpy.typing as npt

from inspector.errors import ConfigError

Values = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


class PixelFormat(Enum):
    """SFNC name, PFNC code and significant bits of the formats that the camera sends."""

    MONO8 = ("Mono8", 0x01080001, 8)
    MONO10 = ("Mono10", 0x01100003, 10)
    MONO12_PACKED = ("Mono12Packed", 0x010C0006, 12)
    MONO16 = ("Mono16", 0x01100007, 16)
    BAYER_RG8 = ("BayerRG8", 0x01080009, 8)
    RGB8 = ("RGB8", 0x02180014, 8)

    @property
    def sfnc_name(self) -> str:
        return self.value[0]

    @property
    def code(self) -> int:
        return self.value[1]

    @property
    def significant_bits(self) -> int:
        """Bits of one colour value that carry light."""
        return self.value[2]

    @property
    def colours(self) -> int:
        return 3 if self is PixelFormat.RGB8 else 1

    def image_bytes(self, width: int, height: int) -> int:
        """Return the bytes of an image; the PFNC code has the bits that a pixel occupies."""
        return width * height * (self.code >> 16 & 0xFF) // 8

    @classmethod
    def named(cls, name: str) -> "PixelFormat":
        """Return the format of that SFNC name; raises ConfigError if the camera has none."""
        for pixel_format in cls:
            if pixel_format.sfnc_name == name:
                return pixel_format
        known = ", ".join(each.sfnc_name for each in cls)
        raise ConfigError(f"pixel format {name!r} is unknown, choose one of {known}")


def pack(values: Values, pixel_format: PixelFormat) -> npt.NDArray[np.uint8]:
    """Return the bytes of pixel values, flat and contiguous; the number of values is even."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if pixel_format is PixelFormat.MONO12_PACKED:
        pairs = flat.astype(np.uint16).reshape(-1, 2)
        packed = np.empty((len(pairs), 3), dtype=np.uint8)
        packed[:, 0] = pairs[:, 0] >> 4
        packed[:, 1] = (pairs[:, 0] & 0xF) | (pairs[:, 1] & 0xF) << 4
        packed[:, 2] = pairs[:, 1] >> 4
        return packed.reshape(-1)
    if pixel_format.significant_bits > 8:
        return flat.astype("<u2").view(np.uint8)
    return flat.astype(np.uint8, copy=False)
