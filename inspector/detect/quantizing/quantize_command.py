"""`inspector quantize` and `inspector parity`."""

import json
import math
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from inspector.config_load import find_model
from inspector.detect.commands import progress_bar
from inspector.detect.images import list_images
from inspector.detect.quantizing.parity import Parity, compare, judge
from inspector.detect.quantizing.quantize import QuantizeOptions
from inspector.detect.quantizing.quantize import quantize as quantize_model
from inspector.errors import ConfigError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SHOWN: Final = 5
QUANTIZE_EPILOG: Final = """Examples:

inspector quantize flange images/flange    (writes models/flange-int8)

inspector quantize flange images/flange --name flange-gpu --for-gpu    (int8 as TensorRT takes it)

DATA holds train_good, test_good and test_defect, or good and defect, or only good images.
"""
PARITY_EPILOG: Final = """Example:

inspector parity flange flange-int8 images/flange/test_good    (exit status 1 when a verdict flips)
"""


def quantize(
    *,
    model: Annotated[str, typer.Argument(help="Name or folder of the float32 model.")],
    data: Annotated[Path, typer.Argument(help="Folder of images: half calibrate, half measure.")],
    name: Annotated[str, typer.Option(help="Name of the int8 model; default MODEL-int8.")] = "",
    models: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
    max_loss: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Largest loss of image AUROC allowed.")
    ] = 0.003,
    max_flips: Annotated[int, typer.Option(min=0, help="Verdicts that may change.")] = 0,
    for_gpu: Annotated[bool, typer.Option("--for-gpu", help="Symmetric int8 alone, for TensorRT.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Write the int8 form of a model; refused when it costs more accuracy than allowed."""
    folder = find_model(model, [models, Path()])
    name = name or f"{folder.resolve().name}-int8"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: use letters, digits, '_', '.' and '-' (64 at most)")
    if (models / name).resolve() == folder.resolve():
        raise ConfigError(f"--name {name}: is the model itself; give the int8 model another name")
    options = QuantizeOptions(
        name=name,
        largest_loss=max_loss,
        most_flips=max_flips,
        for_gpu=for_gpu,
        threads=threads,
        command=shlex.join(["inspector", *sys.argv[1:]]),
    )
    with progress_bar() as progress:
        result = quantize_model(folder, data, models, options=options, progress=progress)
    typer.echo(f"{result.folder}: {result.bytes_before / 1e6:.1f} MB to {result.bytes_after / 1e6:.1f} MB")
    if math.isnan(result.auroc_before):
        typer.echo("image AUROC: not known without both good and defective images; verdicts alone decided")
    else:
        typer.echo(f"image AUROC {result.auroc_before:.4f} to {result.auroc_after:.4f} on held-out images")
    typer.echo(parity_text(result.parity))
    typer.echo(
        "that was on every second image; a threshold that a risk was set with may lie otherwise now: "
        f"inspector calibrate model {name} {data} --max-escape ... sets it for int8"
    )


def parity(
    *,
    first: Annotated[str, typer.Argument(help="Name or folder of the model that is right.")],
    second: Annotated[str, typer.Argument(help="Name or folder of the one to check.")],
    data: Annotated[Path, typer.Argument(help="Folder of images.")],
    models: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Compare what two models say of the same images; a verdict that flips fails."""
    folders = [find_model(name, [models, Path()]) for name in (first, second)]
    paths = list_images(data)
    with progress_bar() as progress:
        a, of_a = judge(folders[0], paths, threads=threads, progress=progress, what="First model")
        b, of_b = judge(folders[1], paths, threads=threads, progress=progress, what="Second model")
    result = compare(of_a, of_b, a, b)
    typer.echo(json.dumps(result.as_dict()) if as_json else parity_text(result))
    if not result.passed:
        raise typer.Exit(1)


def parity_text(parity: Parity) -> str:
    """What differs, one line, and the images whose verdicts flip."""
    heat, shift = parity.heatmap_difference, parity.box_shift_px
    line = (
        f"{parity.images} images: {len(parity.flips)} verdicts differ; largest differences: score "
        f"{parity.score_difference:.2%}, p_defect {parity.p_defect_difference:.4f}, heat map "
        f"{'none there' if heat is None else f'{heat:.3f}'}, boxes "
        f"{'none there' if shift is None else f'{shift} pixels'}; images with other boxes: {parity.box_flips}"
    )
    return "\n".join([line, *(f"differs: {path}" for path in parity.flips[:_SHOWN])])
