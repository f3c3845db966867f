"""A private MQTT broker on loopback, for the demo: mosquitto as a child process (decision 010)."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path

from inspector.errors import ConfigError

_START_S = 5.0


class PrivateBroker:
    """Mosquitto on a free loopback port, without persistence. Ends with us, however we end."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise ConfigError(
                "mosquitto is not installed: `apt-get install mosquitto`, "
                "or name a broker with --broker HOST:PORT"
            )
        self.port = _free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\n"
            "allow_anonymous true\n"
            "persistence false\n"
            "set_tcp_nodelay true\n"
            "max_inflight_messages 0\n"
            "log_type error\n"
        )
        self._log = (folder / "mosquitto.log").open("ab")
        folder.chmod(0o711)  # so that the broker can reach its file, and nobody can list the folder
        self._command = ["setpriv", *_as_nobody_special(), "--pdeathsig", "TERM"]
        self._command += [program, "-c", str(self._config)]
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, process_group=0
        )
        limit = time.monotonic() + _START_S
        while time.monotonic() < limit and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return process
            time.sleep(0.02)
        process.kill()
        process.wait()
        said = " ".join(Path(self._log.name).read_text(errors="replace").split())
        raise ConfigError(f"mosquitto did not start: {said or 'it said nothing'}")


def _as_nobody_special() -> list[str]:
    """Options of setpriv(1) that drop root. Mosquitto would do so itself, and lose the death signal."""
    if os.geteuid() != 0:
        return []
    try:
        account = pwd.getpwnam("mosquitto")
    except KeyError:
        account = pwd.getpwnam("nobody")
    return ["--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
