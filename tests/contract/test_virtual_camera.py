"""The virtual camera over real sockets, seen by a small GigE Vision application of our own."""

import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from inspector.errors import DataError, DeviceError
from line_sim.camera import (
    FaultKnobs,
    FrameRequest,
    PatternSource,
    VirtualCamera,
    VirtualCameraConfig,
    gvcp,
)
from line_sim.camera.feature_list import feature_table
from line_sim.camera.gvcp import Code, Status
from line_sim.camera.source import Image

WIDTH, HEIGHT = 128, 64
CCP, HEARTBEAT, SCP_PORT, SCPS, SCDA = 0xA00, 0x938, 0xD00, 0xD04, 0xD18
_hosts = itertools.count(1)


def free_address() -> str:
    """An address of 127/8 for this process and this camera alone."""
    pid = os.getpid()
    return f"127.{100 + pid % 97}.{pid // 97 % 251 + 1}.{next(_hosts)}"


@dataclass
class Received:
    block_id: int
    ticks: int
    width: int
    height: int
    pixels: bytes
    missing: list[int]


class Application:
    """Control and stream sockets of a receiver, with the features' addresses known."""

    def __init__(self, camera: VirtualCamera) -> None:
        self.address = (camera.config.address, gvcp.GVCP_PORT)
        self.features = {register.name: register for register in feature_table(camera.config).registers}
        self.control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.control.bind(("127.0.0.1", 0))
        self.control.settimeout(5.0)
        self.stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.stream.bind(("127.0.0.1", 0))
        self.stream.settimeout(5.0)
        self.ids = itertools.count(1)

    def close(self) -> None:
        self.control.close()
        self.stream.close()

    def ask(self, code: int, payload: bytes) -> tuple[int, bytes]:
        self.control.sendto(gvcp.command(code, next(self.ids), payload), self.address)
        answer = self.control.recv(1024)
        return int(struct.unpack_from(">H", answer)[0]), answer[8:]

    def read(self, address: int) -> int:
        status, data = self.ask(Code.READREG, struct.pack(">I", address))
        assert status == Status.SUCCESS
        return int(struct.unpack(">I", data)[0])

    def write(self, address: int, value: int) -> int:
        return self.ask(Code.WRITEREG, struct.pack(">II", address, value))[0]

    def set(self, feature: str, value: float) -> None:
        register = self.features[feature]
        data = struct.pack(">d", value) if register.length == 8 else struct.pack(">I", int(value))
        assert self.ask(Code.WRITEMEM, struct.pack(">I", register.address) + data)[0] == Status.SUCCESS

    def open(self, **features: float) -> None:
        """Take control, point the stream here, set features."""
        assert self.write(CCP, 2) == Status.SUCCESS
        self.write(SCDA, 0x7F000001)
        self.write(SCP_PORT, self.stream.getsockname()[1])
        for name, value in features.items():
            self.set(name, value)

    def block(self) -> Received:
        """Receive packets up to the next trailer."""
        parts: dict[int, bytes] = {}
        leader = b""
        while True:
            packet = self.stream.recv(65535)
            status, block_id, packed = struct.unpack_from(">HHI", packet)
            assert status == 0
            kind, packet_id = packed >> 24, packed & 0xFFFFFF
            if kind == 1:
                leader = packet[8:]
            elif kind == 3:
                parts[packet_id] = packet[8:]
            elif kind == 2:
                break
        _, _, ticks, _, width, height = struct.unpack_from(">HHQIII", leader)
        missing = [n for n in range(1, packet_id) if n not in parts]
        pixels = b"".join(parts[n] for n in sorted(parts))
        return Received(block_id, ticks, width, height, pixels, missing)


class SubjectSource:
    """Paints what it was asked for, and remembers the requests."""

    def __init__(self) -> None:
        self.requests: list[FrameRequest] = []

    def frame(self, request: FrameRequest) -> Image:
        self.requests.append(request)
        if request.subject == "no picture":
            raise DataError("there is no picture")
        level = request.subject if isinstance(request.subject, int) else 0
        return np.full((request.height, request.width), level, dtype=np.uint8)


Start = Callable[..., tuple[VirtualCamera, Application]]


@pytest.fixture
def source() -> SubjectSource:
    return SubjectSource()


@pytest.fixture
def start(source: SubjectSource) -> Iterator[Start]:
    running: list[tuple[VirtualCamera, Application]] = []

    def made(**config: object) -> tuple[VirtualCamera, Application]:
        keys: dict[str, object] = {"address": free_address(), "width": WIDTH, "height": HEIGHT} | config
        camera = VirtualCamera(VirtualCameraConfig(**keys), source)  # type: ignore[arg-type]
        camera.start()
        running.append((camera, Application(camera)))
        return running[-1]

    before = threading.active_count()
    yield made
    for camera, application in running:
        camera.stop()
        application.close()
    assert threading.active_count() == before


def test_a_line_trigger_takes_its_part_to_the_source_and_its_time_to_the_stream(
    start: Start, source: SubjectSource
) -> None:
    camera, app = start()
    app.open(TriggerMode=1, TriggerSource=2, AcquisitionStart=1)
    at_ns = camera.clock.now_ns()
    assert camera.pulse_line("Line1", at_ns=at_ns, subject=77)
    block = app.block()
    assert (block.block_id, block.width, block.height, block.missing) == (1, WIDTH, HEIGHT, [])
    assert set(block.pixels) == {77}
    assert len(block.pixels) == WIDTH * HEIGHT
    assert block.ticks == camera.clock.ticks_at(at_ns)
    assert source.requests[0].exposure_start_ns == at_ns


@pytest.mark.parametrize("again", [False, True], ids=["at the start", "after a reboot"])
def test_a_command_that_comes_while_the_camera_still_starts_is_carried_out(
    start: Start, monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    """The control thread serves before the others run: what it acknowledges must come true."""
    config = VirtualCameraConfig(address=free_address(), width=WIDTH, height=HEIGHT)
    camera = start(address=config.address)[0] if again else VirtualCamera(config, PatternSource())
    app = Application(camera)
    start_thread = threading.Thread.start

    def start_slowly(thread: threading.Thread) -> None:
        start_thread(thread)
        if thread.name.endswith("control"):
            app.open(AcquisitionFrameRate=100.0, AcquisitionStart=1)

    monkeypatch.setattr(threading.Thread, "start", start_slowly)
    if again:
        camera.reboot(0.0)
    else:
        camera.start()
    assert app.block().block_id == 1
    camera.stop()
    app.close()


def test_pulses_count_only_when_armed(start: Start) -> None:
    camera, app = start()
    assert not camera.pulse_line("Line1")
    app.open(TriggerMode=1, TriggerSource=2, ExposureTime=50_000.0, AcquisitionStart=1)
    assert not camera.pulse_line("Line0")
    at_ns = camera.clock.now_ns()
    assert camera.pulse_line("Line1", at_ns=at_ns)
    assert not camera.pulse_line("Line1", at_ns=at_ns + 49_000_000), "during the exposure"
    assert camera.pulse_line("Line1", at_ns=at_ns + 50_000_000)
    assert [app.block().block_id for _ in range(2)] == [1, 2]
    seen = camera.statistics
    assert (seen.pulses, seen.pulses_ignored, seen.triggers_missed) == (5, 2, 1)


def test_a_trigger_delay_moves_the_exposure(start: Start, source: SubjectSource) -> None:
    camera, app = start()
    app.open(TriggerMode=1, TriggerSource=1, TriggerDelay=2000.0, AcquisitionStart=1)
    at_ns = camera.clock.now_ns()
    camera.pulse_line("Line0", at_ns=at_ns)
    app.block()
    assert source.requests[0].exposure_start_ns == at_ns + 2_000_000


def test_software_trigger_and_free_run_in_one_session(start: Start) -> None:
    _, app = start(frame_rate_hz=200.0)
    app.open(TriggerMode=1, TriggerSource=0, AcquisitionStart=1)
    app.set("TriggerSoftware", 1)
    assert app.block().block_id == 1
    app.set("TriggerMode", 0)  # while it waits for a trigger
    blocks = [app.block() for _ in range(3)]
    assert [block.block_id for block in blocks] == [2, 3, 4]
    app.set("AcquisitionStop", 1)


def test_free_run_keeps_its_period(start: Start) -> None:
    _, app = start()
    app.open(AcquisitionFrameRate=100.0, AcquisitionStart=1)
    ticks = [app.block().ticks for _ in range(5)]
    steps = np.diff(np.array(ticks))
    assert steps.min() >= 10_000_000, "never faster than the rate, whatever the host does"


@pytest.mark.parametrize(("mode", "frames"), [(1, 1), (2, 3)])
def test_single_and_multi_frame_end_by_themselves(start: Start, mode: int, frames: int) -> None:
    camera, app = start()
    app.open(AcquisitionMode=mode, AcquisitionFrameCount=3, AcquisitionFrameRate=500.0, AcquisitionStart=1)
    assert [app.block().block_id for _ in range(frames)] == list(range(1, frames + 1))
    app.set("AcquisitionStart", 1)
    assert app.block().block_id == 1, "ids start again with each acquisition"
    app.set("AcquisitionStop", 1)
    camera.stop()
    assert camera.statistics.frames_sent >= frames + 1


def test_a_part_without_a_picture_is_counted_and_the_camera_goes_on(start: Start) -> None:
    camera, app = start()
    app.open(TriggerMode=1, TriggerSource=2, AcquisitionStart=1)
    now_ns = camera.clock.now_ns()
    camera.pulse_line("Line1", at_ns=now_ns, subject="no picture")
    camera.pulse_line("Line1", at_ns=now_ns + 5_000_000, subject=9)
    block = app.block()
    assert (block.block_id, set(block.pixels)) == (2, {9})
    assert camera.statistics.source_errors == 1
    assert camera.alive


def test_lost_packets_are_recovered_by_asking_again(start: Start) -> None:
    camera, app = start(faults=FaultKnobs(loss=0.2, seed=5), packet_size=576)
    app.open(TriggerMode=1, TriggerSource=2, AcquisitionStart=1)
    camera.set_faults(FaultKnobs(loss=0.2, seed=11))
    camera.pulse_line("Line1", subject=5)
    per_packet = 576 - 36
    count = -(-WIDTH * HEIGHT // per_packet)
    got: dict[int, bytes] = {}
    app.stream.settimeout(0.05)
    deadline = time.monotonic() + 10
    while len(got) < count + 2 and time.monotonic() < deadline:
        try:
            packet = app.stream.recv(65535)
            got[struct.unpack_from(">I", packet, 4)[0] & 0xFFFFFF] = packet[8:]
        except TimeoutError:
            for missing in sorted(set(range(count + 2)) - set(got)):
                payload = struct.pack(">HHII", 0, 1, missing, missing)
                request = gvcp.command(Code.PACKETRESEND, next(app.ids), payload, flags=0)
                app.stream.sendto(request, app.address)  # from the stream's own port
    assert b"".join(got[n] for n in range(1, count + 1)) == bytes([5]) * (WIDTH * HEIGHT)
    camera.stop()
    seen = camera.statistics
    assert seen.packets_lost > 0
    assert seen.packets_resent > 0


def test_dropped_frames_leave_a_gap_in_the_ids(start: Start) -> None:
    camera, app = start(frame_rate_hz=500.0, faults=FaultKnobs(drop_frames=0.5, seed=1))
    app.open(AcquisitionStart=1)
    ids = [app.block().block_id for _ in range(10)]
    assert ids == sorted(set(ids))
    assert ids[-1] > 10
    assert camera.statistics.frames_dropped >= ids[-1] - 10


def test_the_packet_size_is_honoured_and_can_be_probed(start: Start) -> None:
    camera, app = start()
    app.open(TriggerMode=1, TriggerSource=2)
    app.write(SCPS, 1 << 31 | 4000)
    assert len(app.stream.recv(65535)) == 4000 - 28
    app.set("AcquisitionStart", 1)
    camera.pulse_line("Line1")
    sizes = [len(app.stream.recv(65535)) for _ in range(5)]
    assert sizes == [44, 3972, 3972, 8 + 8192 - 2 * 3964, 16]


def test_a_silent_application_loses_the_camera_to_the_next(start: Start) -> None:
    camera, app = start(frame_rate_hz=200.0)
    app.open(AcquisitionStart=1)
    other = Application(camera)
    assert other.write(CCP, 2) == Status.ACCESS_DENIED
    assert app.write(HEARTBEAT, 500) == Status.SUCCESS
    deadline = time.monotonic() + 10
    while other.write(CCP, 2) != Status.SUCCESS and time.monotonic() < deadline:
        app.stream.recv(65535) if other.read(CCP) else None
    assert other.read(CCP) == 2
    assert camera.statistics.heartbeats_lost == 1
    assert other.read(SCP_PORT) == 0
    other.close()


def test_rubbish_on_the_port_is_counted_and_harmless(start: Start) -> None:
    camera, app = start()
    for rubbish in (b"", b"\x42", b"GET / HTTP/1.1\r\n\r\n", bytes(2000)):
        app.control.sendto(rubbish, app.address)
    app.open()
    assert camera.statistics.gvcp_malformed == 4


def test_the_address_can_be_used_again_after_stop_and_is_refused_while_in_use(start: Start) -> None:
    camera, _ = start()
    twin = VirtualCamera(camera.config, PatternSource())
    with pytest.raises(DeviceError, match=r"port 3956 of 127\..* is not available") as caught:
        twin.start()
    assert "\n" not in str(caught.value)
    camera.stop()
    with twin:
        assert twin.alive
    assert not twin.alive


def test_the_command_runs_until_it_is_told_to_stop() -> None:
    address = free_address()
    command = (sys.executable, "-m", "line_sim.camera", "--address", address, "--serial", "CMD-1")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert (
            first.stdout.readline() == f"camera CMD-1 (1280x1024 Mono8) on {address}:3956, Ctrl-C stops it\n"
        )
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 2
        assert second.stderr.count("\n") == 1
        assert f"UDP port 3956 of {address} is not available" in second.stderr
        first.send_signal(signal.SIGTERM)
        out, errors = first.communicate(timeout=60)
    assert (first.returncode, errors) == (0, "")
    assert "0 frames" in out
