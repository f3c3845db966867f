"""Curves: good ones are learnt, bad ones stand out, malformed ones are refused; the command says how."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.errors import ConfigError, DataError
from inspector.sensors.curve_file import load_model
from inspector.sensors.curve_model import LEAST, CurveScorer, teach

Curve = tuple[list[float], list[float]]


def curve(seed: int, *, stuck: float = 0.0) -> Curve:
    """Torque over angle of a screw that comes loose; a stuck one needs more in the middle."""
    random = np.random.default_rng(seed)
    angle = np.sort(random.uniform(0, 1000 + 50 * random.normal(), 200))
    torque = -1.5 * np.exp(-angle / 100) + 0.02 * random.normal(size=200)
    torque -= stuck * np.exp(-(((angle - 500) / 80) ** 2))
    return angle.tolist(), torque.tolist()


def test_bad_curves_stand_out_and_good_ones_do_not() -> None:
    scorer = CurveScorer(teach([curve(seed) for seed in range(200)]))
    good = [scorer.deviation(*curve(seed)) for seed in range(1000, 1100)]
    bad = [scorer.deviation(*curve(seed, stuck=0.5)) for seed in range(2000, 2020)]
    assert sum(deviation > 1.0 for deviation in good) <= 6
    assert min(bad) > 1.0 > np.median(good)


def test_scores_do_not_depend_on_the_machine_run_or_sampling() -> None:
    model = teach([curve(seed) for seed in range(60)])
    assert teach([curve(seed) for seed in range(60)]) == model
    angle, torque = curve(99)
    finer = np.linspace(angle[0], angle[-1], 2000)
    scorer = CurveScorer(model)
    same = scorer.deviation(finer.tolist(), np.interp(finer, angle, torque).tolist())
    assert same == pytest.approx(scorer.deviation(angle, torque), rel=0.2)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([1.0] * 9, [1.0] * 9),
        (list(range(9)), [0.0] * 8),
        (list(range(9)), [float("nan")] * 9),
        (list(range(9)), [1e300] * 9),
        ([float("inf")] * 9, [0.0] * 9),
        (list(range(7)), list(range(7))),
    ],
)
def test_what_is_no_curve_is_refused(x: list[float], y: list[float]) -> None:
    scorer = CurveScorer(teach([curve(seed) for seed in range(LEAST)]))
    with pytest.raises(DataError, match="curve"):
        scorer.deviation(x, y)


def test_too_few_curves_are_refused() -> None:
    with pytest.raises(DataError, match=f"teaching needs {LEAST}"):
        teach([curve(seed) for seed in range(LEAST - 1)])


def write_curves(path: Path, seeds: range, stuck: float = 0.0) -> Path:
    lines = []
    for seed in seeds:
        angle, torque = curve(seed, stuck=stuck)
        lines.append(json.dumps({"id": seed, "angle": angle, "torque": torque}))
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def test_the_command_writes_a_model_that_loads(tmp_path: Path) -> None:
    good = write_curves(tmp_path / "good.jsonl.gz", range(100))
    bad = write_curves(tmp_path / "bad.jsonl.gz", range(200, 210), stuck=1.0)
    out = tmp_path / "model.json"
    keys = ["--x", "angle", "--y", "torque"]
    result = CliRunner().invoke(app, ["teach-curve", str(good), *keys, "--bad", str(bad), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "taught from 100 good curves" in result.output
    assert "10 of 10 bad curves lie above 1.0" in result.output
    model = load_model(out)
    assert model.curves == 100
    assert out.stat().st_size < 100_000


def test_wrong_files_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="teach-curve"):
        load_model(tmp_path / "absent")
    for text in ("{}", '{"version":1}', "x"):
        (tmp_path / "model").write_text(text)
        with pytest.raises(ConfigError, match="teach-curve"):
            load_model(tmp_path / "model")
    good = write_curves(tmp_path / "good.jsonl.gz", range(2))
    result = CliRunner().invoke(app, ["teach-curve", str(good)])
    assert isinstance(result.exception, ConfigError)
    assert "name the keys by --x and --y" in str(result.exception)
