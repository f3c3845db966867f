"""Commands of the detector, wired into `inspector` by inspector.cli."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from inspector.detect.teaching.held_out import Progress
from inspector.detect.teaching.teach import Taught, TeachOptions
from inspector.detect.teaching.teach import teach as teach_model
from inspector.errors import ConfigError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_BACKBONE: Final = Path("efficientnet_lite0") / "backbone.onnx"

TEACH_EPILOG: Final = """Examples:

inspector teach --good images/good --name flange    (30 good parts are a fair start)

inspector teach --good images/good --defect images/bad --name flange    (defects set the limit)

inspector teach --good images/good --name nut --method bank    (parts that lie anywhere)
"""


def teach(
    *,
    good: Annotated[Path, typer.Option(help="Folder of images of good parts, 5 to 500.")],
    name: Annotated[str, typer.Option(help="Name of the model: a folder under --models.")],
    models: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
    defect: Annotated[
        Path | None, typer.Option(help="Folder of defective parts; used for calibration only.")
    ] = None,
    size: Annotated[str, typer.Option(help="Network input in pixels, WIDTHxHEIGHT, or 'auto'.")] = "auto",
    method: Annotated[
        Literal["gaussian", "bank"],
        typer.Option(help="gaussian: parts lie alike in every image. bank: they lie anywhere."),
    ] = "gaussian",
    false_reject_rate: Annotated[
        float,
        typer.Option(min=1e-6, max=0.2, help="Good parts over the threshold, where no defects are given."),
    ] = 0.001,
    defect_share: Annotated[
        float, typer.Option(min=0.001, max=0.999, help="Share of defects on the line, with --defect.")
    ] = 0.5,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Learn what good parts look like and write a model folder. Needs no defective parts."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: use letters, digits, '_', '.' and '-' (64 at most)")
    command = ["inspector", "teach", "--good", str(good), "--name", name, "--method", method]
    command += ["--size", size, "--false-reject-rate", f"{false_reject_rate:g}"]
    command += ["--defect", str(defect), "--defect-share", f"{defect_share:g}"] if defect else []
    options = TeachOptions(
        name=name,
        method=method,
        size=parse_size(size),
        false_reject_rate=false_reject_rate,
        defect_share=defect_share,
        threads=threads,
        command=shlex.join(command),
    )
    with progress_bar() as show:
        taught = teach_model(good, defect, models, find_backbone(models), options=options, progress=show)
    typer.echo(summary(taught))


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on standard error for each kind of work; call it with (what, done, total)."""
    columns = (TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield show


def parse_size(text: str) -> tuple[int, int] | None:
    """ "auto" to None, "448x336" to (448, 336). Raises ConfigError."""
    if text == "auto":
        return None
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    if not match or any(int(side) % 16 or int(side) < 32 for side in match.groups()):
        raise ConfigError(f"--size {text}: use 'auto' or WIDTHxHEIGHT in multiples of 16")
    return int(match[1]), int(match[2])


def find_backbone(models_dir: Path) -> Path:
    """backbone.onnx under `models_dir`, else in the source tree. Raises ConfigError."""
    for root in (models_dir, Path(__file__).resolve().parents[2] / "models"):
        if (root / _BACKBONE).is_file():
            return root / _BACKBONE
    raise ConfigError(f"{models_dir / _BACKBONE}: no such file; it comes with inspector's models folder")


def summary(taught: Taught) -> str:
    """What a person wants to know after teach-in, a few lines."""
    made, metrics = taught.manifest.how_made, taught.manifest.metrics
    lines = [
        f"{taught.folder}: taught from {made.good_images} good images "
        f"({made.method}, network input {made.network_width_px}x{made.network_height_px})",
        f"held-out good parts over the threshold: {metrics['held_out_overkill_rate']:.1%}",
    ]
    if made.defect_images:
        lines.append(
            f"{made.defect_images} defects: image AUROC {metrics['held_out_image_auroc']:.4f}, "
            f"{metrics['held_out_escape_rate']:.1%} under the threshold"
        )
    return "\n".join(lines)
