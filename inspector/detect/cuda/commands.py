"""`inspector engine`: engines for NVIDIA GPUs."""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from inspector.config_load import find_model
from inspector.detect.cuda.arch import parse_arches
from inspector.detect.cuda.build_model import build_for_model
from inspector.detect.cuda.device import compute_capability
from inspector.detect.cuda.engine_file import LibraryName, Precision, read_engine
from inspector.detect.cuda.tensorrt_library import find_tensorrt

app = typer.Typer(help="Build and look at engines for NVIDIA GPUs.", no_args_is_help=True)

BUILD_EPILOG: Final = """Examples:

inspector engine build demo_part --arch sm_86,sm_89    (no GPU needed, with TensorRT for RTX)

inspector engine build demo_part --precision fp16 --images images/good    (for this machine's GPU)

inspector engine build demo_part --precision int8 --images images/good
"""


@app.command(epilog=BUILD_EPILOG)
def build(
    model: Annotated[str, typer.Argument(help="Name of a model under --models, or its folder.")],
    *,
    models: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
    precision: Annotated[
        Precision, typer.Option(help="Of the network; what prepares and scores stays in fp32.")
    ] = "fp32",
    arch: Annotated[
        str, typer.Option(help="GPUs to build for, such as sm_86,sm_89, or the one that is here.")
    ] = "current",
    max_batch: Annotated[int, typer.Option(min=1, max=64, help="Most frames in one run.")] = 4,
    images: Annotated[
        Path | None, typer.Option(help="Images for INT8's ranges and for the check that no verdict flips.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the files. [engines/ in the model's]")
    ] = None,
    library: Annotated[
        LibraryName | None, typer.Option(help="Which TensorRT, where both are installed.")
    ] = None,
) -> None:
    """Build engine files from a model's ONNX graph."""
    folder = find_model(model, [models, Path()])
    arches = parse_arches(arch)
    tensorrt = find_tensorrt(library)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:44}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total)
            bar.update(tasks[phase], completed=done)

        built = build_for_model(
            folder, tensorrt, arches=arches, precision=precision, max_batch=max_batch, images=images,
            output=output, find_device=compute_capability, progress=show,
        )  # fmt: skip
    for file in built:
        size = file.header.plan_bytes / 1e6
        made_by = f"{tensorrt.name} {tensorrt.version}"
        typer.echo(f"{file.path}: {size:.1f} MB, {made_by}, up to {max_batch} frames at once")
        if file.parity is not None:
            images_seen, within = file.parity.images, file.parity.p_defect_difference
            typer.echo(f"  {images_seen} images: no verdict flips, p_defect within {within:.4f}")
        for line in file.report:
            typer.echo(f"  TensorRT says: {line}")
    if built and built[0].parity is None and precision != "fp32":
        typer.echo("  not checked against the CPU's verdicts: give --images")


@app.command(
    epilog="Example: inspector engine show models/demo_part/engines/0123456789ab-fp16-sm_89-rtx.engine"
)
def show(file: Annotated[Path, typer.Argument(help="An engine file.")]) -> None:
    """Print what an engine file was built for. Needs no GPU."""
    header, _ = read_engine(file)
    for key in header.__struct_fields__:
        typer.echo(f"{key}: {getattr(header, key)}")
