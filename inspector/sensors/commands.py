"""`inspector teach-curve`: a model of good curves for a sensor that sends curves."""

from pathlib import Path
from typing import Annotated

import typer

from inspector.errors import ConfigError, DataError
from inspector.sensors.curve_file import Curve, read_curves, save_model
from inspector.sensors.curve_model import CurveScorer, teach

TEACH_CURVE_EPILOG = (
    "Example: inspector teach-curve good.jsonl.gz --x angle_deg --y torque_nm --bad bad.jsonl"
)


def teach_curve(
    good: Annotated[Path, typer.Argument(help="Good curves: JSON lines, one curve a line; may be gzipped.")],
    out: Annotated[Path, typer.Option(help="The model file to write.")] = Path("curve_model.json"),
    x: Annotated[str, typer.Option(help="Key of the array that grows, such as the angle.")] = "x",
    y: Annotated[str, typer.Option(help="Key of the measured array, such as the torque.")] = "y",
    bad: Annotated[Path | None, typer.Option(help="Bad curves, to see how well they are told apart.")] = None,
) -> None:
    """Teach a model of good curves, such as torque over angle, from recorded ones."""
    good_curves = _curves(good, x, y)
    try:
        model = teach(good_curves)
    except DataError as error:
        raise ConfigError(f"{good}: {error}") from error
    save_model(model, out)
    typer.echo(f"{out}: taught from {model.curves} good curves; 99 % of good ones stay below 1.0")
    if bad is not None:
        scorer = CurveScorer(model)
        deviations = [scorer.deviation(*curve) for curve in _curves(bad, x, y)]
        caught = sum(deviation > 1.0 for deviation in deviations)
        typer.echo(f"{bad}: {caught} of {len(deviations)} bad curves lie above 1.0")
    typer.echo(
        "In the site file, for the sensor: kind: curve, unit: '', min_value: 0, max_value: 1000,\n"
        f"curve_model: {out}, rule: {{warn_high: 1.0, alarm_high: 1.5, p_defect_at_alarm: 0.9}}"
    )


def _curves(path: Path, x: str, y: str) -> list[Curve]:
    with typer.progressbar(read_curves(path, x, y), label=f"Reading {path.name}") as records:
        curves = [curve for _, curve in records]
    if not curves:
        raise ConfigError(f"{path}: holds no curve")
    return curves
