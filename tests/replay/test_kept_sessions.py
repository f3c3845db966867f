"""The recorded sessions in this folder give their verdicts again: at any speed, on one core and on all,
with and without fused multiply-add. What `inspector replay tests/replay` does for a user.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.store.layout import session_folders
from inspector.store.reader import SessionReader
from inspector.topics import VERDICTS
from inspector.types import Action, ReasonCode

HERE = Path(__file__).parent
NO_FMA = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX512F"}
COMMAND = "import os, sys; os.sched_setaffinity(0, {cores}); from inspector.cli import main; main()"


def replayed(*options: str, cores: set[int], environment: dict[str, str]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND.format(cores=cores), "replay", str(HERE), "--json", *options],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return _objects(done.stdout)


def _objects(text: str) -> list[dict[str, Any]]:
    found, decoder = [], json.JSONDecoder()
    while text := text.strip():
        one, end = decoder.raw_decode(text)
        found.append(one)
        text = text[end:]
    return found


def test_every_verdict_comes_again_at_any_speed_on_any_cores_and_processor() -> None:
    cores = os.sched_getaffinity(0)
    once = replayed(cores=cores, environment={"PYTHONHASHSEED": "1"})
    slower = replayed("--speed", "30", cores={min(cores)}, environment={"PYTHONHASHSEED": "2", **NO_FMA})
    assert once == slower
    assert [report["recorded"] for report in once] == [33, 40, 24]
    assert all(report["equal"] == report["recorded"] for report in once)


def test_what_the_sessions_are_there_for_is_in_them() -> None:
    verdicts = [
        record.verdict for path in session_folders(HERE) for record in SessionReader(path).messages(VERDICTS)
    ]
    reasons = {ReasonCode.EMERGENCY, ReasonCode.EVIDENCE_MISSING, ReasonCode.TRIGGER_LATE}
    assert {ReasonCode.GOOD, ReasonCode.DEFECT, *reasons} <= {verdict.reason_code for verdict in verdicts}
    assert {verdict.action for verdict in verdicts} == set(Action)
    assert {"arbiter down", "detector down"} <= {verdict.cause for verdict in verdicts}


def test_a_decision_that_changed_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspector.fusion.pool._CERTAIN", 0.2)  # as if somebody had made it cautious
    done = CliRunner().invoke(app, ["replay", str(HERE)])
    assert done.exit_code == 1
    assert "DIFFERENT" in done.output
    assert "p_defect 0.0" in done.output
