"""The whole device side over real sockets: events, actions, chunks, ids, faults, power and cable."""

import contextlib
import itertools
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from line_sim.camera import FaultKnobs, PatternSource, PixelFormat, VirtualCamera, VirtualCameraConfig, gvcp
from line_sim.camera.chunks import Chunk
from line_sim.camera.event import Event
from line_sim.camera.feature_list import feature_table
from line_sim.camera.gvcp import Code, Flag, Status

WIDTH, HEIGHT = 64, 32
CCP, MCP, MCDA, MCTT, MCRC = 0xA00, 0xB00, 0xB10, 0xB14, 0xB18
SCP, SCDA, CONFIGURATION, PENDING_TIMEOUT, GVSP = 0xD00, 0xD18, 0x954, 0x958, 0x960
DEVICE_KEY, GROUP_KEY, GROUP_MASK = 0x90C, 0x9800, 0x9804
LOCALHOST = 0x7F000001
_hosts = itertools.count(1)


def free_address() -> str:
    pid = os.getpid()
    return f"127.{2 + pid % 97}.{pid // 97 % 251 + 1}.{next(_hosts)}"


class Application:
    """A small GigE Vision application with a control, a stream and a message socket."""

    def __init__(self, config: VirtualCameraConfig) -> None:
        self.camera = (config.address, gvcp.GVCP_PORT)
        self.registers = {register.name: register for register in feature_table(config).registers}
        self.control, self.stream, self.messages = (self._socket() for _ in range(3))
        self.ids = itertools.count(1)

    @staticmethod
    def _socket() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5.0)
        return sock

    def close(self) -> None:
        for sock in (self.control, self.stream, self.messages):
            sock.close()

    def send(self, code: int, payload: bytes, flags: int = Flag.ACK_REQUIRED) -> None:
        self.control.sendto(gvcp.command(code, next(self.ids), payload, flags=flags), self.camera)

    def answer(self) -> tuple[int, int, bytes]:
        """Return (status, code, payload) of the next answer."""
        datagram = self.control.recv(1024)
        status, code = struct.unpack_from(">HH", datagram)
        return status, code, datagram[8:]

    def write(self, address: int, value: int) -> int:
        self.send(Code.WRITEREG, struct.pack(">II", address, value))
        return self.answer()[0]

    def read(self, address: int) -> int:
        self.send(Code.READREG, struct.pack(">I", address))
        status, _, data = self.answer()
        assert status == Status.SUCCESS
        return int(struct.unpack(">I", data)[0])

    def get(self, feature: str) -> int:
        register = self.registers[feature]
        self.send(Code.READMEM, struct.pack(">IHH", register.address, 0, register.length))
        return int.from_bytes(self.answer()[2][4:], "big", signed=register.length == 8)

    def set(self, feature: str, value: float) -> None:
        register = self.registers[feature]
        data = struct.pack(">d", value) if register.length == 8 else struct.pack(">I", int(value))
        self.send(Code.WRITEMEM, struct.pack(">I", register.address) + data)
        assert self.answer()[0] == Status.SUCCESS, feature

    def open(self, **features: float) -> None:
        assert self.write(CCP, 2) == Status.SUCCESS
        self.write(SCDA, LOCALHOST)
        self.write(SCP, self.stream.getsockname()[1])
        self.write(MCDA, LOCALHOST)
        self.write(MCP, self.messages.getsockname()[1])
        for name, value in features.items():
            self.set(name, value)

    def enable_event(self, event: Event) -> None:
        self.set("EventSelector", event.selector)
        self.set("EventNotification", 1)

    def drain(self) -> None:
        """Take what is still on its way."""
        self.stream.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            while True:
                self.stream.recv(65535)
        self.stream.settimeout(5.0)

    def packets(self, *, extended: bool = False) -> list[bytes]:
        """Receive packets up to the next trailer."""
        found: list[bytes] = []
        while not found or found[-1][4] & 0x7F != 2:
            found.append(self.stream.recv(65535))
            assert bool(found[-1][4] & 0x80) == extended
        return found


@pytest.fixture
def camera() -> Iterator[VirtualCamera]:
    config = VirtualCameraConfig(address=free_address(), width=WIDTH, height=HEIGHT)
    before = threading.active_count()
    with VirtualCamera(config, PatternSource()) as running:
        yield running
    assert threading.active_count() == before


@pytest.fixture
def app(camera: VirtualCamera) -> Iterator[Application]:
    application = Application(camera.config)
    yield application
    application.close()


def eventually(check: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.02)
    return False


def test_events_come_with_time_and_data_and_again_until_acknowledged(
    camera: VirtualCamera, app: Application
) -> None:
    app.open(TriggerMode=1, TriggerSource=2, AcquisitionStart=1)
    app.enable_event(Event.LINE1_RISING_EDGE)
    app.enable_event(Event.EXPOSURE_END)
    app.write(MCTT, 100)
    at_ns = camera.clock.now_ns()
    camera.pulse_line("Line1", at_ns=at_ns)
    first, peer = app.messages.recvfrom(1024)
    again = app.messages.recv(1024)
    assert again == first, "not acknowledged, so sent again"
    key, flags, code, length, request_id, _, event_id, _, block, ticks = struct.unpack(">BBHHHHHHHQ", first)
    assert (key, flags, code, length) == (0x42, 1, Code.EVENT, 16)
    assert (event_id, block, ticks) == (Event.LINE1_RISING_EDGE.event_id, 0, camera.clock.ticks_at(at_ns))
    app.messages.sendto(struct.pack(">HHHH", 0, Code.EVENT + 1, 0, request_id), peer)
    second = app.messages.recv(1024)
    while second == first:  # one more may have been on its way
        second = app.messages.recv(1024)
    assert struct.unpack_from(">H", second, 2)[0] == Code.EVENTDATA
    assert struct.unpack_from(">HHHHQQ", second, 8) == (
        *(0, Event.EXPOSURE_END.event_id, 0, 1),
        *(camera.clock.ticks_at(at_ns + 1_000_000), 1),
    )


def test_a_missed_trigger_is_an_event_and_without_timeout_nothing_is_repeated(
    camera: VirtualCamera, app: Application
) -> None:
    app.open(TriggerMode=1, TriggerSource=2, ExposureTime=50_000.0, AcquisitionStart=1)
    app.enable_event(Event.FRAME_TRIGGER_MISSED)
    app.write(MCTT, 0)
    assert camera.pulse_line("Line1")
    assert not camera.pulse_line("Line1")
    event = app.messages.recv(1024)
    assert (event[1], struct.unpack_from(">H", event, 10)[0]) == (0, Event.FRAME_TRIGGER_MISSED.event_id)
    assert camera.statistics.events_resent == 0


def test_an_action_triggers_when_its_keys_and_mask_fit(camera: VirtualCamera, app: Application) -> None:
    app.open(TriggerMode=1, TriggerSource=3, AcquisitionStart=1)
    for address, value in ((DEVICE_KEY, 0x11), (GROUP_KEY, 0x22), (GROUP_MASK, 0b0110)):
        assert app.write(address, value) == Status.SUCCESS
    for wrong in ((0x12, 0x22, 0b0010), (0x11, 0x23, 0b0010), (0x11, 0x22, 0b1001)):
        app.send(Code.ACTION, struct.pack(">III", *wrong))
    app.send(Code.ACTION, struct.pack(">III", 0x11, 0x22, 0b0010))
    assert app.answer()[:2] == (Status.SUCCESS, Code.ACTION + 1), "the wrong ones are not answered"
    app.packets()
    assert camera.statistics.actions == 1
    app.send(Code.ACTION, struct.pack(">IIIQ", 0x11, 0x22, 2, 5), Flag.ACK_REQUIRED | Flag.SCHEDULED_ACTION)
    assert app.answer()[0] == Status.NO_REF_TIME, "without PTP there is no time to schedule by"


def test_a_scheduled_action_exposes_at_its_time(camera: VirtualCamera, app: Application) -> None:
    app.open(TriggerMode=1, TriggerSource=3, PtpEnable=1, AcquisitionStart=1)
    app.write(GROUP_MASK, 1)
    assert eventually(lambda: app.get("PtpStatus") == 9)
    assert abs(app.get("PtpOffsetFromMaster")) < 1_000_000
    at_ticks = camera.clock.ticks() + 100_000_000
    flags = Flag.ACK_REQUIRED | Flag.SCHEDULED_ACTION
    app.send(Code.ACTION, struct.pack(">IIIQ", 0, 0, 1, at_ticks), flags)
    assert app.answer()[0] == Status.SUCCESS
    (ticks,) = struct.unpack_from(">Q", app.packets()[0], 12)
    assert abs(ticks - at_ticks) <= 1
    app.send(Code.ACTION, struct.pack(">IIIQ", 0, 0, 1, at_ticks), flags)
    assert app.answer()[0] == Status.ACTION_LATE
    app.packets()


@pytest.mark.parametrize("fmt", list(PixelFormat))
def test_chunks_stand_behind_the_pixels_of_every_format(
    camera: VirtualCamera, app: Application, fmt: PixelFormat
) -> None:
    app.open(TriggerMode=1, TriggerSource=2, PixelFormat=fmt.code, ChunkModeActive=1, AcquisitionStart=1)
    at_ns = camera.clock.now_ns()
    camera.pulse_line("Line1", at_ns=at_ns, encoder=-4711)
    leader, *data, trailer = app.packets()
    payload = b"".join(packet[8:] for packet in data)
    assert len(payload) == app.get("PayloadSize")
    assert struct.unpack_from(">H", leader, 10)[0] == struct.unpack_from(">H", trailer, 10)[0] == 0x4001
    chunks: dict[int, bytes] = {}
    end = len(payload)
    while end > 0:
        chunk_id, length = struct.unpack_from(">II", payload, end - 8)
        chunks[chunk_id] = payload[end - 8 - length : end - 8]
        end -= 8 + length
    assert end == 0
    assert len(chunks.pop(1)) == fmt.image_bytes(WIDTH, HEIGHT)
    values = {
        each: struct.unpack(each.layout, chunks[each.chunk_id])[0]
        for each in Chunk
        if each.chunk_id in chunks
    }
    assert values == {
        Chunk.TIMESTAMP: camera.clock.ticks_at(at_ns),
        Chunk.FRAME_ID: 1,
        Chunk.EXPOSURE_TIME: 1000.0,
        Chunk.LINE_STATUS_ALL: 2,
        Chunk.ENCODER_VALUE: -4711,
    }


def test_extended_ids_stream_and_resend(camera: VirtualCamera, app: Application) -> None:
    app.open(TriggerMode=1, TriggerSource=2)
    assert app.write(GVSP, 1 << 30) == Status.SUCCESS
    app.set("AcquisitionStart", 1)
    camera.pulse_line("Line1")
    packets = app.packets(extended=True)
    assert [struct.unpack_from(">QI", each, 8) for each in packets] == [(1, n) for n in range(len(packets))]
    assert len(b"".join(each[20:] for each in packets[1:-1])) == WIDTH * HEIGHT
    wanted = struct.pack(">HHIIQ", 0, 0, 1, 1, 1)
    app.send(Code.PACKETRESEND, wanted, Flag.EXTENDED_ID)
    assert app.stream.recv(65535) == packets[1]
    app.send(Code.PACKETRESEND, struct.pack(">HHIIQ", 0, 0, 1, 1, 99), Flag.EXTENDED_ID)
    gone = app.stream.recv(65535)
    assert struct.unpack_from(">H", gone)[0] == Status.PACKET_UNAVAILABLE
    assert struct.unpack_from(">QI", gone, 8) == (99, 1)


def test_a_slow_camera_asks_for_patience(camera: VirtualCamera, app: Application) -> None:
    app.open()
    app.write(PENDING_TIMEOUT, 20)
    camera.set_faults(FaultKnobs(ack_delay_ms=80.0))
    app.send(Code.WRITEREG, struct.pack(">II", CONFIGURATION, 2))
    status, code, data = app.answer()
    assert (status, code) == (0, 0x89)
    assert struct.unpack(">HH", data)[1] >= 60
    assert app.answer()[:2] == (0, Code.WRITEREG + 1)
    assert camera.statistics.pending_acks == 1


@pytest.mark.parametrize("activation", [0, 1, 2])
def test_edges_trigger_as_activated(camera: VirtualCamera, app: Application, activation: int) -> None:
    app.open(TriggerMode=1, TriggerSource=2, TriggerActivation=activation, AcquisitionStart=1)
    at_ns = camera.clock.now_ns()
    camera.pulse_line("Line1", at_ns=at_ns, width_us=5000.0)
    edges = {0: [0], 1: [5_000_000], 2: [0, 5_000_000]}[activation]
    for edge in edges:
        (ticks,) = struct.unpack_from(">Q", app.packets()[0], 12)
        assert ticks == camera.clock.ticks_at(at_ns + edge)


def test_lines_and_encoder_can_be_read(camera: VirtualCamera, app: Application) -> None:
    app.open()
    camera.set_encoder(123456789012)
    camera.set_line("Line1", True)
    assert (app.get("EncoderValue"), app.get("LineStatusAll"), app.get("LineStatus")) == (123456789012, 2, 0)
    app.set("LineSelector", 1)
    assert app.get("LineStatus") == 1
    app.set("EncoderReset", 1)
    assert app.get("EncoderValue") == 0


def test_a_reboot_loses_the_state_a_pulled_cable_keeps_it(camera: VirtualCamera, app: Application) -> None:
    app.open(BinningHorizontal=2)
    assert app.get("Width") == WIDTH // 2
    app.control.settimeout(0.2)
    camera.unplug(0.5)
    with pytest.raises(TimeoutError):
        app.read(CCP)
    assert eventually(lambda: _reads(app, CCP, 2))
    assert app.get("Width") == WIDTH // 2
    camera.reboot(0.3)
    assert camera.alive
    assert eventually(lambda: _reads(app, CCP, 0))
    assert app.get("Width") == WIDTH
    assert camera.statistics.reboots == 1


def _reads(app: Application, address: int, value: int) -> bool:
    try:
        return app.read(address) == value
    except (TimeoutError, OSError):
        return False


def test_a_muted_camera_streams_on(camera: VirtualCamera, app: Application) -> None:
    app.open(AcquisitionFrameRate=200.0, AcquisitionStart=1)
    camera.set_faults(FaultKnobs(mute_control=True))
    app.control.settimeout(0.1)
    with pytest.raises(TimeoutError):
        app.read(CCP)
    app.packets()
    assert len(app.packets()) == 4


def test_force_ip_moves_the_camera_to_another_address_of_the_host(
    camera: VirtualCamera, app: Application
) -> None:
    target, mac = free_address(), camera.config.mac_bytes
    payload = b"\0\0" + mac + bytes(12) + socket.inet_aton(target) + bytes(12) + bytes(20)
    app.send(Code.FORCEIP, payload)
    assert app.answer()[:2] == (Status.SUCCESS, Code.FORCEIP + 1)
    app.camera = (target, gvcp.GVCP_PORT)
    app.control.settimeout(0.2)
    assert eventually(lambda: _reads(app, CCP, 0))
    assert app.read(0x24) == int.from_bytes(socket.inet_aton(target), "big")
    assert camera.config.mac_bytes == mac


@pytest.mark.parametrize(
    ("knobs", "counter"),
    [
        (FaultKnobs(reorder=0.3), "packets_reordered"),
        (FaultKnobs(duplicate=0.3), "packets_duplicated"),
        (FaultKnobs(delay=0.3, delay_ms=5.0), "packets_delayed"),
        (FaultKnobs(truncate=0.3), "packets_truncated"),
        (FaultKnobs(malformed=0.3), "packets_malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_faults_come_when_asked_for_and_go(
    camera: VirtualCamera, app: Application, knobs: FaultKnobs, counter: str
) -> None:
    app.open(AcquisitionFrameRate=500.0, AcquisitionStart=1)
    camera.set_faults(knobs)
    assert eventually(lambda: getattr(camera.statistics, counter) >= 3)
    camera.set_faults(FaultKnobs())
    app.set("AcquisitionStop", 1)
    app.drain()
    app.set("AcquisitionStart", 1)
    assert len(app.packets()) == -(-WIDTH * HEIGHT // 1464) + 2
    assert camera.alive


def test_refused_resends_stay_unanswered(camera: VirtualCamera, app: Application) -> None:
    app.open(TriggerMode=1, TriggerSource=2, AcquisitionStart=1)
    camera.set_faults(FaultKnobs(no_resend=True))
    camera.pulse_line("Line1")
    app.packets()
    app.send(Code.PACKETRESEND, struct.pack(">HHII", 0, 1, 1, 1), 0)
    assert eventually(lambda: camera.statistics.resends_ignored == 1)
    app.stream.settimeout(0.1)
    with pytest.raises(TimeoutError):
        app.stream.recv(65535)


def test_cameras_side_by_side_in_one_process_and_in_another() -> None:
    configs = [
        VirtualCameraConfig(address=free_address(), serial=f"MULTI-{n}", width=WIDTH, height=HEIGHT)
        for n in range(4)
    ]
    other = configs.pop()
    command = (sys.executable, "-m", "line_sim.camera", "--address", other.address, "--serial", other.serial)
    sized = (*command, "--width", str(WIDTH), "--height", str(HEIGHT))
    with subprocess.Popen(sized, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "MULTI-3" in process.stdout.readline()
        cameras = [VirtualCamera(config, PatternSource()) for config in configs]
        for each in cameras:
            each.start()
        apps = [Application(config) for config in (*configs, other)]
        for app in apps:
            app.open(AcquisitionFrameRate=100.0, AcquisitionStart=1)
        for app in apps:
            assert len(app.packets()) == 4
            app.close()
        for each in cameras:
            each.stop()
        process.terminate()
        process.communicate(timeout=60)
