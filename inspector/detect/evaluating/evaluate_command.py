"""`inspector evaluate`: how good and how fast a model is on labelled images."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer
from rich import markup
from rich.console import Console
from rich.table import Table

from inspector.config_load import find_model
from inspector.detect.commands import progress_bar
from inspector.detect.engines.whole_file import write_whole
from inspector.detect.evaluating.evaluation import (
    DEFECT_FOLDER,
    MASK_FOLDER,
    Evaluation,
    evaluate_model,
)
from inspector.detect.evaluating.evaluation_report import figure_rows, report_html
from inspector.errors import ConfigError, StoreError

EVALUATE_EPILOG: Final = """DATA holds test_good, test_defect and, where there are any, masks
(STEM.png for a defect, white where it is defective). For a model that finds boxes: labels.json in COCO's
format, with those folders or without; an image without boxes is a good part.

Examples:

inspector evaluate flange images    (a table)

inspector evaluate flange images --report flange.html    (and the worst images with heat maps)

inspector evaluate models/flange images --json --escape 0

inspector evaluate pcb boards --labels boards/annotations.json    (and mAP)
"""


def evaluate(
    *,
    model: Annotated[str, typer.Argument(help="A model's name under --models, or its folder.")],
    data: Annotated[Path, typer.Argument(help="Folder with test_good and test_defect.")],
    models: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
    escape: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Escape rate at which false rejects are told.")
    ] = 0.01,
    labels: Annotated[Path | None, typer.Option(help="COCO labels, if not labels.json in DATA.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML file with the worst images.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON, in the last line.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Measure a model on labelled images: AUROC, AUPRO, F1, false rejects, mAP of boxes, time."""
    folder = find_model(model, [models, Path()])
    if report is not None and (report.is_dir() or not report.parent.is_dir()):
        raise ConfigError(f"--report {report}: give a file in a folder that is there")
    with progress_bar() as show:
        evaluation = evaluate_model(
            folder, data, escape_rate=escape, threads=threads, progress=show, labels=labels
        )
    if (data / MASK_FOLDER).is_dir() and not evaluation.figures["marked_regions"]:
        typer.echo(
            f"{data / MASK_FOLDER}: marks nothing on an image of {DEFECT_FOLDER} (STEM.png is that of "
            "STEM.jpg), so there are no figures of pixels",
            err=True,
        )
    if as_json:
        typer.echo(json.dumps(evaluation.as_json()))
    else:
        table = Table("figure", markup.escape(f"{evaluation.manifest.name} on {data}"))
        table.columns[1].justify = "right"
        for words, value in figure_rows(evaluation.figures):
            table.add_row(words, value)
        Console().print(table)
    if report is not None:  # last, so that no disk takes the figures away
        _write(report, evaluation)


def _write(path: Path, evaluation: Evaluation) -> None:
    """The whole page or nothing of it: an older report stays until then."""
    page = report_html(evaluation).encode(errors="backslashreplace")  # a file's name need not be UTF-8
    try:
        write_whole(path, page)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror})") from error
    typer.echo(f"{path}: report with the worst images", err=True)
