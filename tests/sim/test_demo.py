"""The whole cell, as a user runs it: real processes, real packets, a real broker."""

import os
import signal
import subprocess
from collections.abc import Callable

import psutil
import pytest
from whole_cell import INSPECTOR, Demo, assert_every_part_judged, command_of, leftovers


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
    assert [command_of(process) for process in alive] == []
    # Its shared memory is removed by the next start.
    following = demo("--parts", "2")
    following.summary()
    assert leftovers(run.process.pid) == []
