"""The log: a line that cannot be written ends nobody."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from inspector import log

SCRIPT = """
import logging
from inspector import log
log.configure("supervisor")
for _ in range(3):
    log.get().warning("detector ended", code="DIED")
    logging.getLogger("library").error("so did I")
print("alive")
"""


def run(log_file: Path) -> subprocess.CompletedProcess[str]:
    with log_file.open("w") as stderr:
        return subprocess.run(
            [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=stderr, text=True, check=False
        )


def test_a_log_on_a_full_disk_ends_nobody() -> None:
    ended = run(Path("/dev/full"))
    assert ended.stdout == "alive\n"


def test_each_line_is_there_when_there_is_room(tmp_path: Path) -> None:
    run(tmp_path / "log")
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 6
    assert '"code": "DIED"' in lines[0]


def test_a_line_says_who_when_and_what_was_bound(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("camera")
    logger = log.get().bind(camera_id="c1", path=Path("/dev"))
    try:
        raise OSError("no such camera")
    except OSError:
        logger.exception("opening failed", tries=2)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert "OSError: no such camera" in line.pop("exception")
    assert line == {
        "camera_id": "c1", "path": "/dev", "tries": 2, "service": "camera",
        "event": "opening failed", "level": "error",
    }  # fmt: skip


def test_lines_for_people_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("camera", human=True)
    log.get().warning("waiting", camera_id="c1")
    assert "[warning] waiting  camera_id=c1" in capsys.readouterr().err
