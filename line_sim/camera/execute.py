"""Executes GVCP commands on a device: a datagram comes in, an acknowledge goes out. No sockets."""

import struct
from collections.abc import Callable

from inspector.errors import DataError
from line_sim.camera.bootstrap import DISCOVERY_BYTES
from line_sim.camera.control_channel import Peer
from line_sim.camera.device import Device
from line_sim.camera.gvcp import (
    MAX_READMEM_BYTES,
    Code,
    Command,
    CommandRefusedError,
    Status,
    acknowledge,
    force_ip,
    parse_command,
    readmem_range,
    readreg_addresses,
    resend_request,
    writemem_data,
    writereg_pairs,
)
from line_sim.camera.gvcp_messages import action_request
from line_sim.camera.statistics import Counters


class CommandExecutor:
    """For one thread, the control thread."""

    def __init__(self, device: Device, counters: Counters) -> None:
        self._device = device
        self._counters = counters
        self._last_write: tuple[Peer, bytes, bytes] | None = None
        self._executors: dict[int, Callable[[Command, Peer], bytes | None]] = {
            Code.DISCOVERY: self._discovery,
            Code.FORCEIP: self._force_ip,
            Code.PACKETRESEND: self._resend,
            Code.READREG: self._readreg,
            Code.WRITEREG: self._writereg,
            Code.READMEM: self._readmem,
            Code.WRITEMEM: self._writemem,
            Code.ACTION: self._action,
        }

    def handle(self, datagram: bytes, peer: Peer) -> bytes | None:
        """Execute the command in a datagram; return the answer, None where there is none.

        A malformed datagram is counted and has no answer, as the standard asks for.
        """
        try:
            command = parse_command(datagram)
            answer = self._answer(command, datagram, peer)
        except DataError:
            self._counters.add("gvcp_malformed")
            return None
        return answer if command.ack_required else None

    def _answer(self, command: Command, datagram: bytes, peer: Peer) -> bytes | None:
        self._counters.add("gvcp_commands")
        self._device.heard(peer)
        is_write = command.code in (Code.WRITEREG, Code.WRITEMEM)
        if is_write and self._last_write is not None:
            # An application that missed an acknowledge sends the same request again; it must
            # not be executed twice (a software trigger would give two frames).
            last_peer, last_datagram, last_answer = self._last_write
            if (last_peer, last_datagram) == (peer, datagram):
                return last_answer
        try:
            executor = self._executors.get(command.code)
            if executor is None:
                raise CommandRefusedError(
                    Status.NOT_IMPLEMENTED, f"no command 0x{command.code:04x} in this device"
                )
            answer = executor(command, peer)
        except CommandRefusedError as refused:
            self._counters.add("gvcp_refused")
            # The acknowledge of a write says how much was written before the error.
            payload = struct.pack(">HH", 0, refused.index) if is_write else b""
            answer = acknowledge(command.code, command.request_id, payload, status=refused.status)
        if is_write and answer is not None:
            self._last_write = (peer, datagram, answer)
        return answer

    def _discovery(self, command: Command, _peer: Peer) -> bytes:
        if command.payload:
            raise DataError(f"DISCOVERY with {len(command.payload)} payload bytes")
        registers = self._device.public_read(0, DISCOVERY_BYTES)
        return acknowledge(command.code, command.request_id, registers)

    def _force_ip(self, command: Command, _peer: Peer) -> bytes | None:
        wanted = force_ip(command.payload)
        if wanted.mac != self._device.mac:
            return None  # broadcast, and meant for another device
        self._device.force_address(wanted.address)
        return acknowledge(command.code, command.request_id)

    def _readreg(self, command: Command, peer: Peer) -> bytes:
        addresses = readreg_addresses(command.payload)
        values = b""
        for address in addresses:
            if address % 4:
                raise CommandRefusedError(Status.BAD_ALIGNMENT, f"register 0x{address:x}")
            values += self._device.read(address, 4, peer)
        return acknowledge(command.code, command.request_id, values)

    def _readmem(self, command: Command, peer: Peer) -> bytes:
        address, count = readmem_range(command.payload)
        if address % 4 or count % 4:
            raise CommandRefusedError(Status.BAD_ALIGNMENT, f"{count} bytes at 0x{address:x}")
        if not 0 < count <= MAX_READMEM_BYTES:
            raise CommandRefusedError(Status.INVALID_PARAMETER, f"{count} bytes in one READMEM")
        data = self._device.read(address, count, peer)
        return acknowledge(command.code, command.request_id, command.payload[:4] + data)

    def _writereg(self, command: Command, peer: Peer) -> bytes:
        pairs = writereg_pairs(command.payload)
        for index, (address, value) in enumerate(pairs):
            try:
                if address % 4:
                    raise CommandRefusedError(Status.BAD_ALIGNMENT, f"register 0x{address:x}")
                self._device.write(address, value.to_bytes(4, "big"), peer)
            except CommandRefusedError as refused:
                raise CommandRefusedError(refused.status, str(refused), index=index) from refused
        return acknowledge(command.code, command.request_id, struct.pack(">HH", 0, len(pairs)))

    def _writemem(self, command: Command, peer: Peer) -> bytes:
        address, data = writemem_data(command.payload)
        if address % 4 or len(data) % 4:
            raise CommandRefusedError(Status.BAD_ALIGNMENT, f"{len(data)} bytes at 0x{address:x}")
        self._device.write(address, data, peer)
        return acknowledge(command.code, command.request_id, struct.pack(">HH", 0, len(data)))

    def _action(self, command: Command, _peer: Peer) -> bytes | None:
        status = self._device.action(action_request(command))
        if status is None:
            return None  # broadcast, and meant for other devices
        return acknowledge(command.code, command.request_id, status=status)

    def _resend(self, command: Command, peer: Peer) -> None:
        """PACKETRESEND has no acknowledge: the packets are the answer."""
        request = resend_request(command)
        # Receivers ask from the port of their stream socket, not from that of the control channel,
        # so the address alone must match.
        if peer[0] not in self._device.stream_peers() or request.stream_channel != 0:
            self._counters.add("gvcp_refused")
            return
        self._device.effects.resend(request)
