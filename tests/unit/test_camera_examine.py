"""What the doctor says of a camera and its way to this computer."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.camera.examine import CameraFacts, Level, examine, wire_bytes
from inspector.camera.host_facts import HostFacts, host_facts

HOST = HostFacts(
    interface="eth1",
    loopback=False,
    mtu=9000,
    speed_mbit_per_s=1000,
    rmem_max=33_554_432,
    netdev_max_backlog=2000,
    rp_filter=2,
    governors=("performance",),
)
CAMERA = CameraFacts(
    payload_bytes=1280 * 1024,
    packet_bytes=8996,
    frame_rate_hz=60.0,
    link_bytes_per_s=125_000_000,
    exposure_us=1000.0,
    ptp_enabled=False,
    ptp_problem="PTP is switched off in the camera",
    frames=100,
    incomplete=0,
    lost=0,
)


def test_a_good_setup_has_nothing_wrong() -> None:
    assert {finding.level for finding in examine(HOST, CAMERA)} == {Level.OK}


@pytest.mark.parametrize(
    ("host", "camera", "check", "remedy"),
    [
        ({"mtu": 1500}, {"packet_bytes": 1500}, "MTU", "sudo ip link set eth1 mtu 9000"),
        ({}, {"packet_bytes": 1500}, "packet size", "GevSCPSPacketSize: 9000"),
        ({"mtu": 1500}, {}, "packet size", "GevSCPSPacketSize: 1500"),
        ({"rmem_max": 212_992}, {}, "socket buffer", "net.core.rmem_max=33554432"),
        ({"netdev_max_backlog": 1000}, {}, "backlog", "net.core.netdev_max_backlog=2000"),
        ({"governors": ("performance", "powersave")}, {}, "processor", "cpupower frequency-set"),
        ({"speed_mbit_per_s": 100}, {}, "link", "AcquisitionFrameRate: 9.0"),
        ({}, {"frame_rate_hz": 95.0}, "link", "AcquisitionFrameRate: 89.8"),
        ({}, {"link_bytes_per_s": 50_000_000}, "link", "AcquisitionFrameRate: 35.9"),
        ({}, {"exposure_us": 20_000.0}, "exposure", "ExposureTime: 15000"),
        ({}, {"incomplete": 1}, "frames", "cable"),
        ({}, {"lost": 3}, "frames", "cable"),
        ({}, {"frames": 0}, "frames", "nft list ruleset"),
        ({}, {"ptp_enabled": True}, "PTP", "phc2sys"),
    ],
)
def test_each_fault_is_told_with_its_remedy(
    host: dict[str, object], camera: dict[str, object], check: str, remedy: str
) -> None:
    found = list(examine(replace(HOST, **host), replace(CAMERA, **camera)))  # type: ignore[arg-type]
    wrong = [finding for finding in found if finding.level is Level.WRONG and finding.check == check]
    assert len(wrong) == 1, found
    assert remedy in wrong[0].remedy


def test_a_strict_reverse_path_is_a_hint() -> None:
    found = list(examine(replace(HOST, rp_filter=1), CAMERA))
    assert [finding.remedy for finding in found if finding.level is Level.HINT] == [
        "sudo sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.eth1.rp_filter=2"
    ]


def test_a_camera_that_waits_for_triggers_is_told_how_fast_they_may_come() -> None:
    found = list(examine(HOST, replace(CAMERA, frame_rate_hz=None, frames=0)))
    assert {finding.level for finding in found} == {Level.OK}
    assert any("triggers must not come faster" in finding.text for finding in found)


def test_the_ceiling_of_gigabit_is_the_measured_one() -> None:
    """90.8 and 94.6 frames/s of 1280x1024 Mono8 at 1500 and 9000 bytes."""
    assert 125e6 / wire_bytes(1280 * 1024, 1500) == pytest.approx(90.8, abs=0.2)
    assert 125e6 / wire_bytes(1280 * 1024, 9000) == pytest.approx(94.6, abs=0.2)


@given(
    interface=st.sampled_from(["", "eth1"]),
    mtu=st.sampled_from([None, 1500, 9000]),
    speed=st.sampled_from([None, 100, 1000]),
    few=st.booleans(),
    packet=st.sampled_from([None, 1500, 8996]),
    rate=st.sampled_from([None, 60.0, 200.0]),
    bad=st.integers(0, 2),
    ptp=st.booleans(),
)
def test_nothing_is_found_without_what_mends_it(
    *,
    interface: str,
    mtu: int | None,
    speed: int | None,
    few: bool,
    packet: int | None,
    rate: float | None,
    bad: int,
    ptp: bool,
) -> None:
    host = replace(HOST, interface=interface, mtu=mtu, speed_mbit_per_s=speed, rp_filter=int(few))
    host = replace(host, rmem_max=1000 if few else 1 << 26, netdev_max_backlog=1000 if few else 4000)
    camera = replace(CAMERA, packet_bytes=packet, frame_rate_hz=rate, link_bytes_per_s=None)
    camera = replace(camera, lost=bad, incomplete=bad, ptp_enabled=ptp, exposure_us=9000.0)
    for finding in examine(host, camera):
        assert (finding.level is Level.OK) == (not finding.remedy), finding


@given(payload=st.integers(1, 10**8), packet=st.integers(576, 65532))
def test_a_frame_takes_more_on_the_wire_than_it_holds(payload: int, packet: int) -> None:
    assert wire_bytes(payload, packet) > payload


def test_a_camera_on_this_computer_is_reached_over_loopback() -> None:
    facts = host_facts("127.0.0.1")
    assert facts.interface == "lo"
    assert facts.loopback
    assert host_facts("").interface == ""
