"""The whole cell, as a user runs it: real processes, real packets, a real broker."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

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
                if name in " ".join(_command(child)):
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


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(*arguments: str) -> Demo:
        started.append(Demo(tmp_path, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        assert leftovers(each.process.pid) == []


def leftovers(pid: int) -> list[str]:
    """Shared memory and processes that a demo left behind."""
    shared = [str(path) for path in Path("/dev/shm").glob(f"inspector_{pid}_*")]
    domain = f"--domain {pid} "
    return shared + [
        " ".join(_command(process))
        for process in psutil.process_iter()
        if domain in " ".join(_command(process)) + " "
    ]


def assert_every_part_judged(summary: dict[str, Any], parts: int) -> None:
    assert summary["parts"] == parts
    assert summary["verdicts"] == parts
    assert summary["duplicates"] == 0
    assert summary["violations"] == 0


def test_a_newcomers_first_run(demo: Callable[..., Demo]) -> None:
    run = demo("--parts", "20", "--seed", "11", "--scenario", "default")
    summary = run.summary()
    assert run.process.returncode == 0, "\n".join(run.lines)
    assert_every_part_judged(summary, 20)
    assert summary["escapes"] == 0
    assert summary["frames_lost"] == 0
    assert summary["explanations"] == summary["explanations_expected"] > 0
    assert summary["emergencies"] == summary["emergencies_raised"]
    assert set(summary["latency_ms"]) == {"p50", "p95", "p99"}
    assert set(summary["stages_ms"]) == {"acquire", "queue", "detect", "decide", "deliver"}
    replay = subprocess.run(
        [str(INSPECTOR), "replay", summary["session"], "--json"], capture_output=True, text=True, check=False
    )
    assert replay.returncode == 0, replay.stdout + replay.stderr


@pytest.mark.parametrize("service", ["detector", "camera.", "recorder", "explainer"])
def test_a_killed_service_costs_no_part_its_verdict(demo: Callable[..., Demo], service: str) -> None:
    run = demo("--parts", "24", "--scenario", "accuracy", "--seed", "5")
    run.wait_for(lambda line: line.startswith("P") and "5 " in line[:9])
    victim = run.service(f"inspector.services {service}")
    victim.send_signal(signal.SIGKILL)
    summary = run.summary()
    assert_every_part_judged(summary, 24)
    assert summary["late"] == 0, "\n".join(run.lines)
    assert summary["escapes"] == 0
    assert sum(summary["restarts"].values()) == 1
    if service in {"detector", "camera."}:
        blind = [line for line in run.lines if "missing vision" in line]
        assert blind, "\n".join(run.lines)
        assert all(" HOLD " in line and f"{service.rstrip('.')}" in line for line in blind), "\n".join(blind)


def test_ctrl_c_ends_everything(demo: Callable[..., Demo]) -> None:
    run = demo("--parts", "500")
    run.wait_for(lambda line: line.startswith("P"))
    os.kill(run.process.pid, signal.SIGINT)
    assert run.process.wait(20) == 130
    assert leftovers(run.process.pid) == []


def test_a_killed_supervisor_takes_its_services_along(demo: Callable[..., Demo]) -> None:
    run = demo("--parts", "500")
    run.wait_for(lambda line: line.startswith("P"))
    children = psutil.Process(run.process.pid).children(recursive=True)
    assert len(children) >= 7  # five services, the line, the broker
    run.process.kill()
    run.process.wait()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert [_command(process) for process in alive] == []
    # Its shared memory is removed by the next start.
    following = demo("--parts", "2")
    following.summary()
    assert leftovers(run.process.pid) == []
