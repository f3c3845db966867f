"""A camera behind a cable of its own: a network namespace, a veth pair and a link of 1 Gbit/s.

Loopback has no packet size, no link rate and no broadcast. Here the camera is found by broadcast, jumbo
frames must be switched on, and the cable can be pulled.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass


def why_no_namespaces() -> str:
    """Return what is missing for `camera_network`; "" where nothing is."""
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            return f"needs {tool}: apt install iproute2"
    if os.geteuid() != 0:
        return "needs root, for a network namespace"
    name = f"inspector-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        return f"network namespaces are not permitted here: {tried.stderr.strip()}"
    _ip("netns", "del", name)
    return ""


@dataclass(frozen=True, slots=True)
class CameraNetwork:
    """The camera's side is in the namespace, the host's side in ours."""

    namespace: str
    host_device: str
    host_address: str
    camera_address: str

    def inside(self) -> list[str]:
        """What a command begins with that is to run on the camera's side."""
        return ["ip", "netns", "exec", self.namespace]

    def set_mtu(self, mtu: int) -> None:
        _ip("-n", self.namespace, "link", "set", "camera", "mtu", str(mtu))
        _ip("link", "set", self.host_device, "mtu", str(mtu))

    def set_rate(self, rate: str | None) -> None:
        """Let the camera send no faster than e.g. "1gbit"; None: as fast as it can."""
        qdisc = [*self.inside(), "tc", "qdisc"]
        remove = [*qdisc, "del", "dev", "camera", "root"]
        subprocess.run(remove, stderr=subprocess.DEVNULL, check=False)
        if rate is not None:
            shape = ["tbf", "rate", rate, "burst", "16kb", "latency", "200ms"]
            subprocess.run([*qdisc, "add", "dev", "camera", "root", *shape], check=True)

    def plug(self, *, connected: bool) -> None:
        """Pull the cable, or put it back."""
        _ip("-n", self.namespace, "link", "set", "camera", "up" if connected else "down")


@contextlib.contextmanager
def camera_network() -> Iterator[CameraNetwork]:
    """Make one; its names and addresses are this process's own."""
    pid = os.getpid()
    subnet = f"10.{200 + pid % 50}.{pid // 50 % 250}"
    network = CameraNetwork(f"inspector-{pid}", f"insp{pid}", f"{subnet}.2", f"{subnet}.1")
    namespace, device = network.namespace, network.host_device
    _ip("netns", "add", namespace)
    try:
        _ip("link", "add", device, "type", "veth", "peer", "name", "camera", "netns", namespace)
        _ip("-n", namespace, "address", "add", f"{subnet}.1/24", "brd", "+", "dev", "camera")
        _ip("address", "add", f"{subnet}.2/24", "brd", "+", "dev", device)
        for side in (["-n", namespace, "link", "set", "lo"], ["-n", namespace, "link", "set", "camera"]):
            _ip(*side, "up")
        _ip("link", "set", device, "up")
        yield network
    finally:
        _ip("netns", "del", namespace)  # and the cable with it


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
