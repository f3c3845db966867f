"""Chunk data: what a frame says of itself behind its pixels. Pure.

GigE Vision 2.0, chapter 24: each chunk is its data, then its id, then its length, big-endian; the
image comes first, and a reader starts at the end. Names: SFNC 2.7, Chunk Data Control.
"""

import struct
from collections.abc import Iterable, Mapping
from enum import Enum

IMAGE_CHUNK_ID = 0x0000_0001
_TAG = struct.Struct(">II")


class Chunk(Enum):
    """SFNC name, chunk id, layout of the data, and the value of ChunkSelector."""

    WIDTH = ("Width", 0x1001, ">I", 1)
    HEIGHT = ("Height", 0x1002, ">I", 2)
    OFFSET_X = ("OffsetX", 0x1003, ">I", 3)
    OFFSET_Y = ("OffsetY", 0x1004, ">I", 4)
    PIXEL_FORMAT = ("PixelFormat", 0x1005, ">I", 5)
    TIMESTAMP = ("Timestamp", 0x1006, ">Q", 6)
    FRAME_ID = ("FrameID", 0x1007, ">Q", 7)
    EXPOSURE_TIME = ("ExposureTime", 0x1008, ">d", 8)
    GAIN = ("Gain", 0x1009, ">d", 9)
    LINE_STATUS_ALL = ("LineStatusAll", 0x100A, ">I", 10)
    ENCODER_VALUE = ("EncoderValue", 0x100B, ">q", 11)

    @property
    def sfnc_name(self) -> str:
        return self.value[0]

    @property
    def chunk_id(self) -> int:
        return self.value[1]

    @property
    def layout(self) -> str:
        return self.value[2]

    @property
    def selector(self) -> int:
        return self.value[3]

    @property
    def length(self) -> int:
        return struct.calcsize(self.layout)


AT_POWER_UP = (
    Chunk.TIMESTAMP,
    Chunk.FRAME_ID,
    Chunk.EXPOSURE_TIME,
    Chunk.LINE_STATUS_ALL,
    Chunk.ENCODER_VALUE,
)


def padded(image_bytes: int) -> int:
    """Return the length of the image chunk: chunks are whole 32 bit words."""
    return -(-image_bytes // 4) * 4


def payload_bytes(image_bytes: int, chunks: Iterable[Chunk]) -> int:
    """Return the length of a whole block with these chunks."""
    return padded(image_bytes) + _TAG.size + sum(each.length + _TAG.size for each in chunks)


def trailing(image_bytes: int, values: Mapping[Chunk, float]) -> bytes:
    """Return what follows the pixels: padding, the image's tag, and the other chunks."""
    length = padded(image_bytes)
    parts = [bytes(length - image_bytes), _TAG.pack(IMAGE_CHUNK_ID, length)]
    for chunk in sorted(values, key=lambda each: each.chunk_id):
        parts += (struct.pack(chunk.layout, values[chunk]), _TAG.pack(chunk.chunk_id, chunk.length))
    return b"".join(parts)
