"""What this computer's kernel says about the way to a camera. Linux; a missing file is None."""

import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

_GVCP_PORT = 3956


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """`interface` is "" where there is no way to the camera, or its producer hides the address."""

    interface: str
    loopback: bool
    mtu: int | None
    speed_mbit_per_s: int | None
    rmem_max: int | None
    netdev_max_backlog: int | None
    rp_filter: int | None  # 1 is strict; the larger one of all and this interface counts
    governors: tuple[str, ...]  # of all processors, () where the host does not scale them


def host_facts(camera_address: str) -> HostFacts:
    """Look the way to `camera_address` up; sends nothing."""
    interface = _interface_to(camera_address) if camera_address else ""
    stats = psutil.net_if_stats().get(interface)
    rp_filters = [_number(f"/proc/sys/net/ipv4/conf/{name}/rp_filter") for name in ("all", interface)]
    governors = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return HostFacts(
        interface=interface,
        loopback=interface == "lo",
        mtu=stats.mtu if stats is not None else None,
        speed_mbit_per_s=(stats.speed or None) if stats is not None else None,
        rmem_max=_number("/proc/sys/net/core/rmem_max"),
        netdev_max_backlog=_number("/proc/sys/net/core/netdev_max_backlog"),
        rp_filter=max((each for each in rp_filters if each is not None), default=None),
        governors=tuple(sorted({path.read_text().strip() for path in governors})),
    )


def _interface_to(address: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, _GVCP_PORT))  # of a UDP socket: only the route is looked up
        except OSError:
            return ""
        own = probe.getsockname()[0]
    if own.startswith("127."):
        return "lo"
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.family == socket.AF_INET and each.address == own for each in addresses):
            # A camera at one of this host's own addresses is reached over the loopback interface.
            return "lo" if own == address else name
    return ""


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
