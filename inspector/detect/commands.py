"""What the detector's commands share."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from inspector.detect.model.manifest import Manifest
from inspector.detect.model.network_size import smallest_seen_px
from inspector.detect.quantizing.gate import EXPORT
from inspector.detect.teaching.held_out import Progress
from inspector.detect.teaching.teach import FEWEST_TO_DISCRIMINATE, Taught, TeachOptions
from inspector.detect.teaching.teach import teach as teach_model
from inspector.errors import ConfigError

_BACKBONE: Final = Path("efficientnet_lite0") / "backbone.onnx"


def teach(*, good: Path, name: str, models: Path, threads: int = 2) -> None:
    """Teach models/NAME from a folder of good parts as `inspector teach` does, with a bar and a summary."""
    command = ["inspector", "teach", "--good", str(good), "--name", name]
    options = TeachOptions(name=name, threads=threads, command=shlex.join(command))
    with progress_bar() as show:
        taught = teach_model(good, None, models, find_backbone(models), options=options, progress=show)
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


def export_words(manifest: Manifest) -> str:
    """What the gate measured between the model and what it was made from, one line."""
    values = {
        name: manifest.metrics.get(f"{EXPORT}_{key}")
        for name, key in (
            ("score", "score_difference"), ("heat map", "heatmap_difference"), ("boxes", "box_shift_px"),
        )
    }  # fmt: skip
    each = ", ".join(
        f"{name} none there"
        if value is None
        else f"{name} {value:.0f} pixels"
        if name == "boxes"
        else f"{name} {value:.2%}"
        for name, value in values.items()
    )
    flips = manifest.metrics.get(f"{EXPORT}_flips", 0.0)
    return f"judges as its source: {flips:.0f} verdicts differ; largest differences: {each}"


def summary(taught: Taught) -> str:
    """What a person wants to know after teach-in, a few lines."""
    made, metrics = taught.manifest.how_made, taught.manifest.metrics
    lines = [
        f"{taught.folder}: taught from {made.good_images} good images "
        f"({made.method}, network input {made.network_width_px}x{made.network_height_px})",
        f"held-out good parts over the threshold: {metrics['held_out_overkill_rate']:.1%}",
    ]
    layout = taught.manifest.input
    if made.network_width_px < layout.width_px:
        seen = smallest_seen_px(layout.width_px, made.network_width_px)
        lines.append(
            f"sees defects of about {seen:.0f} pixels of the image and more; "
            "--smallest-defect PIXELS finds smaller ones, and takes longer"
        )
    if made.defect_images:
        lines.append(
            f"{made.defect_images} defects: image AUROC {metrics['held_out_image_auroc']:.4f}, "
            f"{metrics['held_out_escape_rate']:.1%} under the threshold"
        )
    lines.append(export_words(taught.manifest))
    if taught.left_out:
        lines.append(f"{taught.left_out} images were there already and count once")
    if taught.threshold_reset:
        lines.append(
            "the threshold is the taught one again; set the risk anew with 'inspector calibrate model'"
        )
    if taught.could_discriminate:
        lines.append(
            f"from {FEWEST_TO_DISCRIMINATE} good parts on, teaching from all at once learns a discriminator"
        )
    if not taught.can_add:
        lines.append(
            "so many images of this size are not kept; later good parts take teaching from all at once"
        )
    return "\n".join(lines)
