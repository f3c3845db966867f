"""Whatever becomes of the language model, every part has its verdict in time and an explanation."""

import signal
from collections.abc import Callable
from pathlib import Path

from whole_cell import Demo, assert_every_part_judged

PARTS = 16


def test_damaged_weights(demo: Callable[..., Demo], tmp_path: Path) -> None:
    """Weights that load and babble are in tests/contract/test_llm_architectures.py."""
    path = tmp_path / "damaged.gguf"
    path.write_bytes(b"GGUF" + bytes(4000))
    run = demo("--parts", str(PARTS), "--scenario", "accuracy", "--seed", "5", "--llm", str(path))
    summary = run.summary()
    assert_every_part_judged(summary, PARTS)
    assert summary["late"] == 0, "\n".join(run.lines)
    assert summary["explanations"] == summary["explanations_expected"] > 0
    assert sum(summary["restarts"].values()) == 0
    assert any("damaged.gguf cannot be loaded" in line for line in run.lines), "\n".join(run.lines)


def test_a_stalled_explainer(demo: Callable[..., Demo]) -> None:
    run = demo("--parts", str(PARTS), "--scenario", "accuracy", "--seed", "5")
    run.wait_for(lambda line: line.startswith("P"))
    victim = run.service("inspector.services explainer")
    victim.send_signal(signal.SIGSTOP)
    summary = run.summary()
    assert_every_part_judged(summary, PARTS)
    assert summary["late"] == 0, "\n".join(run.lines)
    assert sum(summary["restarts"].values()) == summary["restarts"]["explainer"] == 1  # it was missed
