"""GVSP, the stream protocol of GigE Vision: one image block as packets. No sockets.

Layouts: GigE Vision 2.0, chapter 23 and 25 (standard 16 bit block ids, image payload type).
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from line_sim.camera.gvcp import Status

IP_UDP_HEADER_BYTES = 28
HEADER_BYTES = 8
MAX_PACKET_ID = 0xFFFFFF
_FORMAT_LEADER, _FORMAT_TRAILER, _FORMAT_PAYLOAD = 1, 2, 3
_PAYLOAD_TYPE_IMAGE = 1

_HEADER = struct.Struct(">HHI")
_IMAGE_LEADER = struct.Struct(">HHQIIIIIHH")
_IMAGE_TRAILER = struct.Struct(">HHI")

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
    are sent from it without a copy. `headers` has shape (packets, 8).
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

    def body(self, packet_id: int) -> Bytes:
        """Return what follows the header in this packet."""
        if packet_id == 0:
            return self.leader
        if packet_id == self.packet_count - 1:
            return self.trailer
        start = (packet_id - 1) * self.payload_per_packet
        return self.payload[start : start + self.payload_per_packet]


def block_id_of(frame_id: int) -> int:
    """Return the 16 bit block id of the `frame_id`-th frame, counted from 1; 0 is never used."""
    return (frame_id - 1) % 0xFFFF + 1


def image_block(
    block_id: int, payload: Bytes, geometry: ImageGeometry, ticks: int, packet_size: int
) -> Block:
    """Return the packets of an image; `packet_size` counts the IP and UDP headers too."""
    per_packet = packet_size - IP_UDP_HEADER_BYTES - HEADER_BYTES
    data_packets = -(-len(payload) // per_packet)
    count = data_packets + 2
    packed = np.arange(count, dtype=np.uint32)
    packed[1:-1] |= _FORMAT_PAYLOAD << 24
    packed[0] = _FORMAT_LEADER << 24
    packed[-1] = (_FORMAT_TRAILER << 24) | (count - 1)
    headers = np.zeros((count, HEADER_BYTES), dtype=np.uint8)
    headers[:, 2] = block_id >> 8
    headers[:, 3] = block_id & 0xFF
    headers[:, 4:] = packed.astype(">u4").view(np.uint8).reshape(count, 4)
    leader = _IMAGE_LEADER.pack(
        0,
        _PAYLOAD_TYPE_IMAGE,
        ticks,
        geometry.pixel_format_code,
        geometry.width,
        geometry.height,
        geometry.offset_x,
        geometry.offset_y,
        0,
        0,
    )
    trailer = _IMAGE_TRAILER.pack(0, _PAYLOAD_TYPE_IMAGE, geometry.height)
    return Block(
        block_id=block_id,
        headers=headers,
        leader=np.frombuffer(leader, dtype=np.uint8),
        trailer=np.frombuffer(trailer, dtype=np.uint8),
        payload=payload,
        payload_per_packet=per_packet,
    )


def unavailable_packet(block_id: int, packet_id: int) -> bytes:
    """Return the answer to a resend request for a packet that is no longer there."""
    return _HEADER.pack(Status.PACKET_UNAVAILABLE, block_id, (_FORMAT_PAYLOAD << 24) | packet_id)


def path_test_packet(packet_size: int) -> bytes:
    """Return a packet that fills `packet_size` on the wire, for finding the largest that passes."""
    header = _HEADER.pack(Status.SUCCESS, 0, _FORMAT_PAYLOAD << 24)
    return header.ljust(packet_size - IP_UDP_HEADER_BYTES, b"\0")
