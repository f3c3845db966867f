"""GVSP blocks, their way onto the wire, and what the fault knobs take away."""

import socket
import struct
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import ConfigError
from line_sim.camera import FaultKnobs, VirtualCameraConfig
from line_sim.camera.faults import FaultInjector
from line_sim.camera.gvcp import ResendRequest
from line_sim.camera.gvsp import Block, ImageGeometry, block_id_of, image_block, path_test_packet
from line_sim.camera.settings import StreamSettings
from line_sim.camera.statistics import Counters
from line_sim.camera.stream import Stream
from line_sim.camera.transmit import SendmmsgTransmitter, SendmsgTransmitter, Transmitter

GEOMETRY = ImageGeometry(pixel_format_code=0x01080001, width=64, height=50, offset_x=4, offset_y=8)


def block_of(payload: bytes, packet_size: int = 576, block_id: int = 7) -> Block:
    return image_block(block_id, np.frombuffer(payload, dtype=np.uint8), GEOMETRY, 123456789012, packet_size)


@given(st.binary(min_size=1, max_size=5000), st.integers(144, 400).map(lambda n: 4 * n))
def test_the_payload_comes_back_from_its_packets(payload: bytes, packet_size: int) -> None:
    block = block_of(payload, packet_size)
    datagrams = [block.headers[n].tobytes() + block.body(n).tobytes() for n in range(block.packet_count)]
    assert max(map(len, datagrams)) <= packet_size - 28
    for packet_id, datagram in enumerate(datagrams):
        status, block_id, packed = struct.unpack_from(">HHI", datagram)
        assert (status, block_id, packed & 0xFFFFFF) == (0, 7, packet_id)
        expected = {0: 1, len(datagrams) - 1: 2}.get(packet_id, 3)
        assert packed >> 24 == expected
    assert b"".join(datagram[8:] for datagram in datagrams[1:-1]) == payload


def test_leader_and_trailer_say_what_the_image_is() -> None:
    block = block_of(bytes(3200))
    assert struct.unpack(">HHQIIIIIHH", block.leader.tobytes()) == (
        *(0, 1, 123456789012, 0x01080001),
        *(64, 50, 4, 8, 0, 0),
    )
    assert struct.unpack(">HHI", block.trailer.tobytes()) == (0, 1, 50)


def test_block_ids_leave_out_zero() -> None:
    assert [block_id_of(n) for n in (1, 2, 65535, 65536, 131070, 131071)] == [1, 2, 65535, 1, 65535, 1]


def test_a_test_packet_fills_its_size() -> None:
    assert len(path_test_packet(1500)) == 1472


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.settimeout(5.0)
        sock.bind(("127.0.0.1", 0))
        yield sock


def received(sock: socket.socket) -> list[bytes]:
    """Everything in the socket's buffer: on loopback it is there when the send returns."""
    sock.setblocking(False)
    datagrams: list[bytes] = []
    while True:
        try:
            datagrams.append(sock.recv(65535))
        except BlockingIOError:
            return datagrams


@pytest.mark.parametrize("make", [SendmmsgTransmitter, SendmsgTransmitter])
def test_both_transmitters_put_the_same_packets_on_the_wire(
    make: Callable[[socket.socket], Transmitter], receiver: socket.socket
) -> None:
    payload = np.random.default_rng(1).bytes(700_000)
    block = block_of(payload)  # more packets than one sendmmsg takes
    wanted = np.array([n for n in range(block.packet_count) if n % 3 != 1], dtype=np.int64)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        assert make(sender).send(block, wanted, receiver.getsockname()) == 0
        datagrams = received(receiver)
    assert datagrams == [block.headers[n].tobytes() + block.body(n).tobytes() for n in wanted.tolist()]


@pytest.mark.parametrize("make", [SendmmsgTransmitter, SendmsgTransmitter])
def test_packets_too_long_for_the_host_are_counted_and_the_rest_is_sent(
    make: Callable[[socket.socket], Transmitter], receiver: socket.socket
) -> None:
    block = image_block(1, np.zeros(80_000, dtype=np.uint8), GEOMETRY, 0, 80_000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        refused = make(sender).send(block, np.arange(block.packet_count), receiver.getsockname())
    assert refused == 1
    assert len(received(receiver)) == block.packet_count - 1


def stream_to(receiver: socket.socket, **config: object) -> tuple[Stream, StreamSettings, Counters]:
    counters = Counters()
    made = VirtualCameraConfig(link_mbit_per_s=None, **config)  # type: ignore[arg-type]
    host, port = receiver.getsockname()
    target = StreamSettings(
        address=host, host_port=port, packet_size=576, do_not_fragment=True, packet_delay_ns=0
    )
    return Stream(made, counters), target, counters


def test_lost_packets_are_sent_again_as_long_as_the_ring_has_them(receiver: socket.socket) -> None:
    stream, target, counters = stream_to(receiver, faults=FaultKnobs(loss=0.5, seed=3), resend_frames=16)
    block = block_of(bytes(range(256)) * 20, block_id=1)
    stream.send_block(block, target)
    first = received(receiver)
    assert 0 < len(first) < block.packet_count
    stream.set_faults(FaultKnobs())
    stream.resend(ResendRequest(0, 1, 0, 0xFFFFFF), target)
    assert received(receiver) == [
        block.headers[n].tobytes() + block.body(n).tobytes() for n in range(block.packet_count)
    ]
    for block_id in range(2, 18):
        stream.send_block(block_of(b"x", block_id=block_id), target)
    received(receiver)
    stream.resend(ResendRequest(0, 1, 2, 3), target)
    answers = received(receiver)
    assert [struct.unpack(">HHI", each)[0] for each in answers] == [0x800C, 0x800C]
    stream.close()
    seen = counters.snapshot()
    assert seen.packets_lost == block.packet_count - len(first)
    assert (seen.resend_requests, seen.packets_unavailable) == (2, 2)
    assert seen.packets_resent == block.packet_count


def test_a_stream_without_a_receiver_sends_nothing(receiver: socket.socket) -> None:
    stream, target, counters = stream_to(receiver)
    nobody = StreamSettings(
        address=target.address, host_port=0, packet_size=576, do_not_fragment=True, packet_delay_ns=0
    )
    stream.send_block(block_of(b"x"), nobody)
    stream.send_test_packet(nobody)
    stream.close()
    assert received(receiver) == []
    assert counters.snapshot().frames_sent == 0


@given(st.floats(0, 1), st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_losses(loss: float, seed: int) -> None:
    packets = np.arange(200)
    one, two = (FaultInjector(FaultKnobs(loss=loss, drop_frames=loss, seed=seed)) for _ in range(2))
    assert one.drops_frame() == two.drops_frame()
    assert one.surviving(packets).tolist() == two.surviving(packets).tolist()


@pytest.mark.parametrize("loss", [-0.1, 1.1, float("nan")])
def test_knobs_are_probabilities(loss: float) -> None:
    with pytest.raises(ConfigError, match="loss"):
        FaultKnobs(loss=loss)
