"""Which of a camera's stamps are believed, on a manual clock."""

import pytest

from inspector.camera.camera_time import CameraTime
from inspector.camera.frame_time import FrameTime
from inspector.camera.ptp_check import PtpCheck, PtpRegisters
from inspector.camera.time_latch import Reading
from inspector.clock import NS_PER_MS, NS_PER_S

TRANSIT_NS = 3 * NS_PER_MS
UTC_NS = 1_700_000_000 * NS_PER_S
TAI_NS = 37 * NS_PER_S


class World:
    """A host, a camera whose clock is `ahead_ns` of the host's, and what it says of PTP."""

    def __init__(self, ahead_ns: int = -400 * NS_PER_S) -> None:
        self.host_ns, self.ahead_ns, self.utc_step_ns = 500 * NS_PER_S, ahead_ns, 0
        self.width_ns = 300_000
        self.said: PtpRegisters | None = None
        self.readings = 0
        self.fit, self.ptp = CameraTime(), PtpCheck(lambda: self.said, self)
        self.times = FrameTime(self.fit, self.ptp, self.read, self)

    def now_ns(self) -> int:
        return self.host_ns

    def utc_ns(self) -> int:
        return self.host_ns + UTC_NS + self.utc_step_ns

    def read(self) -> None:
        self.readings += 1
        device_ns = self.host_ns + self.ahead_ns + self.width_ns // 3
        self.host_ns += self.width_ns
        reading = Reading(device_ns, self.host_ns, self.width_ns)
        self.fit.observe(reading.device_ns, reading.host_ns, width_ns=reading.width_ns)
        self.ptp.observe(reading)

    def frame(self, transit_ns: int = TRANSIT_NS) -> tuple[int, int | None]:
        """Return by how much a frame's time is wrong, and what is stated."""
        self.host_ns += 100 * NS_PER_MS
        start_ns, stamp_ns = self.host_ns, self.host_ns + self.ahead_ns
        self.host_ns += transit_ns
        mapped_ns, off_ns = self.times.start_of(stamp_ns, self.host_ns)
        return abs(mapped_ns - start_ns), off_ns


def settled(world: World) -> World:
    world.read()
    for _ in range(5):
        error_ns, stated_ns = world.frame()
        assert stated_ns is not None
        assert error_ns <= stated_ns < NS_PER_MS
    return world


def test_nothing_is_stated_before_the_clock_was_read() -> None:
    assert World().times.start_of(1, 2) == (2, None)


@pytest.mark.parametrize("jump_s", [-2.0, -0.01, 0.01, 2.0])
def test_a_step_is_found_by_the_frame_that_shows_it(jump_s: float) -> None:
    world = settled(World())
    readings = world.readings
    world.ahead_ns += round(jump_s * NS_PER_S)
    error_ns, stated_ns = world.frame()
    assert world.readings == readings + 1
    assert stated_ns is not None
    assert error_ns <= stated_ns < NS_PER_MS


@pytest.mark.parametrize("jump_s", [-2.0, -0.01, 0.01, 2.0])
def test_a_frame_stamped_before_a_step_that_was_read_after_it_states_nothing(jump_s: float) -> None:
    world = settled(World())
    start_ns, stamp_ns = world.host_ns, world.host_ns + world.ahead_ns
    world.ahead_ns += round(jump_s * NS_PER_S)
    world.host_ns += TRANSIT_NS + 20 * NS_PER_MS  # late, so that it is looked into
    mapped_ns, stated_ns = world.times.start_of(stamp_ns, world.host_ns)
    assert stated_ns is None
    assert abs(mapped_ns - start_ns) < 30 * NS_PER_MS  # what its arrival tells


def test_a_late_frame_is_not_taken_for_a_step() -> None:
    world = settled(World())
    error_ns, stated_ns = world.frame(60 * NS_PER_MS)
    assert stated_ns is not None
    assert error_ns <= stated_ns < NS_PER_MS
    assert world.fit.jumps == 0


def test_a_camera_that_waited_an_hour_is_read_with_its_first_frame() -> None:
    world = settled(World())
    world.host_ns += 3600 * NS_PER_S
    error_ns, stated_ns = world.frame()
    assert stated_ns is not None
    assert error_ns <= stated_ns < NS_PER_MS


SLAVE = PtpRegisters(enabled=True, status="Slave", offset_ns=80)


@pytest.mark.parametrize("ahead_ns", [0, TAI_NS])
def test_ptp_in_utc_and_in_tai_is_verified(ahead_ns: int) -> None:
    world = World(UTC_NS + ahead_ns)
    world.said = SLAVE
    world.read()
    assert world.ptp.verified, world.ptp.problem
    error_ns, stated_ns = world.frame()
    assert stated_ns is not None
    assert error_ns <= stated_ns < NS_PER_MS


@pytest.mark.parametrize(
    ("said", "ahead_ns", "told"),
    [
        (None, 0, "no PTP"),
        (PtpRegisters(enabled=False, status="Disabled", offset_ns=0), 0, "switched off"),
        (PtpRegisters(enabled=True, status="Listening", offset_ns=0), 0, "PtpStatus is Listening"),
        (PtpRegisters(enabled=True, status="Slave", offset_ns=250_000), 0, "250 us off its PTP master"),
        (SLAVE, 2 * NS_PER_MS, "the register lies"),
        (SLAVE, -UTC_NS, "the register lies"),
    ],
)
def test_ptp_that_is_not_locked_or_lies_is_told(said: PtpRegisters | None, ahead_ns: int, told: str) -> None:
    world = World(UTC_NS + ahead_ns)
    world.said = said
    world.read()
    assert told in world.ptp.problem
    error_ns, stated_ns = world.frame()
    assert stated_ns is not None
    assert error_ns <= stated_ns < NS_PER_MS  # by the fit


def test_a_step_of_this_hosts_utc_ends_ptp_and_not_the_time() -> None:
    world = World(UTC_NS)
    world.said = SLAVE
    world.read()
    world.utc_step_ns = NS_PER_S
    world.host_ns += NS_PER_S
    error_ns, stated_ns = world.frame()
    assert not world.ptp.verified
    assert stated_ns is not None
    assert error_ns <= stated_ns < NS_PER_MS
