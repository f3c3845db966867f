"""Reads `foxglove.RawImage` messages, the pixels of recorded sessions.

Schema: foxglove/schemas, RawImage.proto; wire format: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator

import numpy as np

from inspector.errors import DataError
from line_sim.camera.source import Picture

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_WIDTH, _HEIGHT, _ENCODING, _STEP, _DATA = 2, 3, 4, 5, 6
_WIDE, _COLOUR = ("16UC1", "mono16"), ("rgb8", "bgr8", "8UC3")


def recorded_picture(message: bytes) -> Picture:
    """Return (height, width) or (height, width, 3) RGB, over the message's bytes.

    16 bit values come as they were recorded. Raises DataError for a malformed message.
    """
    fields = dict(_fields(memoryview(message)))
    width, height, step = (_number(fields.get(each)) for each in (_WIDTH, _HEIGHT, _STEP))
    encoding, pixels = bytes(_part(fields.get(_ENCODING))).decode(errors="replace"), _part(fields.get(_DATA))
    colours = 3 if encoding in _COLOUR else 1
    value_bytes = 2 if encoding in _WIDE else 1
    if not width or step != width * colours * value_bytes or step * height != len(pixels):
        raise DataError(f"a recorded image of {width}x{height} {encoding} has {len(pixels)} bytes")
    if value_bytes == 2:
        return np.frombuffer(pixels, dtype="<u2").astype(np.uint16, copy=False).reshape(height, width)
    if colours == 1:
        return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width)
    rgb = np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3)
    return rgb[:, :, ::-1] if encoding == "bgr8" else rgb


def _number(value: int | memoryview | None) -> int:
    if not isinstance(value, int):
        raise DataError("a recorded image is malformed: a number is missing")
    return value


def _part(value: int | memoryview | None) -> memoryview:
    if not isinstance(value, memoryview):
        raise DataError("a recorded image is malformed: a field is missing")
    return value


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(view):
        tag, at = _read_varint(view, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _read_varint(view, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _read_varint(view, at)
        elif wire in _FIXED_BYTES:
            length = _FIXED_BYTES[wire]
        else:
            raise DataError(f"a recorded image is malformed: wire type {wire}")
        part = view[at : at + length]
        if len(part) != length:
            raise DataError("a recorded image is malformed: it ends too early")
        at += length
        yield number, part if wire == _BYTES else int.from_bytes(part, "little")


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            break
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise DataError("a recorded image is malformed: a number does not end")
