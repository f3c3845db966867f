"""What a broker sends, cut into packets; PUBLISH and PUBACK are read here, the rest is for paho. Pure.

A sensor may speak thousands of times a second, and paho takes a packet a turn, byte by byte and with
an object for its properties: half of what a reading cost. The few fields that we need are read here in
1 us (MQTT 5.0 and 3.1.1, sections 2.1 and 3.3). Properties of a PUBLISH are skipped: we use none of them,
and a topic alias is not allowed to a broker whom we gave no Topic Alias Maximum.
"""

import msgspec

MAX_PACKET_BYTES = 70_000  # a Sparkplug birth of 65,536 bytes and its header
_PUBLISH = 3
_PUBACK = 0x40
_KNOWN_TOPICS = 256


class Publication(msgspec.Struct, frozen=True):
    """One PUBLISH. `mid` is its packet identifier, None at QoS 0."""

    topic: str
    payload: bytes
    retained: bool
    mid: int | None


class PacketStream:
    """Takes bytes as they come. The owner empties `publications`, `answers` and `others` (whole packets).

    `answers` are the packet identifiers and reason codes of PUBACKs. What is not one of these and no
    well-formed PUBLISH of QoS 0 or 1 goes to `others`, so that the library judges it. Of a
    PUBLISH larger than `MAX_PACKET_BYTES` (a broker of MQTT 3.1.1 cannot be told the bound) that much is
    kept, enough to refuse it for its size. One thread.
    """

    def __init__(self, *, five: bool) -> None:
        self._five = five
        self._begun = b""  # a packet whose end has not come
        self._skip = 0  # bytes that are still to come of one that was too large
        self._names: dict[bytes, str] = {}
        self.publications: list[Publication] = []
        self.answers: list[tuple[int, int]] = []
        self.others = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._begun:
            data = self._begun + data
        start, end = 0, len(data)
        while end - start >= 2:
            length, body = _variable(data, start + 1, end)
            if length is None:
                break
            stop = body + length
            publish = data[start] >> 4 == _PUBLISH
            if length < 0:  # no length at all: the library ends the connection over it
                stop, publish = end, False
            if stop > end:
                if not publish or end - start < MAX_PACKET_BYTES:
                    break
                self._skip = stop - end
                stop = end
            if data[start] == _PUBACK and length >= 2:
                reason = data[body + 2] if length > 2 else 0
                self.answers.append((data[body] << 8 | data[body + 1], reason))
            elif not (publish and self._take(data, start, body, stop)):
                self.others += data[start:stop]
            start = stop
        self._begun = data[start:]

    def _take(self, data: bytes, start: int, body: int, stop: int) -> bool:
        """Read one PUBLISH; False when that is not for us to do."""
        flags = data[start]
        qos = flags >> 1 & 3
        at = body + 2
        if qos > 1 or at > stop:
            return False
        name_at, at = at, at + (data[body] << 8 | data[body + 1])
        name = data[name_at:at]
        mid = None
        if qos:
            if at + 2 > stop:
                return False
            mid = data[at] << 8 | data[at + 1]
            at += 2
        if self._five:
            length, at = _variable(data, at, stop)
            if length is None or length < 0:
                return False
            at += length
        if at > stop or not name:
            return False
        self.publications.append(Publication(self._text(name), data[at:stop], bool(flags & 1), mid))
        return True

    def _text(self, name: bytes) -> str:
        text = self._names.get(name)
        if text is None:
            text = name.decode("utf-8", errors="replace")
            if len(self._names) < _KNOWN_TOPICS:
                self._names[name] = text
        return text


def _variable(data: bytes, at: int, end: int) -> tuple[int | None, int]:
    """Read a Variable Byte Integer (1.5.5): its value and what follows. None: cut off; -1: it is none."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift == 28:
            return -1, at
    return None, at
