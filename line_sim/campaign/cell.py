"""The cell under test: `inspector run` as a program, its own broker behind a proxy, its own folders."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import psutil
import yaml

from inspector.errors import ConfigError, DeviceError
from line_sim.campaign.proxy import BrokerProxy

_START_S: Final = 10.0
_STOP_S: Final = 20.0
STORM_SENSOR: Final = "storm1"


def program(name: str, package: str) -> str:
    """Find a command beside this interpreter, or on the path. Raises ConfigError."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(
        name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    )
    if found is None:
        raise ConfigError(f"{name} is not installed: {package}")
    return found


class Mosquitto:
    """A broker of our own on a free loopback port. Ends with us."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "set_tcp_nodelay true"]
        lines += ["max_inflight_messages 0", "max_queued_messages 0", "log_type error"]
        lines += ["user root"] if os.geteuid() == 0 else []
        config = folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = ["setpriv", "--pdeathsig", "TERM", program("mosquitto", "apt-get install mosquitto")]
        with (folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([*command, "-c", str(config)], stdout=log, stderr=log)
        limit_s = time.monotonic() + _START_S
        while time.monotonic() < limit_s and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        self.stop()
        raise ConfigError(f"mosquitto did not start: see {folder / 'mosquitto.log'}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(_STOP_S)


class Cell:
    """One cell, made of a pattern site file. Start it when its cameras answer.

    `folder` keeps its site, its log and its sessions. The broker is told to the line by `proxy.port`.
    """

    def __init__(self, folder: Path, pattern: Path, camera_address: str, sessions: Path) -> None:
        self._folder = folder
        self.sessions = sessions
        site = _read_yaml(pattern)
        self.base = str(site.get("base_topic", ""))
        self.deadline_ms = float(site.get("decision", {}).get("deadline_ms", 250))
        self._site = site
        self._write_cameras(site, pattern.parent, camera_address)
        self._mosquitto = Mosquitto(folder)
        self.proxy = BrokerProxy(self._mosquitto.port)
        site["broker"] = {"host": "127.0.0.1", "port": self.proxy.port}
        site["recorder"] = {"directory": str(sessions), "frames": "none"}
        site["explainer"] = {"model": "none"}
        site["detector"]["model"] = str(_model(pattern, site["detector"]["model"]))
        site["sensors"] = [*site.get("sensors", ()), _STORM]
        (folder / "site.yaml").write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the inspector."""
        command = ["setpriv", "--pdeathsig", "TERM", program("inspector", "run `make setup`")]
        with (self._folder / "cell.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "run", str(self._folder / "site.yaml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def last_words(self) -> str:
        """The end of what it said."""
        lines = (self._folder / "cell.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return " ".join(lines[-3:])

    def services(self) -> dict[str, psutil.Process]:
        """Its processes by the name of their service, as of now."""
        if self._process is None:
            return {}
        found: dict[str, psutil.Process] = {}
        try:
            for child in psutil.Process(self._process.pid).children():
                words = child.cmdline()
                if "inspector.services" in words:
                    found[words[words.index("inspector.services") + 1]] = child
        except psutil.Error:
            return found
        return found

    def service(self, name: str) -> psutil.Process | None:
        """One process; a name such as `camera` stands for the first camera."""
        services = self.services()
        return services.get(name) or next((p for n, p in services.items() if n.startswith(f"{name}.")), None)

    def wait_whole(self, names: set[str], timeout_s: float) -> None:
        """Wait until every service has a process again. Raises DeviceError."""
        limit_s = time.monotonic() + timeout_s
        while not names <= set(self.services()):
            if time.monotonic() > limit_s or not self.alive:
                gone = ", ".join(sorted(names - set(self.services())))
                raise DeviceError(f"not back after {timeout_s:g} s: {gone}; {self.last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the inspector, then proxy and broker."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.proxy.stop()
        self._mosquitto.stop()

    def _write_cameras(self, site: dict[str, Any], root: Path, address: str) -> None:
        for number, name in enumerate(site["cameras"]):
            camera = _read_yaml(root / name)
            camera["interface_address"] = address
            path = self._folder / f"camera{number}.yaml"
            path.write_text(yaml.safe_dump(camera, sort_keys=False), encoding="utf-8")
            site["cameras"][number] = path.name


_STORM: Final[dict[str, Any]] = {
    "id": STORM_SENSOR,
    "kind": "vibration",
    "unit": "mm/s",
    "min_value": 0.0,
    "max_value": 100.0,
}


def _model(pattern: Path, name: str) -> Path:
    for folder in (pattern.parent, *pattern.resolve().parents):
        for place in (folder / name, folder / "models" / name):
            if (place / "manifest.yaml").is_file():
                return place.resolve()
    raise ConfigError(f"{pattern}: detector.model: no model {name!r}")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as a site or camera file: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: is no site or camera file")
    return data
