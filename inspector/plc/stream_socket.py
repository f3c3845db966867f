"""The broker's socket as paho sees it: read in large pieces, and shared with who publishes.

paho reads a packet by three system calls or more and writes each by one. Here one call reads whatever
has come, up to `READ_AT_MOST`, and one writes any number of packets. Not thread-safe; the connection's
lock is around it.
"""

import socket
import ssl

from inspector.plc.packet_stream import PacketStream, Publication

READ_AT_MOST = 65_536  # in one turn, so that a storm holds up neither the keepalive nor who publishes


class StreamSocket:
    """See the module. What paho calls of a socket, and the rest for us."""

    def __init__(self, wire: socket.socket, *, five: bool) -> None:
        self.wire = wire
        self._stream = PacketStream(five=five)
        self._ended: OSError | None = None
        self._eof = False
        self._unsent = b""  # our packets that the kernel had no room for
        self._within = False  # paho has a packet on its way that must be whole before another begins

    # -- for us ----------------------------------------------------------------------------------

    def fill(self) -> None:
        """Read what has come. An end or an error is told to paho by its next `recv`."""
        left = READ_AT_MOST
        while left > 0 and not self._eof and self._ended is None:
            try:
                data = self.wire.recv(left)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self._ended = error
                return
            self._eof = not data
            self._stream.feed(data)
            if not self.pending and len(data) < left:
                return
            left -= len(data)

    @property
    def for_paho(self) -> bool:
        """Whether paho has something to read: packets, or that the connection has ended."""
        return bool(self._stream.others) or self._eof or self._ended is not None

    @property
    def pending(self) -> bool:
        """Whether TLS has read more than it has given, which `poll` does not see."""
        return isinstance(self.wire, ssl.SSLSocket) and self.wire.pending() > 0

    @property
    def unsent(self) -> bool:
        """Whether packets of ours wait for room in the kernel."""
        return bool(self._unsent)

    @property
    def ended(self) -> bool:
        """Whether the connection is known to be dead."""
        return self._eof or self._ended is not None

    def publications(self) -> list[Publication]:
        """Return what was published to us since the last call, in order."""
        taken, self._stream.publications = self._stream.publications, []
        return taken

    def answers(self) -> list[tuple[int, int]]:
        """Return what the broker acknowledged since the last call: packet identifier and reason code."""
        taken, self._stream.answers = self._stream.answers, []
        return taken

    def acknowledge(self, mids: list[int]) -> None:
        """Send a PUBACK for each, in one go."""
        self.write(b"".join([b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids]))

    def write(self, packets: bytes) -> None:
        """Send whole packets, now or as soon as there is room."""
        self._unsent += packets
        self.flush()

    def flush(self) -> None:
        """Send what is unsent, as far as there is room. A dead connection is found by who reads."""
        try:
            while self._unsent and not self._within:
                self._unsent = self._unsent[self.wire.send(self._unsent) :]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._ended = self._ended or error
            self._unsent = b""

    # -- for paho --------------------------------------------------------------------------------

    def recv(self, buffer_size: int) -> bytes:
        others = self._stream.others
        if not others:
            self.fill()
        if others:
            data = bytes(others[:buffer_size])
            del others[:buffer_size]
            return data
        if self._ended is not None:
            raise self._ended
        if self._eof:
            return b""
        raise BlockingIOError

    def send(self, buffer: bytes | bytearray) -> int:
        self.flush()
        if self._unsent and not self._within:
            raise BlockingIOError  # a packet must not begin within another one
        # When this raises for want of room, TLS has kept the packet, and the next bytes must be the same.
        self._within = True
        sent = self.wire.send(buffer)
        self._within = sent < len(buffer)
        return sent

    def fileno(self) -> int:
        return self.wire.fileno()

    def setblocking(self, flag: bool) -> None:
        self.wire.setblocking(flag)

    def close(self) -> None:
        self.wire.close()
