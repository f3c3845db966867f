"""A whole cell, as a user runs it (`inspector demo`), for the tests that watch one."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

INSPECTOR = Path(sys.executable).parent / "inspector"


class Demo:
    """One `inspector demo` process, its output, and its services."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.sessions = folder / "sessions"
        command = [str(INSPECTOR), "demo", "--json", "--llm", "none", "--linger", "10"]
        command += ["--sessions", str(self.sessions), *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
        )
        self.lines: list[str] = []

    def service(self, name: str) -> psutil.Process:
        """Find a service of this demo; waits until it is there."""
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                if name in " ".join(command_of(child)):
                    return child
            time.sleep(0.05)
        raise AssertionError(f"no process {name}")

    def wait_for(self, wanted: Callable[[str], bool]) -> str:
        """Read the output up to a line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if wanted(line):
                return line
        raise AssertionError("the demo ended early:\n" + "\n".join(self.lines))

    def summary(self) -> dict[str, Any]:
        """Read to the end; returns the JSON summary on the last line."""
        assert self.process.stdout is not None
        self.lines += [line.rstrip() for line in self.process.stdout]
        self.process.wait(60)
        try:
            result: dict[str, Any] = json.loads(self.lines[-1])
        except (IndexError, ValueError) as error:
            raise AssertionError("no summary:\n" + "\n".join(self.lines)) from error
        return result

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def leftovers(pid: int) -> list[str]:
    """Shared memory and processes that a demo left behind."""
    shared = [str(path) for path in Path("/dev/shm").glob(f"inspector_{pid}_*")]
    domain = f"--domain {pid} "
    return shared + [
        " ".join(command_of(process))
        for process in psutil.process_iter()
        if domain in " ".join(command_of(process)) + " "
    ]


def assert_every_part_judged(summary: dict[str, Any], parts: int) -> None:
    assert summary["parts"] == parts
    assert summary["verdicts"] == parts
    assert summary["duplicates"] == 0
    assert summary["violations"] == 0
