"""Drift is told before good parts are rejected, and never of parts as they were taught."""

from pathlib import Path

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import write_tiny_model

from inspector.detect.drift import FEWEST, TYPICAL_GOOD, Drift, DriftMonitor

TYPICAL = 0.01


def _p(log_odds: float) -> float:
    return float(1.0 / (1.0 + np.exp(-log_odds)))


def _run(parts: list[float]) -> list[Drift]:
    monitor = DriftMonitor(TYPICAL, 0.5)
    return [drift for p in parts if (drift := monitor.add(p)) is not None]


def _good(rng: np.random.Generator, shift: float = 0.0) -> float:
    return _p(np.log(TYPICAL / (1 - TYPICAL)) + shift + rng.normal(0, 1.0))


def test_a_slow_drift_is_told_once_and_before_good_parts_are_rejected() -> None:
    rng = np.random.default_rng(0)
    monitor = DriftMonitor(TYPICAL, 0.5)
    parts, began = [], []
    for number in range(1500):
        parts.append(_good(rng, shift=number * 0.004))
        drift = monitor.add(parts[-1])
        if drift is not None and drift.began:
            began.append(number)
    assert len(began) == 1
    assert np.mean(np.array(parts[began[0] - 100 : began[0]]) >= 0.5) < 0.03


def test_parts_as_taught_never_raise_it_with_defects_among_them_either() -> None:
    rng = np.random.default_rng(1)
    parts = [0.999 if rng.random() < 0.2 else _good(rng) for _ in range(3000)]
    found = _run(parts)
    assert not any(drift.drifting for drift in found)
    assert max(drift.margin_used for drift in found) < 0.3


def test_a_sudden_change_that_rejects_every_part_is_seen() -> None:
    rng = np.random.default_rng(2)
    found = _run([_good(rng) for _ in range(200)] + [0.99] * 60)
    assert sum(drift.began for drift in found) == 1
    assert found[-1].drifting
    assert "teach again" in found[-1].text


def test_it_is_over_when_parts_look_as_before() -> None:
    rng = np.random.default_rng(3)
    found = _run([_good(rng, 4.0) for _ in range(150)] + [_good(rng) for _ in range(150)])
    assert any(drift.drifting for drift in found)
    assert not found[-1].drifting


def test_nothing_is_said_of_a_few_parts() -> None:
    assert _run([0.9] * (FEWEST - 1)) == []


def test_a_model_that_does_not_say_how_good_parts_scored_has_no_monitor(tmp_path: Path) -> None:
    manifest = write_tiny_model(tmp_path / "tiny")
    assert DriftMonitor.of(manifest) is None
    assert DriftMonitor.of(msgspec.structs.replace(manifest, metrics={TYPICAL_GOOD: 0.01})) is not None


@given(st.lists(st.floats(0.0, 1.0), min_size=FEWEST, max_size=80), st.floats(0.0, 1.0))
def test_any_probability_gives_a_finite_answer(parts: list[float], typical: float) -> None:
    monitor = DriftMonitor(typical, 0.5)
    for p in parts:
        drift = monitor.add(p)
    assert drift is not None
    assert np.isfinite(drift.margin_used)
