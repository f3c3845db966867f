"""Ctrl-C while a command is still loading its parts ends it as at any later time: 130, and no traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

SITE = """
import os, signal, sys

class Stop:
    "Ctrl-C comes while the command is looking for one of its parts."

    def find_spec(self, name, path=None, target=None):
        if name == "inspector.detect.commands":
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, Stop())
"""


def test_ctrl_c_while_loading_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    result = subprocess.run(
        [sys.executable, "-m", "inspector", "teach", "--good", "nowhere", "--name", "x"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert result.returncode == 130, result.stderr
    assert result.stderr == ""
