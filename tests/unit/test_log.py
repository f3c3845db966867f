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


def test_a_log_without_standard_error_ends_nobody() -> None:
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", SCRIPT]
    assert subprocess.run(shell, stdout=subprocess.PIPE, text=True, check=False).stdout == "alive\n"


def test_what_json_does_not_know_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("camera")
    itself: list[object] = []
    itself.append(itself)
    log.get().warning("odd", pair={(1, 2): "tuple"}, itself=itself, raw=b"\xff", text="\ud800")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["pair"], line["itself"]) == ("odd", "{(1, 2): 'tuple'}", "[[...]]")


def test_lines_of_several_threads_stay_whole(tmp_path: Path) -> None:
    script = """
import threading
from inspector import log
log.configure("supervisor")
def write(thread):
    for number in range(100):
        log.get().info("line", thread=thread, number=number, text="x" * (20000 if number % 25 == 0 else 20))
threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    with (tmp_path / "log").open("w") as stderr:
        subprocess.run([sys.executable, "-c", script], stderr=stderr, check=True)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {(line["thread"], line["number"]) for line in lines} == {
        (t, n) for t in range(4) for n in range(100)
    }
    assert len(lines) == 400


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
