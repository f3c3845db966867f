"""Cameras as real processes on loopback or host addresses, for tests that open or kill them."""

import ipaddress
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom

import psutil

PRODUCER = Path(__file__).parents[1] / "inspector" / "camera" / "producer"
LINE_SIM = Path(sys.executable).parent / "line-sim"
FAKE_CAMERA = "arv-fake-gv-camera-0.8"
_GVCP_PORT = 3956


def build_producer() -> Path:
    """Build our GenTL producer; returns the .cti."""
    subprocess.run(["make", "-s", "-C", str(PRODUCER)], check=True)
    return PRODUCER / "inspector_gev.cti"


def free_address() -> str:
    """Return a loopback address that nobody uses: all of 127/8 is this host."""
    random = SystemRandom()
    return f"127.{random.randint(64, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"


class CameraProcess:
    """A camera that can be killed and started again at the same address."""

    def __init__(self, command: list[str], address: str, serial: str) -> None:
        self.address, self.serial = address, serial
        self._command = command
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        while not self._listens():
            assert self._process.poll() is None, "the camera did not start"
            time.sleep(0.005)  # not to take the processor from what is waited for

    def kill(self) -> None:
        """SIGKILL: no goodbye to anyone."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def last_words(self) -> str:
        """End it in good order; return all that it said, its own count of frames and packets with it."""
        if self._process is None:
            return "the camera was ended before"
        self._process.terminate()
        said, _ = self._process.communicate(timeout=30)
        self._process = None
        return said.strip()

    def freeze(self) -> None:
        """SIGSTOP: silent like a camera whose cable was pulled; not even its host says that it is gone."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def _listens(self) -> bool:
        """Ask the process' own network namespace."""
        assert self._process is not None
        octets = ipaddress.IPv4Address(self.address).packed[::-1].hex().upper()  # as little-endian hosts do
        table = Path(f"/proc/{self._process.pid}/net/udp").read_text()
        return f" {octets}:{_GVCP_PORT:04X} " in table


def virtual_camera(*options: str) -> CameraProcess:
    """The line simulator's camera, free running at 50 Hz."""
    address = free_address()
    serial = "T" + address.replace(".", "")[3:]
    command = [str(LINE_SIM), "camera", "--address", address, "--serial", serial]
    command += ["--width", "640", "--height", "480", "--frame-rate", "50", *options]
    return CameraProcess(command, address, serial)


def aravis_camera() -> CameraProcess | str:
    """Aravis' own fake camera, or why there is none. It only takes an interface's own address."""
    if shutil.which(FAKE_CAMERA) is None:
        return f"needs {FAKE_CAMERA}: apt install aravis-tools"
    for address in _host_addresses():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, _GVCP_PORT))
            except OSError:
                continue  # another camera has it
        return CameraProcess([FAKE_CAMERA, "-i", address, "-s", "ARVFAKE"], address, "ARVFAKE")
    return "every address of this host has a camera already"


def _host_addresses() -> Iterator[str]:
    for addresses in psutil.net_if_addrs().values():
        yield from (each.address for each in addresses if each.family == socket.AF_INET)
