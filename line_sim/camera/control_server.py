"""The control channel on the network: UDP port 3956 of the camera's address, and the broadcasts."""

import select
import selectors
import socket
import struct
from collections.abc import Callable

from inspector.errors import DeviceError
from line_sim.camera.device import Device
from line_sim.camera.execute import CommandExecutor
from line_sim.camera.faults import FaultKnobs
from line_sim.camera.gvcp import GVCP_PORT, Code
from line_sim.camera.gvcp_messages import pending_acknowledge
from line_sim.camera.link import Link
from line_sim.camera.memory import subnet_of
from line_sim.camera.statistics import Counters

_IP_PKTINFO = 8  # of <linux/in.h>; Python 3.11 does not name it
_LIMITED_BROADCAST = "255.255.255.255"
_POLL_S = 0.1
_RECEIVE_BYTES = 65535
_MAY_BE_PENDING = {
    code + 1 for code in (Code.READREG, Code.WRITEREG, Code.READMEM, Code.WRITEMEM, Code.ACTION)
}


class ControlServer:
    """Receives commands and sends their acknowledges on one thread, `run`."""

    def __init__(
        self,
        address: str,
        device: Device,
        counters: Counters,
        *,
        link: Link,
        knobs: Callable[[], FaultKnobs],
    ) -> None:
        self._device = device
        self._executor = CommandExecutor(device, counters)
        self._link = link
        self._knobs = knobs
        self._counters = counters
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        try:
            self._bind(address)
        except OSError as error:
            self.close()
            raise DeviceError(
                f"UDP port {GVCP_PORT} of {address} is not available: {error.strerror}; "
                "stop the other camera there, or give another address of this host "
                "(127.0.0.2, 127.0.0.3, ...)"
            ) from error

    def _bind(self, address: str) -> None:
        _, broadcast, interface = subnet_of(address)
        self._interface_index = socket.if_nametoindex(interface) if interface else 0
        self._control = self._open(address, shared=False)
        self._open(_LIMITED_BROADCAST, shared=True)
        if broadcast is not None and broadcast not in (address, _LIMITED_BROADCAST):
            try:
                self._open(broadcast, shared=True)
            except OSError:
                # Another program has it for itself. Applications use the limited broadcast
                # first, so the camera is found all the same.
                self._counters.add("broadcasts_unheard")

    def _open(self, address: str, *, shared: bool) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if shared:
                # Each camera on this host has a socket of its own for the broadcasts.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            sock.bind((address, GVCP_PORT))
        except OSError:
            sock.close()
            raise
        self._selector.register(sock, selectors.EVENT_READ, data=shared)
        return sock

    def run(self) -> None:
        """Serve until woken by `stop`."""
        while True:
            for key, _ in self._selector.select(_POLL_S):
                if key.fileobj is self._wake_reader:
                    return
                if isinstance(key.fileobj, socket.socket):
                    self._receive(key.fileobj, broadcast=key.data)
            self._device.poll()

    def stop(self) -> None:
        """End `run`, from another thread."""
        self._wake_writer.send(b"\0")

    def close(self) -> None:
        """Close every socket; `run` must have ended."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._wake_writer.close()
        self._selector.close()

    def _receive(self, sock: socket.socket, *, broadcast: bool) -> None:
        try:
            datagram, ancillary, _, peer = sock.recvmsg(_RECEIVE_BYTES, 256)
        except BlockingIOError:
            return
        if not self._link.up or (broadcast and not self._from_own_interface(ancillary)):
            return
        answer = self._executor.handle(datagram, (peer[0], peer[1]))
        if answer is None:
            return
        knobs = self._knobs()
        if knobs.ack_delay_ms:
            self._be_slow(answer, peer, round(knobs.ack_delay_ms))
        if knobs.mute_control:
            self._counters.add("gvcp_muted")
            return
        self._send(answer, peer)

    def _be_slow(self, answer: bytes, peer: tuple[str, int], delay_ms: int) -> None:
        """Wait, as a device that takes long over a command; say so where the application wants it."""
        _, code, _, request_id = struct.unpack_from(">HHHH", answer)
        pending_ms = self._device.pending_timeout_ms()
        if pending_ms is not None and pending_ms < delay_ms and code in _MAY_BE_PENDING:
            self._wait_ms(pending_ms)
            delay_ms -= pending_ms
            self._counters.add("pending_acks")
            # Twice the time: the announced one is to be the longest that it can take.
            self._send(pending_acknowledge(request_id, 2 * delay_ms), peer)
        self._wait_ms(delay_ms)

    def _wait_ms(self, milliseconds: int) -> None:
        select.select((self._wake_reader,), (), (), milliseconds / 1000)

    def _send(self, packet: bytes, peer: tuple[str, int]) -> None:
        if not self._link.up:
            self._counters.add("gvcp_muted")
            return
        try:
            self._control.sendto(packet, peer)
        except OSError:
            # The sender of a broadcast need not be reachable from the camera's address.
            self._counters.add("gvcp_unanswerable")

    def _from_own_interface(self, ancillary: list[tuple[int, int, bytes]]) -> bool:
        """A broadcast reaches the sockets of all interfaces; a camera hears only its own wire."""
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and self._interface_index:
                (index,) = struct.unpack_from("=i", data)
                return bool(index == self._interface_index)
        return True
