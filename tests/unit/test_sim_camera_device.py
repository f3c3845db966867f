"""The device as an application sees it: commands in, acknowledges out, on a manual clock."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from line_sim.camera import VirtualCameraConfig, gvcp
from line_sim.camera.bootstrap import SCPS_FIRE_TEST_PACKET
from line_sim.camera.device import Device
from line_sim.camera.device_clock import DeviceClock
from line_sim.camera.execute import CommandExecutor
from line_sim.camera.feature_list import feature_table
from line_sim.camera.gvcp import Code, Flag, ResendRequest, Status
from line_sim.camera.statistics import Counters

ALICE, BOB = ("127.0.0.1", 50000), ("127.0.0.9", 50001)
CCP, HEARTBEAT, SCPS, SCP_PORT, SCDA = 0xA00, 0x938, 0xD04, 0xD00, 0xD18
CONFIG = VirtualCameraConfig(width=640, height=480)
ADDRESSES = {register.name: register.address for register in feature_table(CONFIG).registers}


class ManualClock:
    def __init__(self) -> None:
        self.ns = 1_000_000_000

    def now_ns(self) -> int:
        return self.ns

    def utc_ns(self) -> int:
        return self.ns


class RecordedEffects:
    def __init__(self) -> None:
        self.acquiring = False
        self.seen: list[str | ResendRequest | tuple[str, int | None]] = []

    def settings_changed(self) -> None:
        return

    def start_acquisition(self) -> None:
        self.acquiring = True
        self.seen.append("start")

    def stop_acquisition(self) -> None:
        self.acquiring = False
        self.seen.append("stop")

    def software_trigger(self) -> None:
        self.seen.append("trigger")

    def fire_test_packet(self) -> None:
        self.seen.append("test packet")

    def resend(self, request: ResendRequest) -> None:
        self.seen.append(request)

    def action(self, at_ns: int | None) -> None:
        self.seen.append(("action", at_ns))

    def move(self, address: int) -> bool:
        return address >> 24 == 127


class Application:
    """Speaks GVCP to the device without a network."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.effects = RecordedEffects()
        self.counters = Counters()
        self.device = Device(CONFIG, DeviceClock(self.clock), self.counters, self.effects)
        self.executor = CommandExecutor(self.device, self.counters)
        self.request_id = 0

    def ask(self, code: int, payload: bytes, peer: tuple[str, int] = ALICE) -> tuple[int, bytes]:
        """Return (status, payload) of the acknowledge."""
        self.request_id += 1
        answer = self.executor.handle(gvcp.command(code, self.request_id, payload), peer)
        assert answer is not None
        status, answered, length, request_id = struct.unpack_from(">HHHH", answer)
        assert (answered, request_id, length) == (code + 1, self.request_id, len(answer) - 8)
        return status, answer[8:]

    def read(self, address: int, peer: tuple[str, int] = ALICE) -> int:
        status, data = self.ask(Code.READREG, struct.pack(">I", address), peer)
        assert status == Status.SUCCESS
        return int(struct.unpack(">I", data)[0])

    def write(self, address: int, value: int, peer: tuple[str, int] = ALICE) -> int:
        return self.ask(Code.WRITEREG, struct.pack(">II", address, value), peer)[0]

    def set(self, feature: str, value: float, peer: tuple[str, int] = ALICE) -> int:
        data = struct.pack(">d", value) if isinstance(value, float) else struct.pack(">I", value)
        return self.ask(Code.WRITEMEM, struct.pack(">I", ADDRESSES[feature]) + data, peer)[0]


@pytest.fixture
def app() -> Application:
    application = Application()
    assert application.write(CCP, 2) == Status.SUCCESS
    return application


def test_discovery_tells_who_the_camera_is(app: Application) -> None:
    status, data = app.ask(Code.DISCOVERY, b"", BOB)
    assert status == Status.SUCCESS
    assert len(data) == 0xF8
    assert data[10:16] == CONFIG.mac_bytes
    assert data[10] & 2, "locally administered"
    assert data[36:40] == bytes((127, 0, 0, 1))
    assert data[0x48:].startswith(b"inspector\0")
    assert data[0xD8:].startswith(b"SIM-0001\0")
    assert data[0xE8:].startswith(b"virtual-camera\0")


def test_only_the_primary_application_writes(app: Application) -> None:
    assert app.write(CCP, 2, BOB) == Status.ACCESS_DENIED
    assert app.set("Width", 320, BOB) == Status.ACCESS_DENIED
    assert app.set("Width", 320) == Status.SUCCESS
    assert app.read(ADDRESSES["Width"], BOB) == 320
    assert app.write(CCP, 0) == Status.SUCCESS
    assert app.set("Width", 640) == Status.ACCESS_DENIED
    assert app.write(CCP, 2, BOB) == Status.SUCCESS


def test_exclusive_access_keeps_others_from_reading(app: Application) -> None:
    assert app.write(CCP, 1) == Status.SUCCESS
    assert app.ask(Code.READREG, struct.pack(">I", CCP), BOB)[0] == Status.ACCESS_DENIED
    assert app.ask(Code.DISCOVERY, b"", BOB)[0] == Status.SUCCESS


def test_a_silent_application_loses_control_and_its_stream_stops(app: Application) -> None:
    assert app.write(HEARTBEAT, 1000) == Status.SUCCESS
    app.write(SCP_PORT, 40000)
    app.write(SCDA, 0x7F000001)
    app.set("AcquisitionStart", 1)
    app.clock.ns += 999_000_000
    app.device.check_heartbeat()
    assert app.effects.acquiring
    app.read(CCP)  # a heartbeat
    app.clock.ns += 999_000_000
    app.device.check_heartbeat()
    assert app.effects.acquiring
    app.clock.ns += 1_000_000
    app.device.check_heartbeat()
    assert not app.effects.acquiring
    assert app.device.stream_settings().host_port == 0
    assert app.read(CCP, BOB) == 0
    assert app.counters.snapshot().heartbeats_lost == 1
    assert app.write(CCP, 2, BOB) == Status.SUCCESS


def test_another_applications_reads_are_no_heartbeat(app: Application) -> None:
    app.clock.ns += 2_999_000_000
    app.read(CCP, BOB)
    app.clock.ns += 1_000_000
    app.device.check_heartbeat()
    assert app.read(CCP) == 0


def test_the_heartbeat_can_be_switched_off(app: Application) -> None:
    assert app.write(0x954, 1) == Status.SUCCESS
    app.clock.ns += 3600 * 10**9
    app.device.check_heartbeat()
    assert app.read(CCP) == 2


@pytest.mark.parametrize(
    ("code", "payload", "status"),
    [
        (Code.READREG, struct.pack(">I", 0x9000_0000), Status.INVALID_ADDRESS),
        (Code.READREG, struct.pack(">I", 0xA01), Status.BAD_ALIGNMENT),
        (Code.READMEM, struct.pack(">IHH", 0x48, 0, 30), Status.BAD_ALIGNMENT),
        (Code.READMEM, struct.pack(">IHH", 0x00, 0, 540), Status.INVALID_PARAMETER),
        (Code.READMEM, struct.pack(">IHH", 0xDFC, 0, 8), Status.INVALID_ADDRESS),
        (Code.WRITEREG, struct.pack(">II", 0x000, 1), Status.WRITE_PROTECT),
        (Code.WRITEREG, struct.pack(">II", 0x9000_0000, 1), Status.INVALID_ADDRESS),
        (Code.WRITEREG, struct.pack(">II", HEARTBEAT, 499), Status.INVALID_PARAMETER),
        (Code.WRITEREG, struct.pack(">II", SCPS, 575), Status.INVALID_PARAMETER),
        (Code.WRITEREG, struct.pack(">II", SCPS, 1501), Status.INVALID_PARAMETER),
        (Code.WRITEREG, struct.pack(">II", CCP, 0x80), Status.INVALID_PARAMETER),
        (Code.WRITEMEM, struct.pack(">I", 0xE8) + b"abcde", Status.BAD_ALIGNMENT),
        (Code.WRITEMEM, struct.pack(">I", 0xE8) + b"\xff" * 16, Status.INVALID_PARAMETER),
        (0x00F0, b"", Status.NOT_IMPLEMENTED),
    ],
)
def test_error_statuses(app: Application, code: int, payload: bytes, status: Status) -> None:
    assert app.ask(code, payload)[0] == status


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("Width", 641),
        ("Width", 644),
        ("Width", 0),
        ("PixelFormat", 0x01100005),
        ("ExposureTime", 0.0),
        ("ExposureTime", float("nan")),
        ("AcquisitionFrameRate", 0.0),
        ("Gain", float("inf")),
        ("TriggerSource", 4),
    ],
)
def test_values_that_the_camera_cannot_have_are_refused(app: Application, feature: str, value: float) -> None:
    assert app.set(feature, value) == Status.INVALID_PARAMETER


def test_the_region_stays_on_the_sensor_and_sets_the_payload(app: Application) -> None:
    assert app.set("OffsetX", 4) == Status.INVALID_PARAMETER
    assert app.set("Width", 320) == Status.SUCCESS
    assert app.set("OffsetX", 320) == Status.SUCCESS
    assert app.set("OffsetX", 324) == Status.INVALID_PARAMETER
    assert app.set("Width", 324) == Status.INVALID_PARAMETER
    assert app.read(ADDRESSES["PayloadSize"]) == 320 * 480


def test_geometry_is_locked_while_acquiring(app: Application) -> None:
    app.set("AcquisitionStart", 1)
    assert app.set("Width", 320) == Status.BUSY
    assert app.set("ExposureTime", 500.0) == Status.SUCCESS
    app.set("AcquisitionStop", 1)
    assert app.set("Width", 320) == Status.SUCCESS


def test_concatenated_registers(app: Application) -> None:
    status, data = app.ask(Code.READREG, struct.pack(">II", 0x93C, 0x940))
    assert status == Status.SUCCESS
    assert struct.unpack(">Q", data)[0] == 1_000_000_000
    pairs = struct.pack(">IIIIII", SCP_PORT, 4000, 0x000, 1, SCDA, 1)
    status, data = app.ask(Code.WRITEREG, pairs)
    assert (status, struct.unpack(">HH", data)[1]) == (Status.WRITE_PROTECT, 1)
    assert app.read(SCP_PORT) == 4000
    assert app.read(SCDA) == 0


def test_a_repeated_request_is_not_executed_twice(app: Application) -> None:
    packet = gvcp.command(Code.WRITEREG, 500, struct.pack(">II", ADDRESSES["TriggerSoftware"], 1))
    first = app.executor.handle(packet, ALICE)
    assert app.executor.handle(packet, ALICE) == first
    assert app.effects.seen == ["trigger"]


def test_the_test_packet_bit_fires_and_clears_itself(app: Application) -> None:
    assert app.write(SCPS, SCPS_FIRE_TEST_PACKET | 8000) == Status.SUCCESS
    assert app.effects.seen == ["test packet"]
    assert app.read(SCPS) == 8000


def test_timestamps_are_latched_and_reset(app: Application) -> None:
    app.clock.ns += 5_000_000_123
    app.write(0x944, 2)
    latched = app.read(0x948) << 32 | app.read(0x94C)
    assert latched == 5_000_000_123
    app.write(0x944, 1)
    app.clock.ns += 10
    app.write(0x944, 2)
    assert app.read(0x94C) == 10


def test_resend_requests_come_from_the_receivers_own_port(app: Application) -> None:
    app.write(SCDA, 0x7F000001)
    payload = struct.pack(">HHII", 0, 3, 1, 4)
    packet = gvcp.command(Code.PACKETRESEND, 77, payload, flags=0)
    assert app.executor.handle(packet, ("127.0.0.1", 61234)) is None
    assert app.effects.seen == [ResendRequest(0, 3, 1, 4)]
    assert app.executor.handle(packet, BOB) is None
    assert len(app.effects.seen) == 1


def test_force_ip_is_answered_politely(app: Application) -> None:
    def payload(mac: bytes, address: int) -> bytes:
        return b"\0\0" + mac + bytes(12) + struct.pack(">I", address) + bytes(32)

    mine = payload(CONFIG.mac_bytes, 0x7F000001)
    assert app.ask(Code.FORCEIP, mine)[0] == Status.ACCESS_DENIED
    app.write(CCP, 0)
    assert app.ask(Code.FORCEIP, mine)[0] == Status.SUCCESS
    assert app.ask(Code.FORCEIP, payload(CONFIG.mac_bytes, 0x0A000001))[0] == Status.WRITE_PROTECT
    foreign = gvcp.command(Code.FORCEIP, 900, payload(bytes(6), 0x0A000001))
    assert app.executor.handle(foreign, ALICE) is None


def test_reset_gives_the_power_up_state(app: Application) -> None:
    app.set("Width", 320)
    app.set("AcquisitionStart", 1)
    assert app.set("DeviceReset", 1) == Status.SUCCESS
    assert not app.effects.acquiring
    assert app.read(CCP) == 0
    assert app.read(ADDRESSES["Width"]) == 640


def test_no_answer_where_none_is_wanted_or_the_packet_is_broken(app: Application) -> None:
    quiet = gvcp.command(Code.WRITEREG, 600, struct.pack(">II", SCP_PORT, 77), flags=0)
    assert app.executor.handle(quiet, ALICE) is None
    assert app.read(SCP_PORT) == 77
    before = app.counters.snapshot().gvcp_malformed
    assert app.executor.handle(b"hello", ALICE) is None
    assert app.executor.handle(gvcp.command(Code.READREG, 601, b"\0\0"), ALICE) is None
    assert app.counters.snapshot().gvcp_malformed == before + 2


_DEVICE = Application()


@settings(max_examples=300)
@given(
    code=st.sampled_from([*(int(code) for code in Code), 0x00C0, 0xFFFE]),
    payload=st.binary(max_size=64) | st.binary(min_size=4, max_size=4).map(lambda b: b"\0\0\x0d" + b[:1] + b),
    flags=st.sampled_from([0, 1, int(Flag.EXTENDED_ID) | 1]),
)
def test_no_payload_upsets_the_device(code: int, payload: bytes, flags: int) -> None:
    _DEVICE.write(CCP, 2)
    answer = _DEVICE.executor.handle(gvcp.command(code, 9, payload, flags=flags), ALICE)
    if answer is not None:
        status, answered, length, request_id = struct.unpack_from(">HHHH", answer)
        assert status in set(Status)
        assert (answered, length, request_id) == (code + 1, len(answer) - 8, 9)
    assert _DEVICE.device.acquisition_settings().width >= 16
