"""Broken GVCP packets over the socket to a running camera: it neither crashes nor hangs.

The number of packets is small here; CAMERA_FUZZ_PACKETS=100000 sends more.
"""

import contextlib
import os
import random
import socket
import struct
import time

import pytest

from line_sim.camera import PatternSource, VirtualCamera, VirtualCameraConfig, gvcp
from line_sim.camera.feature_list import feature_table
from line_sim.camera.gvcp import Code

PACKETS = int(os.environ.get("CAMERA_FUZZ_PACKETS", "5000"))
CCP, SCP, SCDA = 0xA00, 0xD00, 0xD18
_PAUSE_EVERY = 200
_FLAGS = (0, 1, 0x10, 0x11, 0x80, 0x81, 0xFF)


def seeds(config: VirtualCameraConfig) -> list[bytes]:
    """Valid commands of every kind, at every register."""
    addresses = [register.address for register in feature_table(config).registers]
    addresses += [0x0, 0x24, 0x48, 0xE8, 0x200, 0x90C, 0x938, 0x944, 0x954, 0x958, 0x960, 0xA00]
    addresses += [0xB00, 0xB10, 0xB14, 0xB18, 0xD04, 0xD08, 0xD24, 0x9800, 0x9804, 0x100000]
    packets = [(Code.DISCOVERY, b""), (Code.ACTION, bytes(12)), (Code.ACTION, bytes(20))]
    packets += [(Code.FORCEIP, b"\0\0" + config.mac_bytes + bytes(48))]
    packets += [(Code.PACKETRESEND, struct.pack(">HHII", 0, 1, 0, 99))]
    packets += [(Code.PACKETRESEND, struct.pack(">HHIIQ", 0, 0, 0, 99, 1))]
    for address in addresses:
        word = struct.pack(">I", address)
        packets += [(Code.READREG, word), (Code.WRITEREG, word + b"\0\0\0\1")]
        packets += [(Code.READMEM, word + b"\0\0\0\x20"), (Code.WRITEMEM, word + bytes(8))]
    return [gvcp.command(code, 1 + n % 65535, payload) for n, (code, payload) in enumerate(packets)]


def mutated(packet: bytes, chance: random.Random) -> bytes:
    """Change bytes, lengths or ids; half of them keep a header that the parser accepts."""
    body = bytearray(packet)
    for _ in range(chance.randint(0, 4)):
        if body:
            body[chance.randrange(len(body))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    kind = chance.random()
    if kind < 0.15:
        body = body[: chance.randint(0, len(body))]
    elif kind < 0.3:
        body += chance.randbytes(chance.randint(1, 600))
    elif kind < 0.35:
        body = bytearray(chance.randbytes(chance.randint(0, 80)))
    if len(body) >= 8 and chance.random() < 0.5:
        body[0], body[1] = 0x42, chance.choice(_FLAGS)
        body[4:6] = struct.pack(">H", len(body) - 8)
        body[6:8] = struct.pack(">H", chance.randint(1, 0xFFFF))
    return bytes(body)


class Fuzzer:
    """Holds control, so that writes get through."""

    def __init__(self, config: VirtualCameraConfig) -> None:
        self.camera = (config.address, gvcp.GVCP_PORT)
        self.control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.control.bind(("127.0.0.1", 0))
        self.stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stream.bind(("127.0.0.1", 0))
        self.stream.settimeout(5.0)
        self.request_id = 0

    def close(self) -> None:
        self.control.close()
        self.stream.close()

    def ask(self, code: int, payload: bytes) -> bool:
        """Whether the camera answers this very request within 5 s."""
        self.request_id = self.request_id % 0xFFFF + 1
        packet = gvcp.command(code, self.request_id, payload)
        deadline = time.monotonic() + 5
        self.control.sendto(packet, self.camera)
        self.control.settimeout(0.5)
        while time.monotonic() < deadline:
            try:
                answer = self.control.recv(2048)
            except TimeoutError:
                self.control.sendto(packet, self.camera)
                continue
            if struct.unpack_from(">HH", answer, 4)[1] == self.request_id and len(answer) >= 8:
                return True
        return False

    def settle(self) -> None:
        """Wait until all is answered: an answer to a fuzzed packet may have any request id."""
        self.control.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while True:
                self.control.recv(2048)

    def write(self, address: int, value: int) -> bool:
        return self.ask(Code.WRITEREG, struct.pack(">II", address, value))

    def aim(self) -> None:
        """Take control again and point the stream here: the fuzz may have moved it anywhere."""
        assert self.write(CCP, 2)
        assert self.write(SCDA, 0x7F000001)
        assert self.write(SCP, self.stream.getsockname()[1])


@pytest.mark.timeout(60 + PACKETS // 200)
def test_fuzzed_commands_neither_stop_the_camera_nor_its_stream() -> None:
    pid = os.getpid()
    config = VirtualCameraConfig(
        address=f"127.{230 + pid % 20}.{pid // 20 % 250 + 1}.77", width=64, height=32, frame_rate_hz=500.0
    )
    names = {register.name: register.address for register in feature_table(config).registers}
    chance = random.Random(20261122)
    corpus = seeds(config)
    fuzzer = Fuzzer(config)
    with VirtualCamera(config, PatternSource()) as camera:
        for number in range(PACKETS):
            fuzzer.control.sendto(mutated(chance.choice(corpus), chance), fuzzer.camera)
            if number % _PAUSE_EVERY == 0:
                assert fuzzer.ask(Code.DISCOVERY, b""), f"no answer after {number} packets"
                assert camera.alive, f"a thread died within the first {number} packets"
                fuzzer.aim()
        fuzzer.settle()
        fuzzer.aim()
        # DeviceReset gives the settings of power-up, from which the stream must go on.
        assert fuzzer.write(names["DeviceReset"], 1)
        fuzzer.aim()
        before = camera.statistics.frames_sent
        assert fuzzer.write(names["AcquisitionStart"], 1)
        while fuzzer.stream.recv(65535)[4] != 2:
            continue
        deadline = time.monotonic() + 5
        while camera.statistics.frames_sent < before + 10 and time.monotonic() < deadline:
            fuzzer.stream.recv(65535)
        assert camera.statistics.frames_sent >= before + 10
        seen = camera.statistics
    fuzzer.close()
    assert seen.gvcp_commands > PACKETS // 10
    assert seen.gvcp_malformed > PACKETS // 10
    print(f"{PACKETS} packets: {seen.gvcp_commands} commands, {seen.gvcp_malformed} malformed")
