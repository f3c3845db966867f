"""Ctrl-C ends a command whenever it comes, loading its parts or writing a model: 130, and no traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tiny_box_model import write_box_model
from tiny_model import write_tiny_model

ROOT = Path(__file__).parents[2]
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


def interruptible(*command: str, cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, in `cwd`, importing from `path`; SIGINT is as in a terminal."""
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": str(path)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_ctrl_c_while_loading_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    command = ("-m", "inspector", "teach", "--good", "nowhere", "--name", "x")
    result = interruptible(*command, cwd=ROOT, path=tmp_path)
    assert result.returncode == 130, result.stderr
    assert result.stderr == ""


WRITING = """
import os, signal, sys
from inspector import cli
from inspector.detect.model import model_folder

whole = model_folder._write_through

def stopped(path, data):
    os.kill(os.getpid(), signal.SIGINT)
    whole(path, data)

model_folder._write_through = stopped
sys.argv = ["inspector", "merge", "tiny", "boxes", "--name", "both"]
cli.main()
"""


def test_ctrl_c_while_a_model_is_written_leaves_nothing(tmp_path: Path) -> None:
    """All runs of the graphs have ended by then, and OpenVINO must not have freed the signal's stack."""
    write_tiny_model(tmp_path / "models" / "tiny")
    write_box_model(tmp_path / "models" / "boxes")
    result = interruptible("-c", WRITING, cwd=tmp_path, path=ROOT)
    assert result.returncode == 130, result.stderr
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["boxes", "tiny"]
