"""What is wrong between a camera and this computer, and the command that mends it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from inspector.camera.host_facts import HostFacts

JUMBO_MTU = 9000
RMEM_MAX = 33_554_432
BACKLOG = 2000
_SOCKET_BUFFER = 4 << 20  # what our producer asks for
_FRAMES_BUFFERED = 2  # in the socket, while Python or the kernel is busy
_MOST_LOAD = 0.95  # of the link; resent packets need room too
# GigE Vision 2.0: IP, UDP and GVSP headers are part of the packet size; Ethernet's preamble, header,
# checksum and gap are not.
_IN_PACKET, _AROUND_PACKET = 36, 38


class Level(StrEnum):
    OK = "ok"
    HINT = "hint"  # may be right as it is
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class CameraFinding:
    """One thing that was looked at; `remedy` is a command or a line of the camera file."""

    level: Level
    check: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFacts:
    """What the opened camera is set to and did; None where it does not tell."""

    payload_bytes: int
    packet_bytes: int | None
    frame_rate_hz: float | None  # None: it waits for triggers
    link_bytes_per_s: int | None  # the smaller one of link speed and throughput limit
    exposure_us: float
    ptp_enabled: bool | None  # None: it has no PTP
    ptp_problem: str  # "" when it was verified
    frames: int  # that were fetched to try
    incomplete: int
    lost: int


def wire_bytes(payload_bytes: int, packet_bytes: int) -> int:
    """Bytes that one frame takes on the wire, leader and trailer included."""
    packets = -(-payload_bytes // (packet_bytes - _IN_PACKET))
    overhead = (packets + 2) * (_IN_PACKET + _AROUND_PACKET)
    return payload_bytes + overhead


def examine(host: HostFacts, camera: CameraFacts) -> Iterator[CameraFinding]:
    """Judge, in the order in which one would mend."""
    yield from _network(host, camera)
    yield from _link(host, camera)
    yield from _frames(host, camera)
    yield _ptp(host, camera)
    yield from _computer(host)


def _network(host: HostFacts, camera: CameraFacts) -> Iterator[CameraFinding]:
    if not host.interface:
        text = "not known which network port leads to the camera"
        yield CameraFinding(Level.HINT, "interface", text, "ip route  # and the camera's address in its file")
    elif host.loopback:
        yield CameraFinding(Level.OK, "interface", "lo: the camera is on this computer")
    elif host.mtu is not None and host.mtu < JUMBO_MTU:
        text = f"{host.interface} has MTU {host.mtu}: six times the packets, and the processor time"
        remedy = f"sudo ip link set {host.interface} mtu {JUMBO_MTU}  # the switch must allow it too"
        yield CameraFinding(Level.WRONG, "MTU", text, remedy)
    else:
        yield CameraFinding(Level.OK, "MTU", f"{host.interface} has MTU {host.mtu}")
    if camera.packet_bytes is not None:
        yield _packet_size(camera.packet_bytes, host)
    if host.rmem_max is not None:
        need = max(_SOCKET_BUFFER, _FRAMES_BUFFERED * camera.payload_bytes)
        level = Level.OK if host.rmem_max >= min(need, RMEM_MAX) else Level.WRONG
        text = f"net.core.rmem_max is {host.rmem_max}"
        remedy = f"sudo sysctl -w net.core.rmem_max={RMEM_MAX}"
        if level is Level.WRONG:
            text += f", {_FRAMES_BUFFERED} frames need {need}: packets are lost when the computer is busy"
        yield CameraFinding(level, "socket buffer", text, remedy if level is Level.WRONG else "")
    if host.netdev_max_backlog is not None and not host.loopback:
        few = host.netdev_max_backlog < BACKLOG
        yield CameraFinding(
            Level.WRONG if few else Level.OK,
            "backlog",
            f"net.core.netdev_max_backlog is {host.netdev_max_backlog}"
            + (", a burst of one frame may not fit" if few else ""),
            f"sudo sysctl -w net.core.netdev_max_backlog={BACKLOG}" if few else "",
        )


def _packet_size(packet_bytes: int, host: HostFacts) -> CameraFinding:
    mtu = host.mtu or JUMBO_MTU
    said = f"GevSCPSPacketSize is {packet_bytes}"
    if packet_bytes > mtu:
        remedy = f"settings: GevSCPSPacketSize: {mtu - mtu % 4}"
        return CameraFinding(
            Level.WRONG, "packet size", f"{said}, more than the MTU {mtu}: packets are torn", remedy
        )
    if mtu >= JUMBO_MTU > 2 * packet_bytes and not host.loopback:
        remedy = "settings: GevSCPSPacketSize: 9000, and jumbo frames on in the switch"
        return CameraFinding(Level.WRONG, "packet size", f"{said}, although the MTU is {mtu}", remedy)
    return CameraFinding(Level.OK, "packet size", said)


def _link(host: HostFacts, camera: CameraFacts) -> Iterator[CameraFinding]:
    speeds = [camera.link_bytes_per_s, host.speed_mbit_per_s and host.speed_mbit_per_s * 125_000]
    speed = min((each for each in speeds if each), default=None)
    if speed is None or camera.packet_bytes is None:
        text = "neither camera nor computer tells the speed of the link"
        yield CameraFinding(Level.HINT, "link", text, f"sudo ethtool {host.interface or 'INTERFACE'}")
        return
    most_hz = _MOST_LOAD * speed / wire_bytes(camera.payload_bytes, camera.packet_bytes)
    text = f"{speed / 125_000:.0f} Mbit/s carry {most_hz:.1f} frames/s of {camera.payload_bytes} bytes"
    if camera.frame_rate_hz is None:
        yield CameraFinding(Level.OK, "link", f"{text}; triggers must not come faster")
    elif camera.frame_rate_hz > most_hz:
        remedy = (
            f"settings: AcquisitionFrameRate: {most_hz:.1f}, or a smaller Width and Height, or a format "
            "of fewer bits"
        )
        wanted = f"{text}, set are {camera.frame_rate_hz:g}"
        yield CameraFinding(Level.WRONG, "link", wanted, remedy)
    else:
        yield CameraFinding(Level.OK, "link", f"{text}, set are {camera.frame_rate_hz:g}")
    if camera.frame_rate_hz is not None and camera.exposure_us * camera.frame_rate_hz > 1e6:
        remedy = f"settings: ExposureTime: {0.9e6 / camera.frame_rate_hz:.0f}"
        text = f"ExposureTime {camera.exposure_us:g} us does not fit {camera.frame_rate_hz:g} frames/s"
        yield CameraFinding(Level.WRONG, "exposure", text, remedy)


def _frames(host: HostFacts, camera: CameraFacts) -> Iterator[CameraFinding]:
    if camera.incomplete or camera.lost:
        text = f"of {camera.frames} frames {camera.incomplete} came incomplete, {camera.lost} never came"
        counters = f"sudo ethtool -S {host.interface or 'INTERFACE'} | grep -iE 'drop|err|miss'"
        remedy = f"{counters}  # after what is wrong above is mended: cable, switch port, network card"
        yield CameraFinding(Level.WRONG, "frames", text, remedy)
    elif camera.frames:
        yield CameraFinding(Level.OK, "frames", f"{camera.frames} came, all complete")
    elif camera.frame_rate_hz is None:
        yield CameraFinding(Level.OK, "frames", "none tried: the camera waits for a trigger")
    else:
        text = "none came, though the camera answers: a firewall drops its packets, most often"
        yield CameraFinding(Level.WRONG, "frames", text, "sudo nft list ruleset  # let its UDP packets in")


def _ptp(host: HostFacts, camera: CameraFacts) -> CameraFinding:
    if camera.ptp_enabled is None:
        return CameraFinding(Level.OK, "PTP", "the camera has none; its clock is fitted to ours")
    if not camera.ptp_enabled:
        text = "switched off; the camera's clock is fitted to ours, well within 1 ms"
        return CameraFinding(Level.OK, "PTP", text)
    if camera.ptp_problem:
        remedy = (
            f"sudo ptp4l -i {host.interface or 'INTERFACE'} -s & sudo phc2sys -a -r"
            "  # both follow one master, then wait 30 s; else settings: PtpEnable: false"
        )
        return CameraFinding(Level.WRONG, "PTP", f"not relied on: {camera.ptp_problem}", remedy)
    return CameraFinding(Level.OK, "PTP", "locked, and the camera's clock is this computer's")


def _computer(host: HostFacts) -> Iterator[CameraFinding]:
    if host.rp_filter == 1 and not host.loopback and host.interface:
        yield CameraFinding(
            Level.HINT,
            "firewall",
            f"rp_filter is strict on {host.interface}: cameras of another subnet are not heard",
            f"sudo sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{host.interface}.rp_filter=2",
        )
    slow = [each for each in host.governors if each != "performance"]
    if slow:
        text = f"governor {', '.join(slow)}: the processor sleeps between frames and wakes up late"
        remedy = "sudo cpupower frequency-set -g performance"
        yield CameraFinding(Level.WRONG, "processor", text, remedy)
    else:
        yield CameraFinding(Level.OK, "processor", "runs at full speed, or is not ours to set")
