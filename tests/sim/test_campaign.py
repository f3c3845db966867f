"""`line-sim campaign` with a real cell: kept, resumed, and a scenario of one's own."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "line_sim.cli", "campaign"]


def campaign(*arguments: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, text=True, check=False)
    last = done.stdout.splitlines()[-1] if done.stdout else "{}"
    return done.returncode, json.loads(last), done.stderr


def test_runs_are_judged_kept_after_ctrl_c_and_continued(tmp_path: Path) -> None:
    out = ["--seed", "3", "--out", str(tmp_path), "--shrink", "0"]
    first = subprocess.Popen([*COMMAND, "--runs", "50", *out], stderr=subprocess.DEVNULL)
    while not (tmp_path / "runs.jsonl").exists() and first.poll() is None:
        time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 130
    kept = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert 1 <= len(kept) <= 3
    _, total, said = campaign("--runs", str(len(kept) + 1), *out)
    assert "runs are there already, 1 to go" in said
    assert (tmp_path / "runs.jsonl").read_text().splitlines()[: len(kept)] == kept
    assert (total["runs"], total["parts"]) == (len(kept) + 1, 20 * (len(kept) + 1))
    # Not that none was late, which a busy machine may cause.
    assert total["one_verdict"] == total["parts"]
    assert (total["lost"], total["duplicate"], total["stale"]) == (0, 0, 0)
    assert total["replay"]["different"] == 0
    assert total["replay"]["equal"] > 0
    assert "| **all** |" in (tmp_path / "report.md").read_text()


def test_a_campaign_is_not_mixed_with_another(tmp_path: Path) -> None:
    (tmp_path / "campaign.txt").write_text("seed 3")
    status, _, said = campaign("--seed", "4", "--out", str(tmp_path))
    assert status == 2
    assert "holds the runs of seed 3, not of seed 4" in said
    assert said.count("\n") == 1
