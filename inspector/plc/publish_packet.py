"""A PUBLISH as bytes (MQTT 5.0 and 3.1.1, section 3.3). Pure.

The emergency's way out: paho takes 12 us to build and queue one, this 2 us.
"""

import functools

_HEAD = 0x30
_QOS_1 = 0x02
_RETAIN = 0x01
_EXPIRY = b"\x05\x02"  # five bytes of properties; Message Expiry Interval


def publish_packet(
    topic: str, payload: bytes, *, mid: int, retain: bool, expiry_s: int | None, five: bool
) -> bytes:
    """Return the packet; `mid` 0 is QoS 0. `expiry_s` is for MQTT 5 alone."""
    body = _name(topic)
    if mid:
        body += mid.to_bytes(2, "big")
    if five:
        body += b"\x00" if expiry_s is None else _EXPIRY + expiry_s.to_bytes(4, "big")
    flags = _HEAD | (_QOS_1 if mid else 0) | (_RETAIN if retain else 0)
    return bytes((flags,)) + variable(len(body) + len(payload)) + body + payload


def variable(value: int) -> bytes:
    """Return a Variable Byte Integer (1.5.5)."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


@functools.lru_cache(maxsize=64)
def _name(topic: str) -> bytes:
    name = topic.encode()
    return len(name).to_bytes(2, "big") + name
