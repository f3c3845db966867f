"""The broker's bytes cut into packets: what paho writes is what we read, in pieces of any size."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.plc.packet_stream import MAX_PACKET_BYTES, PacketStream, Publication
from inspector.plc.publish_packet import publish_packet
from inspector.plc.stream_socket import StreamSocket

PINGRESP = b"\xd0\x00"
SUBACK = b"\x90\x04\x00\x01\x00\x01"


def variable(value: int) -> bytes:
    """A Variable Byte Integer."""
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def publish(message: Publication, *, five: bool, properties: bytes = b"") -> bytes:
    """A PUBLISH after section 3.3 of the standard, QoS 1 where there is a packet identifier."""
    name = message.topic.encode()
    body = len(name).to_bytes(2, "big") + name
    if message.mid is not None:
        body += message.mid.to_bytes(2, "big")
    if five:
        body += variable(len(properties)) + properties
    body += message.payload
    flags = 0x30 | message.retained | (0 if message.mid is None else 2)
    return bytes([flags]) + variable(len(body)) + body


MESSAGES = st.builds(
    Publication,
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40),
    st.binary(max_size=300),
    st.booleans(),
    st.none() | st.integers(1, 65535),
)


@given(
    st.lists(st.one_of(MESSAGES, st.sampled_from([PINGRESP, SUBACK]))),
    st.booleans(),
    st.binary(max_size=200),
    st.lists(st.integers(1, 50), min_size=1),
)
def test_messages_come_out_whole_and_in_order_however_they_are_cut(
    packets: list[Publication | bytes], five: bool, properties: bytes, cuts: list[int]
) -> None:
    data = b"".join(
        each if isinstance(each, bytes) else publish(each, five=five, properties=properties)
        for each in packets
    )
    stream, at, turn = PacketStream(five=five), 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        stream.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert stream.publications == [each for each in packets if isinstance(each, Publication)]
    assert bytes(stream.others) == b"".join(each for each in packets if isinstance(each, bytes))


@given(MESSAGES, st.booleans(), st.none() | st.integers(1, 2**32 - 1))
def test_what_we_publish_is_what_is_read(message: Publication, five: bool, expiry_s: int | None) -> None:
    packet = publish_packet(
        message.topic,
        message.payload,
        mid=message.mid or 0,
        retain=message.retained,
        expiry_s=expiry_s,
        five=five,
    )
    expiry = b"" if expiry_s is None else b"\x02" + expiry_s.to_bytes(4, "big")
    assert packet == publish(message, five=five, properties=expiry)
    stream = PacketStream(five=five)
    stream.feed(packet)
    assert stream.publications == [message]


def test_the_brokers_answers_come_out_with_their_reasons() -> None:
    stream = PacketStream(five=True)
    stream.feed(b"\x40\x02\x80\x01" + b"\x40\x03\x80\x02\x10" + b"\x40\x04\x80\x03\x87\x00")
    assert stream.answers == [(0x8001, 0), (0x8002, 0x10), (0x8003, 0x87)]
    assert not stream.others


@given(st.binary(max_size=400), st.booleans())
def test_rubbish_is_never_more_than_rubbish(data: bytes, five: bool) -> None:
    stream = PacketStream(five=five)
    for n in range(0, len(data), 7):
        stream.feed(data[n : n + 7])
    assert sum(len(p.payload) for p in stream.publications) + len(stream.others) <= len(data)


def test_what_is_malformed_is_left_to_the_library() -> None:
    stream = PacketStream(five=True)
    cut_topic = b"\x30\x04\x00\x09ab"  # a topic of 9 bytes in 4
    no_length = b"\x30\xff\xff\xff\xff\x01"
    qos_3 = b"\x36\x05\x00\x01a\x00\x01"
    stream.feed(cut_topic + qos_3 + no_length)
    assert stream.publications == []
    assert bytes(stream.others) == cut_topic + qos_3 + no_length


def test_of_a_packet_that_is_too_large_the_head_is_kept_and_what_follows_it_is_read() -> None:
    stream = PacketStream(five=False)
    large = publish(Publication("t", b"x" * (3 * MAX_PACKET_BYTES), False, 7), five=False)
    small = Publication("t", b"y", False, 8)
    data = large + publish(small, five=False)
    for n in range(0, len(data), 4096):
        stream.feed(data[n : n + 4096])
        assert len(stream._begun) <= MAX_PACKET_BYTES
    first, second = stream.publications
    assert first.mid == 7
    assert len(first.payload) >= MAX_PACKET_BYTES - 10
    assert second == small


def test_acknowledgements_go_out_in_one_piece_and_none_is_lost_when_the_kernel_is_full() -> None:
    ours, brokers = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours.setblocking(False)
    brokers.setblocking(False)
    stream = StreamSocket(ours, five=True)
    mids = [n % 65535 + 1 for n in range(20_000)]
    stream.acknowledge(mids)
    assert stream.unsent
    came = b""
    while stream.unsent or len(came) < 4 * len(mids):
        came += brokers.recv(1 << 20)
        stream.flush()
    assert came == b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids)
    stream.close()
    brokers.close()


def test_a_broker_that_hangs_up_is_told_after_what_it_said_before() -> None:
    ours, brokers = socket.socketpair()
    ours.setblocking(False)
    stream = StreamSocket(ours, five=True)
    message = Publication("t", b"{}", False, 1)
    brokers.sendall(publish(message, five=True) + PINGRESP)
    brokers.close()
    stream.fill()
    assert stream.publications() == [message]
    assert stream.recv(10) == PINGRESP
    assert stream.recv(10) == b""
    stream.close()


def test_our_packets_wait_for_the_end_of_one_of_pahos_and_paho_for_ours() -> None:
    ours, brokers = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours.setblocking(False)
    brokers.setblocking(False)
    stream = StreamSocket(ours, five=True)
    pahos = bytes(1_000_000)
    sent = stream.send(pahos)
    assert sent < len(pahos)
    stream.write(b"ours")
    came = b""
    while len(came) < len(pahos) + 4:
        came += brokers.recv(1 << 20)
        if sent < len(pahos):
            sent += stream.send(pahos[sent:])
        else:
            stream.flush()
    assert came == pahos + b"ours"
    stream.write(bytes(1_000_000))
    with pytest.raises(BlockingIOError):
        stream.send(b"pahos")
    stream.close()
    brokers.close()
