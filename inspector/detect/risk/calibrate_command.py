"""`inspector calibrate model`: the user sets the risk, the tool picks the threshold and says its cost."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer

from inspector.config_load import find_model
from inspector.detect.commands import progress_bar
from inspector.detect.drift import TYPICAL_GOOD
from inspector.detect.evaluating.evaluation import Evaluation, Kind, evaluate_model
from inspector.detect.model.manifest import Calibration, Manifest, load_manifest
from inspector.detect.model.model_folder import write_manifest
from inspector.detect.risk.calibration import log_odds, probability, score_at
from inspector.detect.risk.calibration import moved as shifted
from inspector.detect.risk.conformal import (
    Promise,
    RiskThreshold,
    as_seen,
    control_escapes,
    control_false_rejects,
)
from inspector.detect.risk.shapes import FEWEST, Choice, choose_shape
from inspector.errors import ConfigError

CALIBRATE_MODEL_EPILOG: Final = """DATA holds test_good and test_defect: parts off the line that the model
was not taught from.

Examples:

inspector calibrate model flange images --max-escape 1%    (says how many good parts it rejects)

inspector calibrate model flange images --max-false-reject 0.5%    (needs good parts only)

inspector calibrate model flange images --max-escape 1% --dry-run
"""


def calibrate_model(
    *,
    model: Annotated[str, typer.Argument(help="A model's name under --models, or its folder.")],
    data: Annotated[Path, typer.Argument(help="Folder with test_good and test_defect.")],
    models: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
    max_escape: Annotated[
        str | None, typer.Option(help="Most defects that may pass, as 0.1% or 0.001.")
    ] = None,
    max_false_reject: Annotated[
        str | None, typer.Option(help="Most good parts that may be rejected, as 0.5% or 0.005.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say; leave the model as it is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The outcome as JSON, in the last line.")] = False,
    shape: Annotated[
        bool, typer.Option("--shape/--keep-shape", help="Line, beta or isotonic, whichever holds best.")
    ] = True,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Set a model's threshold from a risk: p_defect 0.5 moves to where the promise holds."""
    if (max_escape is None) == (max_false_reject is None):
        raise ConfigError("give --max-escape or --max-false-reject, one of them")
    rate = parse_rate(max_escape or max_false_reject or "")
    folder = find_model(model, [models, Path()])
    if load_manifest(folder).task == "anomaly_and_boxes":
        raise ConfigError(
            f"{folder}: its verdict rests on two scores; calibrate the two models and merge them again"
        )
    with progress_bar() as show:
        evaluation = evaluate_model(folder, data, escape_rate=rate, threads=threads, progress=show)
    good, defect = _scores(evaluation, "good"), _scores(evaluation, "defect")
    control = control_escapes if max_escape is not None else control_false_rejects
    found = control(good, defect, rate)
    manifest = evaluation.manifest
    found = replace(found, score=least_limit(manifest, found))
    choice = choose_shape(good, defect, manifest.calibration)
    if not shape:
        choice = replace(choice, shape="as it was", calibration=manifest.calibration)
    moved = with_limit(manifest, found.score, found.promised, choice.calibration)
    limit = moved.thresholds["defect"]  # what is said is what the model will do from now on
    found = as_seen(found, *(probability(scores, moved.calibration) >= limit for scores in (good, defect)))
    if not dry_run:
        write_manifest(folder, moved)
    if as_json:
        typer.echo(
            json.dumps(asdict(found) | {"shape": choice.shape, "shapes": [asdict(j) for j in choice.judged]})
        )
    else:
        typer.echo(shape_words(choice))
        typer.echo(words(found, manifest.name, len(good), len(defect), written=not dry_run))


def with_limit(
    manifest: Manifest, score: float, promised: Promise, calibration: Calibration | None = None
) -> Manifest:
    """The manifest with p_defect at its threshold where `score` is; all log-odds of `calibration` (None: its
    own) move alike. Raises ConfigError.

    A part with just this score is rejected when few may escape. When few good parts may be rejected, it is
    passed, and with it those of the next lower score: no rounding of logarithms tells them apart.
    """
    old, p = manifest.calibration, manifest.thresholds["defect"]
    new = old if calibration is None else calibration
    if score <= 0.0 or (new.scale == "logit" and score >= 1.0):
        raise ConfigError(f"the threshold would lie at a score of {score:g}, where none can be set")
    by = math.log(p / (1.0 - p)) - float(log_odds(score, new))
    aside = 1e-9 * max(1.0, abs(by), abs(new.offset))  # more than the rounding of the odds
    new = shifted(new, by + (aside if promised == "escape" else -aside))
    assert (float(probability(score, new)) >= p) == (promised == "escape")
    metrics = dict(manifest.metrics)
    if TYPICAL_GOOD in metrics:  # drift is measured from there
        typical = min(max(metrics[TYPICAL_GOOD], 1e-6), 1.0 - 1e-6)
        metrics[TYPICAL_GOOD] = round(float(probability(score_at(typical, old), new)), 6)
    return msgspec.structs.replace(manifest, calibration=new, metrics=metrics)


def least_limit(manifest: Manifest, found: RiskThreshold) -> float:
    """The score to set the limit at. Where most good parts show no box at all, that would be just over 0: a
    part without boxes would lie at the threshold. Boxes under the head's lowest score are not looked at, so
    that a limit there rejects no good part more; of defects without a box some would escape."""
    if manifest.task != "boxes" or manifest.head is None or found.promised == "escape":
        return found.score
    return max(found.score, manifest.head.lowest_score)


def shape_words(choice: Choice) -> str:
    """Which shape was chosen, and how each did on parts left out."""
    if not choice.judged:
        return f"probability's shape: as it was; comparing takes {FEWEST} parts of each kind"
    each = "; ".join(f"{one.shape} {one.log_loss:.4f} / {one.brier:.4f}" for one in choice.judged)
    return f"probability's shape: {choice.shape}; log loss / Brier score on parts left out: {each}"


def parse_rate(text: str) -> float:
    """ "0.1%" and "0.001" to 0.001. Raises ConfigError."""
    try:
        rate = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError as error:
        raise ConfigError(f"'{text}' is no rate; give one as 0.1% or 0.001") from error
    if not 0.0 < rate < 1.0:
        raise ConfigError(f"{text}: the rate must lie between 0 and 100 %; write 5% or 0.05")
    return rate


def words(found: RiskThreshold, name: str, good: int, defect: int, *, written: bool) -> str:
    """What was promised and what it costs, for people."""
    what = "defects that escape" if found.promised == "escape" else "good parts rejected"
    lines = [
        f"{name}: threshold at score {found.score:.4f}; {what}: at most {found.rate:.3%} of parts to come"
    ]
    for label, count, seen in (
        ("good parts rejected", good, found.false_reject),
        ("defects that escaped", defect, found.escape),
    ):
        if seen is not None:
            share, low, high = seen
            lines.append(f"{label} here: {share:.2%} of {count} (95 % confidence: {low:.2%} to {high:.2%})")
    lines.append("written to the model" if written else "the model is as it was")
    return "\n".join(lines)


def _scores(evaluation: Evaluation, kind: Kind) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    scores = [each.decoded.anomaly_score for each in evaluation.judgements if each.kind == kind]
    return np.array(scores, dtype=np.float64)
