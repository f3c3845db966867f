"""`inspector models plan` and `inspector models add`."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from inspector.errors import ConfigError, ModelError
from inspector.explain.gguf_header import read_header
from inspector.explain.memory_plan import MIB, Plan, plan, shape_of
from inspector.explain.plan_load import available_gpu, available_ram, planned
from inspector.explain.weights import cache_folder, write_stamp
from inspector.explain.weights_table import TABLE

Told = Callable[[int], object]
_CHUNK = 1 << 22
_DOES_NOT_FIT = 1


def plan_command(
    model: Annotated[str, typer.Argument(help="A name, a GGUF file, or a file of models/language.")],
    *,
    context: Annotated[int | None, typer.Option(min=512, help="Tokens of text.")] = None,
    mmproj: Annotated[Path | None, typer.Option(exists=True, help="The image projector.")] = None,
    images: Annotated[int, typer.Option(min=0, help="Images in one prompt.")] = 0,
    ram_gib: Annotated[
        float | None, typer.Option(min=0.1, help="Default: what this machine has free.")
    ] = None,
    gpu_gib: Annotated[
        float | None, typer.Option(min=0.0, help="Default: what its first GPU has free.")
    ] = None,
) -> None:
    """Say whether a language model fits into this machine, before anything is loaded.

    Exit status 1 when it does not.

    Examples:

        inspector models plan qwen2.5-coder-1.5b

        inspector models plan models/language/glm-4-9b.yaml --context 8192 --gpu-gib 12

        inspector models plan /data/glm-4.1v.gguf --mmproj /data/mmproj.gguf --images 1
    """
    found = planned(model, mmproj)
    ram = available_ram() if ram_gib is None else int(ram_gib * 1024 * MIB)
    gpu = available_gpu() if gpu_gib is None else int(gpu_gib * 1024 * MIB)
    made = plan(found.shape, context or found.context_tokens, ram, gpu, images)
    Console().print(_table(found.title, made, found.shape.layers, ram, gpu))
    if not made.fits:
        raise typer.Exit(_DOES_NOT_FIT)


def _table(title: str, made: Plan, layers: int, ram: int, gpu: int) -> Table:
    table = Table(title=title, box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    rows = [
        ("weights", made.weights_bytes),
        (f"cache of {made.context_tokens} + {made.image_tokens} tokens", made.cache_bytes),
        ("work space", made.work_bytes),
        ("image projector", made.projector_bytes),
        ("memory, of it", made.ram_bytes),
        ("  available", ram),
        ("GPU memory, of it", made.gpu_bytes),
        ("  available", gpu),
    ]
    for name, size in rows:
        table.add_row(name, f"{size / MIB:,.0f} MiB")
    table.add_row("explainer.gpu_layers", f"{made.gpu_layers} of {layers + 1}")
    table.add_row("fits", "yes" if made.fits else "no")
    return table


def add_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A GGUF file.")],
    name: Annotated[str | None, typer.Option(help="What to call it. Default: the file's name.")] = None,
) -> None:
    """Copy a GGUF file of your own into the cache, with its hash, under a name for `explainer.model`.

    Example:

        inspector models add /media/usb/GLM-4-9B-0414-Q4_K_M.gguf --name glm-4-9b
    """
    console = Console()
    called = name or re.sub(r"[^a-z0-9.]+", "-", file.stem.lower()).strip("-.")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(called, total=file.stat().st_size)
        path, sha256 = add(file, called, cache_folder(), lambda done: progress.update(task, completed=done))
    console.print(f"{called}: {path}, SHA-256 {sha256}", soft_wrap=True, highlight=False)


def add(file: Path, name: str, cache: Path, told: Told = lambda _done: None) -> tuple[Path, str]:
    """Copy `file` to the cache as `name`; return its path and hash.

    Raises ConfigError for a name that cannot be or a file that is no language model, ModelError when
    it cannot be written.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,63}", name) or name.endswith(".gguf"):
        raise ConfigError(f"{name!r} cannot be a name: small letters, digits, '.' and '-', no '.gguf'")
    if name in TABLE:
        raise ConfigError(f"{name} is the name of a model that `inspector models pull` fetches; take another")
    shape_of(read_header(file))
    path = cache / "models" / f"{name}.gguf"
    partial = path.with_name(f"{path.name}.adding")
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < file.stat().st_size * 1.02:
            raise ModelError(f"{path.parent} has {free / 1e9:.1f} GB free, too little for {file}")
        with file.open("rb") as source, partial.open("wb") as copy:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
                told(copy.tell())
            copy.flush()
            os.fsync(copy.fileno())
        partial.replace(path)
        write_stamp(path, digest.hexdigest())
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ModelError(f"{path} cannot be written: {error.strerror or error}") from error
    return path, digest.hexdigest()
