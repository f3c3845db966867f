"""`inspector merge`: a one-class model and one that finds boxes, in one pass."""

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from inspector.config_load import find_model
from inspector.detect.commands import export_words
from inspector.detect.importing.merge import merge_models
from inspector.detect.model.manifest import load_manifest
from inspector.errors import ConfigError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MERGE_EPILOG: Final = """Example:

inspector merge flange flange-boxes --name flange-both    (both taught and trained with --size 512x384)
"""


def merge(
    *,
    one_class: Annotated[str, typer.Argument(help="A model of 'inspector teach'.")],
    boxes: Annotated[
        str, typer.Argument(help="A model that finds boxes, best of 'train --backbone frozen'.")
    ],
    name: Annotated[str, typer.Option(help="Name of the new model: a folder under --models.")],
    models: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
) -> None:
    """Run two models on one frame in one pass: what both compute alike is computed once."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: use letters, digits, '_', '.' and '-' (64 at most)")
    folders = [find_model(given, [models, Path()]) for given in (one_class, boxes)]
    command = shlex.join(["inspector", *sys.argv[1:]])
    folder, shared = merge_models(folders[0], folders[1], models, name, command)
    typer.echo(f"{folder}: {shared} operations of the second model are the first one's too and run once")
    typer.echo(export_words(load_manifest(folder)))
