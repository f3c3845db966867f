"""Pixels as `foxglove.RawImage` in Protocol Buffers, which MCAP viewers show as an image.

The message has seven fields of three wire types, so it is written here by hand: the pixels are
copied once, and the recorder needs no protobuf runtime. Schema: foxglove/schemas, RawImage.proto;
wire format: protobuf.dev/programming-guides/encoding.
"""

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from inspector.clock import NS_PER_S
from inspector.errors import DataError

SCHEMA_NAME = "foxglove.RawImage"

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_ENCODING_OF_PIXEL_FORMAT = {
    "Mono8": "mono8",
    "RGB8": "rgb8",
    "BGR8": "bgr8",
    "BayerRG8": "bayer_rggb8",
    "BayerGB8": "bayer_gbrg8",
    "BayerGR8": "bayer_grbg8",
    "BayerBG8": "bayer_bggr8",
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def encode(image: Pixels, pixel_format: str, camera_id: str, utc_ns: int) -> bytes:
    """Serialize one image of shape (h, w) or (h, w, 3), uint8, or (h, w) uint16.

    `pixel_format` is the SFNC name. Raises DataError for another shape or type.
    """
    encoding = _encoding(image, pixel_format).encode()
    height, width = image.shape[:2]
    pixels = np.ascontiguousarray(image).tobytes()
    stamp = _varint_field(1, utc_ns // NS_PER_S) + _varint_field(2, utc_ns % NS_PER_S)
    step = len(pixels) // height if height else 0
    return b"".join(
        (
            _bytes_field(1, stamp),
            struct.pack("<BIBI", 2 << 3 | _FIXED32, width, 3 << 3 | _FIXED32, height),
            _bytes_field(4, encoding),
            struct.pack("<BI", 5 << 3 | _FIXED32, step),
            _bytes_field(7, camera_id.encode()),
            bytes((6 << 3 | _BYTES,)),
            _varint(len(pixels)),
            pixels,
        )
    )


def decode(data: bytes) -> Pixels:
    """Return the pixels as a read-only array over `data`. Raises DataError if it is malformed."""
    fields = dict(_fields(data))
    height, width, step = (_number(fields, n) for n in (3, 2, 5))
    name = bytes(_part(fields, 4)).decode(errors="replace")
    pixels = _part(fields, 6)
    wide = name in {"16UC1", "mono16"}
    itemsize = 2 if wide else 1
    channels = 3 if name in {"rgb8", "bgr8", "8UC3"} else 1
    if step * height != len(pixels) or width * channels * itemsize != step:
        raise DataError(f"a recorded image of {width}x{height} {name} has {len(pixels)} bytes")
    shape = (height, width, 3) if channels == 3 else (height, width)
    if wide:
        return np.frombuffer(pixels, np.dtype(np.uint16)).reshape(shape)
    return np.frombuffer(pixels, np.dtype(np.uint8)).reshape(shape)


def _number(fields: dict[int, int | memoryview], number: int) -> int:
    value = fields.get(number)
    if not isinstance(value, int):
        raise DataError(f"a recorded image is malformed: no number in field {number}")
    return value


def _part(fields: dict[int, int | memoryview], number: int) -> memoryview:
    value = fields.get(number)
    if not isinstance(value, memoryview):
        raise DataError(f"a recorded image is malformed: no bytes in field {number}")
    return value


def _encoding(image: Pixels, pixel_format: str) -> str:
    if image.dtype == np.uint16 and image.ndim == 2:
        return "16UC1"  # Bayer of more than 8 bits too: viewers know no encoding for it
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return _ENCODING_OF_PIXEL_FORMAT.get(pixel_format, "8UC3")
    if image.dtype == np.uint8 and image.ndim == 2:
        return _ENCODING_OF_PIXEL_FORMAT.get(pixel_format, "8UC1")
    raise DataError(f"cannot record an image of shape {image.shape}, {image.dtype}, {pixel_format}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _fields(data: bytes) -> Iterator[tuple[int, int | memoryview]]:
    view = memoryview(data)
    pos = 0
    while pos < len(view):
        tag, pos = _read_varint(view, pos)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, pos = _read_varint(view, pos)
            yield number, value
            continue
        if wire == _BYTES:
            size, pos = _read_varint(view, pos)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise DataError(f"a recorded image is malformed: wire type {wire}")
        if pos + size > len(view):
            raise DataError("a recorded image is malformed: it ends within a field")
        part = view[pos : pos + size]
        pos += size
        yield number, part if wire == _BYTES else int.from_bytes(part, "little")


def _read_varint(view: memoryview, pos: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if pos >= len(view):
            break
        value |= (view[pos] & 0x7F) << shift
        pos += 1
        if view[pos - 1] < 0x80:
            return value, pos
    raise DataError("a recorded image is malformed: a number without an end")


def _descriptor() -> bytes:
    """Build the FileDescriptorSet (descriptor.proto) that an MCAP schema record carries."""
    optional, int64, int32, string, message, byte_string, fixed32 = 1, 3, 5, 9, 11, 12, 7

    def field(name: str, number: int, kind: int, type_name: str = "") -> bytes:
        body = _bytes_field(1, name.encode()) + _varint_field(3, number)
        body += _varint_field(4, optional) + _varint_field(5, kind)
        return _bytes_field(2, body + (_bytes_field(6, type_name.encode()) if type_name else b""))

    def file(name: str, package: str, imports: tuple[str, ...], descriptor: bytes) -> bytes:
        body = _bytes_field(1, name.encode()) + _bytes_field(2, package.encode())
        body += b"".join(_bytes_field(3, path.encode()) for path in imports)
        return _bytes_field(1, body + _bytes_field(4, descriptor) + _bytes_field(12, b"proto3"))

    stamp_file, stamp_type = "google/protobuf/timestamp.proto", ".google.protobuf.Timestamp"
    stamp = _bytes_field(1, b"Timestamp") + field("seconds", 1, int64) + field("nanos", 2, int32)
    image = _bytes_field(1, b"RawImage") + b"".join(
        (
            field("timestamp", 1, message, stamp_type),
            field("frame_id", 7, string),
            field("width", 2, fixed32),
            field("height", 3, fixed32),
            field("encoding", 4, string),
            field("step", 5, fixed32),
            field("data", 6, byte_string),
        )
    )
    return file(stamp_file, "google.protobuf", (), stamp) + file(
        "foxglove/RawImage.proto", "foxglove", (stamp_file,), image
    )


SCHEMA = _descriptor()
