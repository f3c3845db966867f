"""The control channel on the network: UDP port 3956 of the camera's address, and the broadcasts."""

import selectors
import socket
import struct
from collections.abc import Callable

from inspector.errors import DeviceError
from line_sim.camera.execute import CommandExecutor
from line_sim.camera.gvcp import GVCP_PORT
from line_sim.camera.memory import subnet_of
from line_sim.camera.statistics import Counters

_IP_PKTINFO = 8  # of <linux/in.h>; Python 3.11 does not name it
_LIMITED_BROADCAST = "255.255.255.255"
_HEARTBEAT_CHECK_S = 0.1
_RECEIVE_BYTES = 65535


class ControlServer:
    """Receives commands and sends their acknowledges on one thread, `run`."""

    def __init__(
        self,
        address: str,
        executor: CommandExecutor,
        check_heartbeat: Callable[[], None],
        counters: Counters,
    ) -> None:
        self._executor = executor
        self._check_heartbeat = check_heartbeat
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
            for key, _ in self._selector.select(_HEARTBEAT_CHECK_S):
                if key.fileobj is self._wake_reader:
                    return
                if isinstance(key.fileobj, socket.socket):
                    self._receive(key.fileobj, broadcast=key.data)
            self._check_heartbeat()

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
        if broadcast and not self._from_own_interface(ancillary):
            return
        answer = self._executor.handle(datagram, (peer[0], peer[1]))
        if answer is None:
            return
        try:
            self._control.sendto(answer, peer)
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
