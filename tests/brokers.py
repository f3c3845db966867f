"""Real brokers on a free loopback port, for tests: Debian's mosquitto, and amqtt from PyPI."""

import os
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

STARTS_WITHIN_S = 20.0


def mosquitto_binary() -> str | None:
    """Return the path of the broker; Debian puts it outside of a user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """Return a loopback port that nobody uses just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Broker(ABC):
    """One broker process: `start`, `stop` (in order), `kill` (SIGKILL); its port survives restarts."""

    name = "broker"

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Write the configuration into the folder, and return the command that runs the broker."""

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        self._directory.mkdir(parents=True, exist_ok=True)
        command = self.command()
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError(f"{self.name} did not start:\n{self.log()}") from error
                time.sleep(0.01)

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Stop it in order."""
        self._end(kill=False)

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self._end(kill=True)

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        self._signal("STOP")

    def resume(self) -> None:
        """Let a frozen broker go on."""
        self._signal("CONT")

    def log(self) -> str:
        """Return what it has said."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def _log_path(self) -> Path:
        return self._directory / f"{self.name}.log"

    def _signal(self, name: str) -> None:
        if self._process is not None:
            subprocess.run(["kill", f"-{name}", str(self._process.pid)], check=True)

    def _end(self, *, kill: bool) -> None:
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(timeout=10)
        self._process = None


class Mosquitto(Broker):
    """Needs Debian's `mosquitto` package.

    `options` are lines of mosquitto.conf; anonymous access is allowed unless they say otherwise.
    With `config`, a whole mosquitto.conf, they are left out; its listener must be `port`.
    """

    name = "mosquitto"

    def __init__(self, directory: Path, *, options: tuple[str, ...] = (), config: str | None = None) -> None:
        super().__init__(directory)
        self._options = options
        self.config = config

    def command(self) -> Sequence[str]:
        binary = mosquitto_binary()
        if binary is None:
            raise FileNotFoundError("mosquitto is not installed")
        if self.config is not None:
            lines = self.config.splitlines()
        else:
            lines = [f"listener {self.port} 127.0.0.1", "set_tcp_nodelay true", *self._options]
            if not any(line.startswith(("allow_anonymous", "password_file")) for line in lines):
                lines.append("allow_anonymous true")
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes another user, who cannot read our files
        path = self._directory / "mosquitto.conf"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [binary, "-c", str(path)]


AMQTT_CONFIG = """\
listeners:
  default: {{type: tcp, bind: "127.0.0.1:{port}"}}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
"""


class Amqtt(Broker):
    """A broker in Python: MQTT 3.1.1 only, QoS 1, Will, retained messages."""

    name = "amqtt"

    def command(self) -> Sequence[str]:
        path = self._directory / "amqtt.yaml"
        path.write_text(AMQTT_CONFIG.format(port=self.port), encoding="utf-8")
        return [str(Path(sys.executable).with_name("amqtt")), "-c", str(path)]
