"""What the camera sends in every pixel format and mode, dissected by tshark: nothing malformed.

The number of packets is small here; CAMERA_CAPTURE_PACKETS=50000 captures more.
"""

import contextlib
import itertools
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from line_sim.camera import FaultKnobs, PatternSource, PixelFormat, VirtualCamera, VirtualCameraConfig, gvcp
from line_sim.camera.event import Event
from line_sim.camera.feature_list import feature_table
from line_sim.camera.gvcp import Code, Flag

PACKETS = int(os.environ.get("CAMERA_CAPTURE_PACKETS", "2000"))
CCP, MCP, MCDA, SCP, SCDA = 0xA00, 0xB00, 0xB10, 0xD00, 0xD18
CONFIGURATION, PENDING_TIMEOUT, GVSP, GROUP_MASK = 0x954, 0x958, 0x960, 0x9804
LOCALHOST = 0x7F000001
_MODES = list(itertools.product(PixelFormat, (0, 1), (0, 1)))


@contextlib.contextmanager
def captured(address: str, file: Path) -> Iterator[None]:
    binary = shutil.which("tshark")
    if binary is None:
        pytest.skip("needs tshark: apt install tshark")
    command = (binary, "-q", "-i", "lo", "-B", "64", "-f", f"host {address}", "-w", str(file))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as recorder:
        assert recorder.stderr is not None
        # tshark says this when its capturing child is ready; without the right it ends instead.
        started = any("Capturing on" in line for line in recorder.stderr)
        deadline = time.monotonic() + 10
        while started and not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            if not file.exists():
                pytest.skip("needs the right to capture on lo")
            yield
        finally:
            recorder.terminate()
            recorder.communicate(timeout=30)


class Session:
    """Drives the camera through its modes and takes what it sends."""

    def __init__(self, camera: VirtualCamera) -> None:
        self.camera = camera
        self.names = {register.name: register for register in feature_table(camera.config).registers}
        self.control, self.stream, self.messages = (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)
        )
        for sock in (self.control, self.stream, self.messages):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(30.0)
        self.ids = itertools.count(1)
        self.received = 0
        self.acknowledging = threading.Thread(target=self._acknowledge, daemon=True)
        self.acknowledging.start()

    def _acknowledge(self) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                event, peer = self.messages.recvfrom(1024)
                if event == b"end":
                    return
                code, _, request_id = struct.unpack_from(">HHH", event, 2)
                self.messages.sendto(struct.pack(">HHHH", 0, code + 1, 0, request_id), peer)

    def close(self) -> None:
        self.messages.sendto(b"end", self.messages.getsockname())
        self.acknowledging.join()
        for sock in (self.control, self.stream, self.messages):
            sock.close()

    def ask(self, code: int, payload: bytes, flags: int = Flag.ACK_REQUIRED) -> None:
        address = (self.camera.config.address, gvcp.GVCP_PORT)
        self.control.sendto(gvcp.command(code, next(self.ids), payload, flags=flags), address)
        while struct.unpack_from(">H", self.control.recv(1024), 2)[0] != code + 1:
            continue

    def write(self, address: int, value: int) -> None:
        self.ask(Code.WRITEREG, struct.pack(">II", address, value))

    def set(self, name: str, value: float) -> None:
        register = self.names[name]
        data = struct.pack(">d", value) if register.length == 8 else struct.pack(">I", int(value))
        self.ask(Code.WRITEMEM, struct.pack(">I", register.address) + data)

    def open(self) -> None:
        for address, value in (
            (CCP, 2),
            (SCDA, LOCALHOST),
            (SCP, self.stream.getsockname()[1]),
            (MCDA, LOCALHOST),
            (MCP, self.messages.getsockname()[1]),
            (CONFIGURATION, 2),
            (PENDING_TIMEOUT, 5),
            (GROUP_MASK, 1),
        ):
            self.write(address, value)
        self.set("AcquisitionFrameRate", 500.0)
        for event in Event:
            self.set("EventSelector", event.selector)
            self.set("EventNotification", 1)

    def run(self, mode: tuple[PixelFormat, int, int], packets: int) -> None:
        """Stream in one mode, with a resend, an action, a slow answer and a line edge."""
        pixel_format, chunks, extended = mode
        self.set("PixelFormat", pixel_format.code)
        self.set("ChunkModeActive", chunks)
        self.write(GVSP, extended << 30)
        self.set("AcquisitionStart", 1)
        packet = b""
        for _ in range(packets):
            packet = self.stream.recv(65535)
        self.received += packets
        (block_id,) = struct.unpack_from(">Q" if extended else ">H", packet, 8 if extended else 2)
        layout = (">HHIIQ", 0, 0, 1, 2, block_id) if extended else (">HHII", 0, block_id, 1, 2)
        resend = gvcp.command(
            Code.PACKETRESEND, next(self.ids), struct.pack(*layout), flags=Flag.EXTENDED_ID if extended else 0
        )
        self.control.sendto(resend, (self.camera.config.address, gvcp.GVCP_PORT))
        self.ask(Code.ACTION, struct.pack(">III", 0, 0, 1))
        self.ask(Code.DISCOVERY, b"")
        self.camera.pulse_line("Line0")
        self.camera.set_faults(FaultKnobs(ack_delay_ms=15.0))
        self.set("AcquisitionStop", 1)
        self.camera.set_faults(FaultKnobs())


@pytest.mark.timeout(120 + PACKETS // 100)
def test_tshark_finds_nothing_malformed_in_any_mode(tmp_path: Path) -> None:
    pid, file = os.getpid(), tmp_path / "modes.pcapng"
    config = VirtualCameraConfig(
        address=f"127.{210 + pid % 20}.{pid // 20 % 250 + 1}.66", width=64, height=64, packet_size=576
    )
    with VirtualCamera(config, PatternSource()) as camera:
        session = Session(camera)
        with captured(config.address, file):
            session.open()
            for mode in _MODES:
                session.run(mode, -(-PACKETS * 11 // (10 * len(_MODES))))  # a capture may miss some
        ports = (session.stream.getsockname()[1], session.messages.getsockname()[1])
        seen = camera.statistics
        session.close()
    decode = ("-d", f"udp.port=={ports[0]},gvsp", "-d", f"udp.port=={ports[1]},gvcp")
    read = ("tshark", "-r", str(file), *decode)
    tree = subprocess.run((*read, "-q", "-z", "io,phs"), capture_output=True, text=True, check=True).stdout
    stream = int(re.findall(r"gvsp +frames:(\d+)", tree)[0])
    control = int(re.findall(r"gvcp +frames:(\d+)", tree)[0])
    print(f"{stream} GVSP and {control} GVCP packets")
    assert stream >= PACKETS
    assert control > 10 * len(_MODES)
    wrong = "_ws.malformed or _ws.expert.severity >= 0x800000 or (udp and not gvsp and not gvcp and not icmp)"
    bad = subprocess.run((*read, "-Y", wrong), capture_output=True, text=True, check=True).stdout
    assert bad == ""
    assert seen.pending_acks > 0
    assert seen.events_sent > 0
    assert seen.packets_resent > 0
