"""GVCP packets: what is accepted, what is malformed, and the layout of the answers."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import DataError
from line_sim.camera import gvcp
from line_sim.camera.gvcp import Code, Flag, Status


@given(st.binary(max_size=600))
def test_any_bytes_are_a_command_or_a_data_error(datagram: bytes) -> None:
    try:
        parsed = gvcp.parse_command(datagram)
    except DataError:
        return
    assert gvcp.command(parsed.code, parsed.request_id, parsed.payload, flags=parsed.flags) == datagram


@given(
    st.integers(0, 0x7FFF).map(lambda n: 2 * n),
    st.integers(1, 0xFFFF),
    st.binary(max_size=540),
    st.integers(0, 255),
)
def test_a_command_survives_the_wire(code: int, request_id: int, payload: bytes, flags: int) -> None:
    parsed = gvcp.parse_command(gvcp.command(code, request_id, payload, flags=flags))
    assert (parsed.code, parsed.request_id, parsed.payload, parsed.flags) == (
        code,
        request_id,
        payload,
        flags,
    )


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x42\x01\x00\x02\x00\x00\x00",  # a byte short of a header
        b"\x41\x01\x00\x02\x00\x00\x00\x01",  # wrong key
        b"\x42\x01\x00\x02\x00\x04\x00\x01",  # says four bytes, has none
        b"\x42\x01\x00\x02\x00\x00\x00\x01\x00",  # one byte too many
        b"\x42\x01\x00\x02\x00\x00\x00\x00",  # reserved request id
        b"\x42\x01\x00\x03\x00\x00\x00\x01",  # the code of an acknowledge
        b"\x42\x01\x00\x86\x02\x20\x00\x01" + bytes(544),  # longer than GVCP allows
    ],
)
def test_malformed_packets_are_data_errors(datagram: bytes) -> None:
    with pytest.raises(DataError):
        gvcp.parse_command(datagram)


@pytest.mark.parametrize("size", [0, 3, 5, 11, 13, 19, 21, 55, 57])
def test_wrong_payload_lengths_are_data_errors(size: int) -> None:
    payload = bytes(size)
    command = gvcp.Command(code=Code.PACKETRESEND, flags=0, request_id=1, payload=payload)
    for read in (gvcp.readreg_addresses, gvcp.writereg_pairs, gvcp.readmem_range, gvcp.force_ip):
        with pytest.raises(DataError):
            read(payload)
    with pytest.raises(DataError):
        gvcp.resend_request(command)
    if size < 8:
        with pytest.raises(DataError):
            gvcp.writemem_data(payload)


def test_an_acknowledge_has_the_next_code_and_the_same_id() -> None:
    answer = gvcp.acknowledge(Code.READREG, 7, b"\0\0\0\1")
    assert answer == struct.pack(">HHHH", 0, 0x0081, 4, 7) + b"\0\0\0\1"
    refused = gvcp.acknowledge(Code.READMEM, 9, status=Status.INVALID_ADDRESS)
    assert refused == struct.pack(">HHHH", 0x8003, 0x0085, 0, 9)


def test_resend_requests_in_both_id_modes() -> None:
    standard = gvcp.Command(
        code=Code.PACKETRESEND, flags=0, request_id=1, payload=struct.pack(">HHII", 0, 5, 2, 9)
    )
    assert gvcp.resend_request(standard) == gvcp.ResendRequest(0, 5, 2, 9)
    extended = gvcp.Command(
        code=Code.PACKETRESEND,
        flags=Flag.EXTENDED_ID,
        request_id=1,
        payload=struct.pack(">HHIIQ", 0, 0, 2, 9, 1 << 40),
    )
    assert gvcp.resend_request(extended).block_id == 1 << 40
    backwards = gvcp.Command(
        code=Code.PACKETRESEND, flags=0, request_id=1, payload=struct.pack(">HHII", 0, 5, 9, 2)
    )
    with pytest.raises(DataError):
        gvcp.resend_request(backwards)
