"""The GVCP messages that a device sends by itself, and actions. Pure.

Layouts: GigE Vision 2.0, chapters 16.9 (PENDING_ACK), 17 (EVENT, EVENTDATA) and 14.3 (ACTION).
"""

import struct
from dataclasses import dataclass

from inspector.errors import DataError
from line_sim.camera.gvcp import Code, Command, Flag, command

_PENDING_ACK_CODE = 0x0089
_ACK_HEADER = struct.Struct(">HHHH")
_EVENT = struct.Struct(">HHHHQ")
_EVENT_EXTENDED = struct.Struct(">HHHHQQ")
_ACTION = struct.Struct(">III")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMessage:
    """One event. `ticks` is device time; `block_id` 0 where no frame belongs to it."""

    event_id: int
    block_id: int
    ticks: int
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    device_key: int
    group_key: int
    group_mask: int
    at_ticks: int | None  # None: now


def event_command(event: EventMessage, request_id: int, *, extended: bool, ack: bool) -> bytes:
    """Return EVENT_CMD, or EVENTDATA_CMD where there is data; `extended` is for 64 bit block ids."""
    if extended:
        body = _EVENT_EXTENDED.pack(
            _EVENT_EXTENDED.size + len(event.data), event.event_id, 0, 0, event.block_id, event.ticks
        )
    else:
        body = _EVENT.pack(0, event.event_id, 0, event.block_id & 0xFFFF, event.ticks)
    flags = (Flag.ACK_REQUIRED if ack else 0) | (Flag.EXTENDED_ID if extended else 0)
    code = Code.EVENTDATA if event.data else Code.EVENT
    return command(code, request_id, body + event.data, flags=flags)


def acknowledges(datagram: bytes, request_id: int) -> bool:
    """Whether a datagram is the acknowledge of this event."""
    if len(datagram) < _ACK_HEADER.size:
        return False
    _status, code, _length, answered = _ACK_HEADER.unpack_from(datagram)
    return code in (Code.EVENT + 1, Code.EVENTDATA + 1) and answered == request_id


def pending_acknowledge(request_id: int, time_ms: int) -> bytes:
    """Return PENDING_ACK: the answer will come, within `time_ms` from now."""
    return _ACK_HEADER.pack(0, _PENDING_ACK_CODE, 4, request_id) + struct.pack(">HH", 0, min(time_ms, 0xFFFF))


def action_request(request: Command) -> ActionRequest:
    """Return what an ACTION_CMD asks for; raises DataError where its length is wrong."""
    scheduled = bool(request.flags & Flag.SCHEDULED_ACTION)
    expected = _ACTION.size + (8 if scheduled else 0)
    if len(request.payload) != expected:
        raise DataError(f"ACTION_CMD with {len(request.payload)} payload bytes, not {expected}")
    device_key, group_key, group_mask = _ACTION.unpack_from(request.payload)
    at_ticks = int.from_bytes(request.payload[12:], "big") if scheduled else None
    return ActionRequest(device_key=device_key, group_key=group_key, group_mask=group_mask, at_ticks=at_ticks)
