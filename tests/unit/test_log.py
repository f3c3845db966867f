"""The log: a line that cannot be written ends nobody."""

import subprocess
import sys
from pathlib import Path

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
