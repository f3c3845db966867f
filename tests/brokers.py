"""A real mosquitto on a free loopback port, for tests. Needs Debian's `mosquitto` package."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

STARTS_WITHIN_S = 10.0


def mosquitto_binary() -> str | None:
    """Return the path of the broker; Debian puts it outside of a user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """Return a loopback port that nobody uses just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Mosquitto:
    """One broker: `start`, `stop` (in order), `kill` (SIGKILL); it keeps its port over restarts.

    `options` are lines of mosquitto.conf; anonymous access is allowed unless they say otherwise.
    """

    def __init__(self, directory: Path, *, options: tuple[str, ...] = ()) -> None:
        self.port = free_port()
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        binary = mosquitto_binary()
        if binary is None:
            raise FileNotFoundError("mosquitto is not installed")
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "set_tcp_nodelay true", *self._options]
        if not any(line.startswith(("allow_anonymous", "password_file")) for line in lines):
            lines.append("allow_anonymous true")
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes another user, who cannot read our files
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with (self._directory / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary, "-c", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError(f"mosquitto did not start:\n{self.log()}") from error
                time.sleep(0.01)

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
        return (self._directory / "mosquitto.log").read_text(encoding="utf-8", errors="replace")

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
