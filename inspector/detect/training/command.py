"""`inspector train`: labelled images to a model folder that finds boxes."""

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from inspector.detect.commands import export_words, find_backbone, parse_size
from inspector.errors import ConfigError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_STOPPED: Final = 130  # 128 + SIGINT, as shells have it
TRAIN_EPILOG: Final = """Examples:

inspector train images --name pcb    (images/labels.json in COCO's format)

inspector train images --name pcb --epochs 60 --backbone frozen    (can share one pass with a one-class model)

Needs torch: pip install torch --index-url https://download.pytorch.org/whl/cpu
"""


def train(
    *,
    data: Annotated[Path, typer.Argument(help="Folder of images with labels.json in COCO's format.")],
    name: Annotated[str, typer.Option(help="Name of the model: a folder under --models.")],
    models: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
    labels: Annotated[Path | None, typer.Option(help="The COCO file, if not labels.json in DATA.")] = None,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="Passes over the images.")] = 24,
    size: Annotated[str, typer.Option(help="Network input in pixels, WIDTHxHEIGHT, or 'auto'.")] = "auto",
    backbone: Annotated[str, typer.Option(help="tuned: learns too. frozen: stays as it is.")] = "tuned",
    turn: Annotated[
        bool, typer.Option(help="Learn from flipped and turned images too; off where that changes a label.")
    ] = True,
    held_out: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of the images that is kept to measure with.")
    ] = 0.15,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Learn boxes and classes from labelled images. Stop it whenever; the same command goes on."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: use letters, digits, '_', '.' and '-' (64 at most)")
    if backbone not in ("tuned", "frozen"):
        raise ConfigError(f"--backbone {backbone}: say tuned or frozen")
    try:
        from inspector.detect.training.train import TrainOptions, train_boxes  # noqa: PLC0415  # needs torch
    except ImportError as error:
        raise ConfigError(
            "training needs torch: pip install torch --index-url https://download.pytorch.org/whl/cpu"
        ) from error
    options = TrainOptions(
        name=name, epochs=epochs, size=parse_size(size), tune=backbone == "tuned", turn=turn,
        held_out=held_out, threads=threads, command=shlex.join(["inspector", *sys.argv[1:]]),
    )  # fmt: skip
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as bar:
            tasks: dict[str, TaskID] = {}

            def show(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=total)
                bar.update(tasks[what], completed=done)

            folder, manifest = train_boxes(
                data, labels, models, find_backbone(models), options=options, progress=show
            )
    except KeyboardInterrupt:
        console.print("Stopped. The finished epochs are kept; run the same command again to go on.")
        raise typer.Exit(_STOPPED) from None
    typer.echo(
        f"{folder}: {manifest.how_made.defect_images} images with boxes, {len(manifest.labels)} labels"
    )
    typer.echo(export_words(manifest))
    if "held_out_map50" in manifest.metrics:
        typer.echo(
            f"mAP@0.5 on {manifest.metrics['held_out_images']:.0f} images that it did not learn from: "
            f"{manifest.metrics['held_out_map50']:.3f}"
        )
