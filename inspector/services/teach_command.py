"""`inspector teach`: good parts, from a folder or a recorded session, to a model.

Here and not in the detect package, which does not know the store.
"""

import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from inspector.detect.commands import find_backbone, parse_size, progress_bar, summary
from inspector.detect.model.manifest import MANIFEST_NAME, InputLayout, load_manifest
from inspector.detect.teaching.add import add_good
from inspector.detect.teaching.held_out import Method, Progress
from inspector.detect.teaching.teach import Taught, TeachOptions
from inspector.detect.teaching.teach import teach as teach_model
from inspector.errors import ConfigError, DataError
from inspector.services.session_parts import was_never_judged, write_good_parts
from inspector.store.reader import SessionReader

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

TEACH_EPILOG: Final = """Examples:

inspector teach --good images/good --name flange    (30 good parts are a fair start)

inspector teach --good images/good --defect images/bad --name flange    (defects set the limit)

inspector teach --good images/good --name nut --method bank    (small defects, parts that lie anywhere)

inspector teach --good images/good --name sheet --smallest-defect 12    (small defects in a large image)

inspector teach --good images/monday --name flange --add    (more good parts, in seconds)

inspector teach --from-session sessions/2026-11-22T15-03-35Z --name flange --add    (those it passed surely)

inspector teach --from-session sessions/2026-11-22T09-10-02Z --name flange    (of camera record: all of it)
"""


def teach(
    *,
    good: Annotated[Path | None, typer.Option(help="Folder of images of good parts, 5 to 500.")] = None,
    from_session: Annotated[
        Path | None,
        typer.Option(help="A recorded session: its surely good parts, or all frames of camera record."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the model: a folder under --models.")],
    add: Annotated[
        bool, typer.Option("--add", help="Add to the model of that name instead of starting over.")
    ] = False,
    models: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
    defect: Annotated[
        Path | None, typer.Option(help="Folder of defective parts; used for calibration only.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="With --from-session: which camera, where it has several.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=5, max=500, help="With --from-session: take so many, evenly over it.")
    ] = 100,
    size: Annotated[
        str | None, typer.Option(help="Network input in pixels, WIDTHxHEIGHT, or 'auto' (default).")
    ] = None,
    smallest_defect: Annotated[
        float | None,
        typer.Option(min=2, help="Pixels of the image across the smallest defect: sets --size. Costs time."),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="gaussian (default), or bank: small patches, for small defects on parts that lie anywhere."
        ),
    ] = None,
    false_reject_rate: Annotated[
        float | None,
        typer.Option(
            min=1e-6, max=0.2, help="Good parts over the threshold, where no defects are given; 0.001."
        ),
    ] = None,
    defect_share: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.999, help="Share of defects on the line, with --defect; 0.5."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Learn what good parts look like and write a model folder. Needs no defective parts."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: use letters, digits, '_', '.' and '-' (64 at most)")
    if (good is None) == (from_session is None):
        raise ConfigError("give --good FOLDER or --from-session SESSION, one of them")
    if size is not None and smallest_defect is not None:
        raise ConfigError("give --size or --smallest-defect, not both")
    given = {
        "--size": size, "--smallest-defect": smallest_defect, "--method": method,
        "--false-reject-rate": false_reject_rate,
    }  # fmt: skip
    kept = [
        option for option, value in {**given, "--defect-share": defect_share}.items() if value is not None
    ]
    if add and kept:
        raise ConfigError(f"{kept[0]}: stays as the model was taught; leave it out with --add")
    if add and not (models / name / MANIFEST_NAME).is_file():
        raise ConfigError(f"{models / name}: no model to add to; teach it first, without --add")
    options = TeachOptions(
        name=name,
        method=method or "gaussian",
        size=parse_size(size or "auto"),
        smallest_defect_px=smallest_defect,
        false_reject_rate=0.001 if false_reject_rate is None else false_reject_rate,
        defect_share=0.5 if defect_share is None else defect_share,
        threads=threads,
        command=shlex.join(["inspector", *sys.argv[1:]]),
    )
    replaced = not add and (models / name / MANIFEST_NAME).is_file()
    with progress_bar() as progress, tempfile.TemporaryDirectory(prefix="inspector-teach-") as scratch:
        if from_session is None:
            assert good is not None
            taught = _teach(good, defect, models, options, add=add, progress=progress)
        else:
            layout = load_manifest(models / name).input if add else None
            folder = Path(scratch)
            _take(from_session, folder, camera=camera, layout=layout, most=most, progress=progress)
            try:
                taught = _teach(folder, defect, models, options, add=add, progress=progress)
            except ConfigError as error:  # the user knows the session, not where its pictures lay
                raise ConfigError(str(error).replace(scratch, str(from_session))) from error
    typer.echo(summary(taught))
    if replaced:
        typer.echo(f"in place of the model {name} that was there, and of a risk that was set for it")


def _take(
    session: Path,
    folder: Path,
    *,
    camera: str | None,
    layout: InputLayout | None,
    most: int,
    progress: Progress,
) -> None:
    try:
        reader = SessionReader(session)
        taken = write_good_parts(
            reader, folder, camera_id=camera, layout=layout, most=most, progress=progress
        )
        if was_never_judged(reader):
            typer.echo(
                f"{session}: was recorded without verdicts; {taken} frames of it are taken as good parts"
            )
    except DataError as error:
        raise ConfigError(str(error)) from error


def _teach(
    good: Path, defect: Path | None, models: Path, options: TeachOptions, *, add: bool, progress: Progress
) -> Taught:
    backbone = find_backbone(models)
    if not add:
        return teach_model(good, defect, models, backbone, options=options, progress=progress)
    return add_good(
        models / options.name, good, defect, backbone,
        threads=options.threads, command=options.command, progress=progress,
    )  # fmt: skip
