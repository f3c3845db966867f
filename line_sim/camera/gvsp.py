"""GVSP, the stream protocol of GigE Vision: one image block as packets. No sockets.

Layouts: GigE Vision 2.0, chapters 23 to 25: image payload type, with chunks or without, and both
kinds of header: 16 bit block ids with 24 bit packet ids, or 64 bit block ids with 32 bit packet ids.
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from line_sim.camera.gvcp import Status

IP_UDP_HEADER_BYTES = 28
HEADER_BYTES = 8
EXTENDED_HEADER_BYTES = 20
_FORMAT_LEADER, _FORMAT_TRAILER, _FORMAT_PAYLOAD = 1, 2, 3
_PAYLOAD_TYPE_IMAGE = 1
_WITH_CHUNKS = 0x4000  # bit of the payload type
_EXTENDED_ID = 0x80  # bit beside the packet format

_HEADER = struct.Struct(">HHI")
_IMAGE_LEADER = struct.Struct(">HHQIIIIIHH")
_IMAGE_TRAILER = struct.Struct(">HHI")
_CHUNK_TRAILER = struct.Struct(">II")  # length of the chunk data payload, id of its layout

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGeometry:
    pixel_format_code: int
    width: int
    height: int
    offset_x: int
    offset_y: int


@dataclass(frozen=True, slots=True)
class Block:
    """One image as packets: 0 is the leader, the last is the trailer, between them the pixels.

    `payload` is flat and contiguous and stays unchanged while the block lives, for the packets
    are sent from it without a copy. `headers` has shape (packets, 8), or (packets, 20) with extended ids.
    """

    block_id: int
    headers: Bytes
    leader: Bytes
    trailer: Bytes
    payload: Bytes
    payload_per_packet: int

    @property
    def packet_count(self) -> int:
        return len(self.headers)

    @property
    def extended_ids(self) -> bool:
        return bool(self.headers.shape[1] == EXTENDED_HEADER_BYTES)

    def datagram(self, packet_id: int) -> bytes:
        """Return a whole packet."""
        header: bytes = self.headers[packet_id].tobytes()
        return header + self.body(packet_id).tobytes()

    def body(self, packet_id: int) -> Bytes:
        """Return what follows the header in this packet."""
        if packet_id == 0:
            return self.leader
        if packet_id == self.packet_count - 1:
            return self.trailer
        start = (packet_id - 1) * self.payload_per_packet
        return self.payload[start : start + self.payload_per_packet]


def block_id_of(frame_id: int, *, extended: bool = False) -> int:
    """Return the block id of the `frame_id`-th frame, counted from 1; 0 is never used."""
    return frame_id if extended else (frame_id - 1) % 0xFFFF + 1


def image_block(
    block_id: int,
    payload: Bytes,
    geometry: ImageGeometry,
    ticks: int,
    packet_size: int,
    *,
    extended_ids: bool = False,
    chunks: bool = False,
) -> Block:
    """Return the packets of an image; `packet_size` counts the IP and UDP headers too.

    With `chunks` the payload holds the chunk data behind the pixels.
    """
    header_bytes = EXTENDED_HEADER_BYTES if extended_ids else HEADER_BYTES
    per_packet = packet_size - IP_UDP_HEADER_BYTES - header_bytes
    count = -(-len(payload) // per_packet) + 2
    payload_type = _PAYLOAD_TYPE_IMAGE | (_WITH_CHUNKS if chunks else 0)
    leader = _IMAGE_LEADER.pack(
        0,
        payload_type,
        ticks,
        geometry.pixel_format_code,
        geometry.width,
        geometry.height,
        geometry.offset_x,
        geometry.offset_y,
        0,
        0,
    )
    trailer = _IMAGE_TRAILER.pack(0, payload_type, geometry.height)
    if chunks:
        trailer += _CHUNK_TRAILER.pack(len(payload), 0)
    return Block(
        block_id=block_id,
        headers=(_extended_headers if extended_ids else _headers)(block_id, count),
        leader=np.frombuffer(leader, dtype=np.uint8),
        trailer=np.frombuffer(trailer, dtype=np.uint8),
        payload=payload,
        payload_per_packet=per_packet,
    )


def _headers(block_id: int, count: int) -> Bytes:
    packed = np.arange(count, dtype=np.uint32) | np.uint32(_FORMAT_PAYLOAD << 24)
    packed[0] = _FORMAT_LEADER << 24
    packed[-1] = (_FORMAT_TRAILER << 24) | (count - 1)
    headers = np.zeros((count, HEADER_BYTES), dtype=np.uint8)
    headers[:, 2:4] = np.frombuffer(block_id.to_bytes(2, "big"), dtype=np.uint8)
    headers[:, 4:] = packed.astype(">u4").view(np.uint8).reshape(count, 4)
    return headers


def _extended_headers(block_id: int, count: int) -> Bytes:
    headers = np.zeros((count, EXTENDED_HEADER_BYTES), dtype=np.uint8)
    headers[:, 4] = _EXTENDED_ID | _FORMAT_PAYLOAD
    headers[0, 4] = _EXTENDED_ID | _FORMAT_LEADER
    headers[-1, 4] = _EXTENDED_ID | _FORMAT_TRAILER
    headers[:, 8:16] = np.frombuffer(block_id.to_bytes(8, "big"), dtype=np.uint8)
    headers[:, 16:] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
    return headers


def unavailable_packet(block_id: int, packet_id: int, *, extended_ids: bool = False) -> bytes:
    """Return the answer to a resend request for a packet that is no longer there."""
    kind, status = _FORMAT_PAYLOAD << 24, Status.PACKET_UNAVAILABLE
    if extended_ids:
        return _HEADER.pack(status, 0, _EXTENDED_ID << 24 | kind) + struct.pack(">QI", block_id, packet_id)
    return _HEADER.pack(status, block_id, kind | packet_id)


def path_test_packet(packet_size: int) -> bytes:
    """Return a packet that fills `packet_size` on the wire, for finding the largest that passes."""
    header = _HEADER.pack(Status.SUCCESS, 0, _FORMAT_PAYLOAD << 24)
    return header.ljust(packet_size - IP_UDP_HEADER_BYTES, b"\0")
