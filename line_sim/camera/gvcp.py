"""GVCP, the control protocol of GigE Vision: packets as data, without sockets or state.

Packet layouts follow GigE Vision 2.0, chapter 16 (GVCP commands and acknowledges). All fields
are big-endian; a command is at most 548 bytes long, header included.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from inspector.errors import DataError, InspectorError

GVCP_PORT = 3956
HEADER_BYTES = 8
MAX_PACKET_BYTES = 548
MAX_READMEM_BYTES = 536
_COMMAND_KEY = 0x42

_COMMAND_HEADER = struct.Struct(">BBHHH")
_ACK_HEADER = struct.Struct(">HHHH")
_WORD = struct.Struct(">I")


class Code(IntEnum):
    """Command codes. The acknowledge of a command has the code that follows it."""

    DISCOVERY = 0x0002
    FORCEIP = 0x0004
    PACKETRESEND = 0x0040
    READREG = 0x0080
    WRITEREG = 0x0082
    READMEM = 0x0084
    WRITEMEM = 0x0086
    EVENT = 0x00C0
    EVENTDATA = 0x00C2
    ACTION = 0x0100


class Flag(IntFlag):
    ACK_REQUIRED = 0x01
    SCHEDULED_ACTION = 0x80
    EXTENDED_ID = 0x10  # of PACKETRESEND: 64 bit block ids; of DISCOVERY: broadcast answer allowed


class Status(IntEnum):
    """Status codes (GigE Vision 2.0, table 19-1); GVSP uses the same."""

    SUCCESS = 0x0000
    NOT_IMPLEMENTED = 0x8001
    INVALID_PARAMETER = 0x8002
    INVALID_ADDRESS = 0x8003
    WRITE_PROTECT = 0x8004
    BAD_ALIGNMENT = 0x8005
    ACCESS_DENIED = 0x8006
    BUSY = 0x8007
    PACKET_UNAVAILABLE = 0x800C
    INVALID_HEADER = 0x800E
    NO_REF_TIME = 0x8013
    OVERFLOW = 0x8015
    ACTION_LATE = 0x8016


class CommandRefusedError(InspectorError):
    """A well-formed command that the device answers with an error status."""

    def __init__(self, status: Status, text: str, *, index: int = 0) -> None:
        super().__init__(text)
        self.status = status
        self.index = index
        """WRITEREG: how many of its registers were written before the refused one."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command packet. `code` may be one that `Code` does not know."""

    code: int
    flags: int
    request_id: int
    payload: bytes

    @property
    def ack_required(self) -> bool:
        return bool(self.flags & Flag.ACK_REQUIRED)


@dataclass(frozen=True, slots=True)
class ResendRequest:
    """Packets `first_packet` to `last_packet` of one block, both included."""

    stream_channel: int
    block_id: int
    first_packet: int
    last_packet: int
    extended: bool = False  # asked with 64 bit block ids and 32 bit packet ids


@dataclass(frozen=True, slots=True)
class ForceIp:
    mac: bytes
    address: int
    subnet_mask: int
    gateway: int


def parse_command(datagram: bytes) -> Command:
    """Return the command in a datagram; raises DataError for what is no GVCP command."""
    if len(datagram) < HEADER_BYTES:
        raise DataError(f"GVCP packet of {len(datagram)} bytes is shorter than its header")
    if len(datagram) > MAX_PACKET_BYTES:
        raise DataError(f"GVCP packet of {len(datagram)} bytes is longer than {MAX_PACKET_BYTES}")
    key, flags, code, length, request_id = _COMMAND_HEADER.unpack_from(datagram)
    if key != _COMMAND_KEY:
        raise DataError(f"GVCP packet has key 0x{key:02x}, not 0x{_COMMAND_KEY:02x}")
    if length != len(datagram) - HEADER_BYTES:
        raise DataError(f"GVCP packet says {length} payload bytes, has {len(datagram) - 8}")
    if code % 2:
        raise DataError(f"GVCP packet with code 0x{code:04x}, which is that of an acknowledge")
    if request_id == 0:
        raise DataError("GVCP packet has request id 0, which the standard reserves")
    return Command(code=code, flags=flags, request_id=request_id, payload=datagram[HEADER_BYTES:])


def command(code: int, request_id: int, payload: bytes = b"", *, flags: int = Flag.ACK_REQUIRED) -> bytes:
    """Return a command packet, as an application sends it."""
    return _COMMAND_HEADER.pack(_COMMAND_KEY, int(flags), code, len(payload), request_id) + payload


def acknowledge(
    code: int, request_id: int, payload: bytes = b"", *, status: Status = Status.SUCCESS
) -> bytes:
    """Return the acknowledge of command `code`."""
    return _ACK_HEADER.pack(status, code + 1, len(payload), request_id) + payload


def readreg_addresses(payload: bytes) -> tuple[int, ...]:
    """Return the register addresses of a READREG (several where commands are concatenated)."""
    if not payload or len(payload) % 4:
        raise DataError(f"READREG with {len(payload)} payload bytes")
    addresses = struct.unpack(f">{len(payload) // 4}I", payload)
    return tuple(int(address) for address in addresses)


def writereg_pairs(payload: bytes) -> tuple[tuple[int, int], ...]:
    """Return the (address, value) pairs of a WRITEREG."""
    if not payload or len(payload) % 8:
        raise DataError(f"WRITEREG with {len(payload)} payload bytes")
    words = struct.unpack(f">{len(payload) // 4}I", payload)
    return tuple(zip(words[::2], words[1::2], strict=True))


def readmem_range(payload: bytes) -> tuple[int, int]:
    """Return (address, count in bytes) of a READMEM."""
    if len(payload) != 8:
        raise DataError(f"READMEM with {len(payload)} payload bytes, not 8")
    address, _reserved, count = struct.unpack(">IHH", payload)
    return address, count


def writemem_data(payload: bytes) -> tuple[int, bytes]:
    """Return (address, data) of a WRITEMEM."""
    if len(payload) < 8:
        raise DataError(f"WRITEMEM with {len(payload)} payload bytes, fewer than 8")
    return int(_WORD.unpack_from(payload)[0]), payload[4:]


def resend_request(request: Command) -> ResendRequest:
    """Return what a PACKETRESEND asks for; with extended ids the block id has 64 bits."""
    extended = bool(request.flags & Flag.EXTENDED_ID)
    expected = 20 if extended else 12
    if len(request.payload) != expected:
        raise DataError(f"PACKETRESEND with {len(request.payload)} payload bytes, not {expected}")
    channel, block_id, first, last = struct.unpack_from(">HHII", request.payload)
    if extended:
        (block_id,) = struct.unpack_from(">Q", request.payload, 12)
    else:
        first, last = first & 0xFFFFFF, last & 0xFFFFFF
    if first > last:
        raise DataError(f"PACKETRESEND of packets {first} to {last}")
    return ResendRequest(channel, block_id, first, last, extended)


def force_ip(payload: bytes) -> ForceIp:
    """Return the fields of a FORCEIP."""
    if len(payload) != 56:
        raise DataError(f"FORCEIP with {len(payload)} payload bytes, not 56")
    mac = payload[2:8]
    (address,), (mask,), (gateway,) = (_WORD.unpack_from(payload, at) for at in (20, 36, 52))
    return ForceIp(mac=mac, address=address, subnet_mask=mask, gateway=gateway)
