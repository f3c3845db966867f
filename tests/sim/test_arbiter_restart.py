"""The arbiter is killed while parts are open: each of them has one verdict all the same."""

import signal
import subprocess
from collections.abc import Callable

from whole_cell import INSPECTOR, Demo, assert_every_part_judged


def test_a_killed_arbiter_costs_no_part_its_verdict(demo: Callable[..., Demo]) -> None:
    run = demo("--parts", "20", "--scenario", "accuracy", "--seed", "5")
    run.wait_for(lambda line: line.startswith("P000005"))
    run.service("inspector.services arbiter").send_signal(signal.SIGKILL)
    summary = run.summary()
    assert_every_part_judged(summary, 20)
    assert summary["escapes"] == 0
    assert summary["restarts"]["arbiter"] == 1
    down = [line for line in run.lines if line.startswith("P") and "arbiter down" in line]
    assert down or summary["undelivered"], "\n".join(run.lines)  # where it took long to come back
    assert all(" HOLD " in line for line in down)
    replay = subprocess.run(
        [str(INSPECTOR), "replay", summary["session"], "--json"], capture_output=True, text=True, check=False
    )
    assert replay.returncode == 0, replay.stdout + replay.stderr
