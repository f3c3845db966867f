"""The camera's clock and PTP, on a manual clock."""

import pytest

from line_sim.camera.device_clock import DeviceClock
from line_sim.camera.ptp import Ptp, PtpState

UTC_NS = 1_763_823_815_000_000_000


class ManualClock:
    def __init__(self) -> None:
        self.ns = 1_000_000_000

    def now_ns(self) -> int:
        return self.ns

    def utc_ns(self) -> int:
        return UTC_NS + self.ns


@pytest.fixture
def host() -> ManualClock:
    return ManualClock()


def synchronised(host: ManualClock, clock: DeviceClock, *, lies: bool = False) -> Ptp:
    ptp = Ptp(clock)
    ptp.lies = lies
    ptp.enable(True)
    for _ in range(30):
        host.ns += 100_000_000
        ptp.poll()
    return ptp


def test_drift_changes_the_rate_and_never_the_time(host: ManualClock) -> None:
    clock = DeviceClock(host)
    host.ns += 10**9
    clock.drift_ppm = 50.0
    assert clock.ticks() == 10**9
    host.ns += 10**9
    assert clock.ticks() == 2 * 10**9 + 50_000
    clock.drift_ppm = 0.0
    assert clock.ticks() == 2 * 10**9 + 50_000


def test_a_jump_steps_the_time_and_ticks_map_back(host: ManualClock) -> None:
    clock = DeviceClock(host, drift_ppm=-20.0)
    host.ns += 10**9
    before = clock.ticks()
    clock.jump(5_000_000)
    assert clock.ticks() == before + 5_000_000
    assert abs(clock.ticks_at(clock.host_ns_at(7_000_000_000)) - 7_000_000_000) <= 1


def test_ptp_locks_and_follows_its_master(host: ManualClock) -> None:
    clock = DeviceClock(host, drift_ppm=100.0)
    ptp = Ptp(clock)
    assert (ptp.state, ptp.offset_ns()) == (PtpState.DISABLED, 0)
    ptp.enable(True)
    assert ptp.state is PtpState.LISTENING
    ptp = synchronised(host, clock)
    assert ptp.state is PtpState.SLAVE
    assert ptp.offset_ns() == 0
    assert clock.ticks() == host.utc_ns()
    ptp.enable(False)
    host.ns += 10**9
    assert clock.ticks() == host.utc_ns() + 100_000, "free again, at the crystal's rate"


def test_ptp_reports_a_jump_and_corrects_it(host: ManualClock) -> None:
    clock = DeviceClock(host)
    ptp = synchronised(host, clock)
    clock.jump(20_000_000)
    assert ptp.offset_ns() == 20_000_000
    ptp.poll()
    assert ptp.state is PtpState.UNCALIBRATED
    host.ns += 10**9
    ptp.poll()
    assert (ptp.state, ptp.offset_ns()) == (PtpState.SLAVE, 0)


def test_a_lying_camera_says_that_it_is_locked_and_is_not(host: ManualClock) -> None:
    clock = DeviceClock(host, drift_ppm=80.0)
    ptp = synchronised(host, clock, lies=True)
    clock.jump(50_000_000)
    host.ns += 10**9
    ptp.poll()
    assert ptp.state is PtpState.SLAVE
    assert abs(ptp.offset_ns()) <= 50
    assert abs(clock.ticks() - host.utc_ns()) > 10**9
