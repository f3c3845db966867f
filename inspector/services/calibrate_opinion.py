"""The command `inspector calibrate opinion`: what the language model's second opinions are worth here."""

import json
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from inspector.clock import NS_PER_MS, NS_PER_S, SystemClock
from inspector.config import Site
from inspector.config_load import load_site
from inspector.decide.rules import judge
from inspector.errors import ConfigError, DataError, ModelError
from inspector.explain.engine import Engine
from inspector.explain.facts import line_context
from inspector.explain.opinion import OpinionFit
from inspector.explain.opinion_file import OPINION_FILE, save_fit
from inspector.explain.opinion_fit import LEAST_OF_EACH, Earned, LabelledOpinion, earned
from inspector.explain.pictures import pictures_of
from inspector.explain.second_opinion import raw_opinion
from inspector.explain.start import has_model, open_engine, sees
from inspector.fusion.pool import OPINION
from inspector.services.labels import read_labels
from inspector.services.setup import fitted_fusion
from inspector.store.reader import SessionReader
from inspector.topics import VERDICTS
from inspector.types import Opinion, PartEvidence, ReasonCode

CALIBRATE_OPINION_EPILOG = f"""
Examples:

inspector calibrate opinion site.yaml sessions/2026-11-22T15-03-35Z    (its labels.csv: part_id,defective)

inspector calibrate opinion site.yaml sessions/2026-11-2* --labels reviewed.csv --most 200

It writes {OPINION_FILE} beside the site file; then, there, explainer: {{opinions: true}}
"""
LABELS = "labels.csv"
_ASK_S = 120.0


@dataclass(frozen=True, slots=True)
class Pending:
    """A labelled part that would be asked about, as the others judge it; `share`: see LabelledOpinion."""

    evidence: PartEvidence
    fused: float
    share: float
    defective: bool
    session: SessionReader


def calibrate_opinion(
    site_file: Annotated[Path, typer.Argument(help="The site file; its explainer is asked.")],
    sessions: Annotated[list[Path], typer.Argument(help="Folders of recorded sessions.")],
    *,
    labels: Annotated[
        Path | None, typer.Option(help=f"CSV of part_id,defective; else each session's own {LABELS}.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=20, help="Ask about at most so many parts, drawn at random.")
    ] = 400,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for another program.")] = False,
) -> None:
    """Ask the language model about labelled parts, and give its opinion the weight that it earns.

    Only parts that the cell was unsure of count: nobody is asked about the others. The figures are
    for parts that were left out of the fit; the weight is 0 unless the gain there is beyond chance.
    """
    site = load_site(site_file)
    config = site.site.explainer
    if not has_model(config):
        raise ConfigError(f"{site_file}: explainer names neither a model nor a server to ask")
    given = None if labels is None else read_labels(labels)
    pending = [
        part
        for session in sessions
        for part in _pending(site, session, read_labels(session / LABELS) if given is None else given)
    ]
    if min(sum(part.defective is kind for part in pending) for kind in (False, True)) < LEAST_OF_EACH:
        raise ConfigError(
            f"second opinions need {LEAST_OF_EACH} good and {LEAST_OF_EACH} defective parts that the cell "
            f"was unsure of; these sessions have {len(pending)} such parts with labels"
        )
    chosen = random.Random(1).sample(pending, most) if len(pending) > most else pending
    clock = SystemClock()
    engine = open_engine(config, clock, site.root)
    try:
        asked, took_ms = _ask(engine, site, chosen)
        fit_of = engine.model_sha256
    finally:
        engine.close()
    try:
        found = earned(asked)
    except DataError as error:
        raise ConfigError(
            f"{error}; the cell was unsure of {len(pending)} labelled parts, {len(asked)} were answered"
        ) from error
    path = save_fit(
        site.root,
        OpinionFit(fit_of, found.slope, found.offset, found.weight, found.gain, found.parts, config.language),
    )
    policy = site.site.decision
    _print(found, path, took_ms, policy.deadline_ms - policy.delivery_margin_ms, as_json=as_json)


def _pending(site: Site, session: Path, known: dict[str, bool]) -> Iterator[Pending]:
    """Yield the labelled parts of a session that this site would be unsure of."""
    fusion = fitted_fusion(site)
    reader = SessionReader(session)
    for record in reader.messages(VERDICTS):
        defective = known.get(record.verdict.part_id)
        if defective is None or not record.verdict.part_id:
            continue
        alone = msgspec.structs.replace(record.evidence, opinion=None)
        judged = judge(alone, site.site.decision, fusion)
        if judged.reason_code is not ReasonCode.LOW_CONFIDENCE or judged.p_defect is None:
            continue
        neutral = Opinion(part_id=alone.part_id, p_defect=0.5, latency_ms=0.0, model_sha256="")
        both = judge(msgspec.structs.replace(alone, opinion=neutral), site.site.decision, fusion)
        yield Pending(alone, judged.p_defect, both.weights[OPINION], defective, reader)


def _ask(engine: Engine, site: Site, parts: Sequence[Pending]) -> tuple[list[LabelledOpinion], list[float]]:
    """Return an opinion of each part that the model answered, and how long each took."""
    clock, context = SystemClock(), line_context(site)
    language = site.site.explainer.language
    asked: list[LabelledOpinion] = []
    took_ms: list[float] = []
    errors = Console(stderr=True)
    with Progress(
        TextColumn("asking"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} parts"),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    ) as bar:
        for part in bar.track(parts):
            began_ns = clock.now_ns()
            deadline_ns = began_ns + int(_ASK_S * NS_PER_S)
            try:
                images = _images(site, part)
                raw = raw_opinion(
                    engine, part.evidence, context, deadline_ns, language=language, images=images
                )
            except ModelError as error:
                if not asked:
                    raise
                errors.print(f"no opinion of {part.evidence.part_id}: {error}", markup=False)
                continue
            took_ms.append((clock.now_ns() - began_ns) / NS_PER_MS)
            asked.append(LabelledOpinion(raw, part.fused, part.defective, part.share))
    return asked, took_ms


def _images(site: Site, part: Pending) -> tuple[bytes, ...]:
    """Return what a model that sees is shown of the part, as far as its frames were recorded."""
    if not sees(site.site.explainer):
        return ()
    seen = []
    for result in part.evidence.results:
        frame = part.session.frame(result.camera_id, result.frame_id, result.received_ns)
        if frame is not None:
            seen.append((result, frame))
    return pictures_of(seen)


def _print(found: Earned, path: Path, took_ms: list[float], budget_ms: float, *, as_json: bool) -> None:
    usual_ms = statistics.median(took_ms)
    if as_json:
        answer = {"written": str(path), "median_ms": usual_ms, "budget_ms": budget_ms}
        typer.echo(json.dumps({**answer, **asdict(found)}))
        return
    table = Table(f"{found.parts} unsure parts, held out in turn", "without opinion", "with it")
    table.add_row("on the right side of 0.5", f"{found.right_without:.1%}", f"{found.right_with:.1%}")
    table.add_row("loss, nats a part", f"{found.loss_without:.3f}", f"{found.loss_with:.3f}")
    console = Console()
    console.print(table)
    console.print(f"gain {found.gain:.3f} nats a part, standard error {found.gain_error:.3f}")
    if found.weight > 0.0:
        console.print(f"weight {found.weight:.2f}, in {path}")
    else:
        console.print(f"weight 0, in {path}: the gain is not beyond chance, no opinion will be asked for")
    late = "" if usual_ms <= budget_ms else ": too late for a verdict, none will be asked for on this machine"
    console.print(f"an opinion takes {usual_ms:.0f} ms, a verdict has {budget_ms:.0f} ms{late}")
