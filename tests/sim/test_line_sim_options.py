"""`line-sim run` with a wrong option: one clear line, and nothing left running."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--broker", "127.0.0.1:1"], "no broker at 127.0.0.1:1"),
        (["--broker", "nowhere:x"], "give HOST:PORT"),
        (["--scenario", "no-such"], "cannot be read; give a file or one of"),
        (["--base", "a b"], "--base a b"),
        (["--deadline-ms", "5000"], "belt.rejector_mm"),
        (["--images", "photos"], "--images has no use"),
        (["--camera-address", "10.255.255.1"], "no camera can be at 10.255.255.1"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options: list[str], message: str) -> None:
    command = [sys.executable, "-m", "line_sim.cli", "run", "--camera-address", "127.63.255.250"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == (1 if "no broker" in message else 2), done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
