"""The command `inspector calibrate fusion`: fusion weights from sessions whose parts were looked at again."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from inspector.config import DecisionConfig
from inspector.decide.rules import base_weights
from inspector.errors import ConfigError
from inspector.fusion.fit import Example, Fit, fit, in_order
from inspector.fusion.score import Score, score
from inspector.services.labels import read_labels
from inspector.services.weights_file import write_weights
from inspector.store.reader import SessionReader
from inspector.strict_data import check
from inspector.topics import VERDICTS
from inspector.types import PartEvidence
from inspector.wrong_value import WrongValueError

CALIBRATE_FUSION_EPILOG = """
Examples:

inspector calibrate fusion sessions/2026-11-22T15-03-35Z    (its labels.csv: part_id,defective)

inspector calibrate fusion sessions/2026-11-2* --labels reviewed.csv --out site/fusion.json

Then, in the site file: decision: {fusion: fusion.json}
"""
LABELS = "labels.csv"


def calibrate_fusion(
    sessions: Annotated[list[Path], typer.Argument(help="Folders of recorded sessions.")],
    labels: Annotated[
        Path | None, typer.Option(help=f"CSV of part_id,defective; else each session's own {LABELS}.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The file of weights to write.")] = Path("fusion.json"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for another program.")] = False,
) -> None:
    """Fit how much each modality counts, and how light, focus, drift and health move that.

    The figures are for parts that were left out of the fit. The file is written only if the fitted
    weights are better than the fixed ones there; with few labelled parts the fixed ones stay.
    """
    given = None if labels is None else read_labels(labels)
    examples: list[Example] = []
    policy = DecisionConfig()
    with Progress(
        TextColumn("reading"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} sessions"),
        transient=True,
    ) as bar:
        for session in bar.track(sessions):
            known = read_labels(session / LABELS) if given is None else given
            reader = SessionReader(session)
            policy = _policy(reader)
            examples += in_order(_parts(reader, known))
    if not examples:
        raise ConfigError("no part of these sessions has a label; check the part_id column")
    found = fit(examples, base_weights(policy))
    if found.weights is not None:
        write_weights(out, found.weights)
    _print(found, examples, policy.confirm_confidence, out, as_json=as_json)


def _policy(reader: SessionReader) -> DecisionConfig:
    try:
        return check(reader.meta.info.arbiter_setup.get("decision", {}), DecisionConfig)
    except WrongValueError as error:
        raise ConfigError(
            f"{reader.path}: its decision policy does not fit this version ({error})"
        ) from error


def _parts(reader: SessionReader, known: dict[str, bool]) -> Iterator[tuple[PartEvidence, bool | None]]:
    for record in reader.messages(VERDICTS):
        if record.verdict.part_id:  # not the line's own emergency
            nothing = not (record.evidence.results or record.evidence.events)
            yield record.evidence, None if nothing else known.get(record.verdict.part_id)


def _print(
    found: Fit, examples: list[Example], confirm_confidence: float, out: Path, *, as_json: bool
) -> None:
    truth = [example.defective for example in examples]
    before = score(found.by_fixed, truth, confirm_confidence)
    after = score(found.by_fitted, truth, confirm_confidence)
    written = found.weights is not None
    if as_json:
        answer = {"written": str(out) if written else None, "why": found.why}
        typer.echo(json.dumps({**answer, "fixed": asdict(before), "fitted": asdict(after)}))
        return
    table = Table(f"{len(examples)} labelled parts", "fixed weights", "fitted weights")
    for words, one, other in _rows(before, after):
        table.add_row(words, one, other)
    console = Console()
    console.print(table)
    if written:
        console.print(f"{out} is written; name it in the site file under decision: fusion")
    else:
        console.print(f"the fixed weights stay: {found.why}")


def _rows(before: Score, after: Score) -> list[tuple[str, str, str]]:
    return [
        ("accuracy", f"{before.accuracy:.1%}", f"{after.accuracy:.1%}"),
        ("decided, not pending", f"{before.decided:.1%}", f"{after.decided:.1%}"),
        ("of these right", f"{before.decided_right:.1%}", f"{after.decided_right:.1%}"),
        ("calibration error", f"{before.ece:.3f}", f"{after.ece:.3f}"),
    ]
