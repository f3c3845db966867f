"""`inspector session`: a session to a file and back, and into a folder of regression tests."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from inspector.errors import ConfigError, DataError
from inspector.store.commands import arbiter
from inspector.store.export import export_session, import_session
from inspector.store.layout import CONFIG_NAME, META_NAME, segments, store_error
from inspector.store.reader import SessionReader
from inspector.store.replay import replay_session

app = typer.Typer(no_args_is_help=True, help="Export, import and keep recorded sessions.")

Session = Annotated[Path, typer.Argument(help="Folder of one session.")]


@app.command("export", epilog="Example: inspector session export sessions/2026-11-22T15-03-35Z")
def export(
    session: Session,
    to: Annotated[Path | None, typer.Option(help="The file; else SESSION.mcap here.")] = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="With the pictures, as PNG.")] = True,
) -> None:
    """Write one MCAP file that Foxglove opens: pictures with boxes, readings, a timeline of verdicts."""
    target = to or Path(f"{session.name}.mcap")
    try:
        reader = SessionReader(session)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("exporting", total=None)
            done = export_session(
                reader,
                target,
                images="png" if images else "none",
                progress=lambda count: bar.update(task, completed=count),
            )
    except DataError as error:
        raise ConfigError(str(error)) from error
    typer.echo(f"{target}: {done.messages} messages, {done.frames} pictures")


@app.command("import", epilog="Example: inspector session import line3.mcap --to sessions")
def import_(
    file: Annotated[Path, typer.Argument(help="A file of `inspector session export`.")],
    to: Annotated[Path, typer.Option(help="Folder of the sessions.")] = Path("sessions"),
) -> None:
    """Make a session of an exported file, to replay and compare it here."""
    try:
        folder, done = import_session(file, to)
    except DataError as error:
        raise ConfigError(str(error)) from error
    typer.echo(f"{folder}: {done.messages} messages, {done.frames} pictures")


@app.command("keep", epilog="Example: inspector session keep sessions/2026-11-22T15-03-35Z tests/replay/jam")
def keep(
    session: Session,
    folder: Annotated[Path, typer.Argument(help="Where the test goes; its name says what it is about.")],
) -> None:
    """Make a regression test of a session: all that a replay needs, without the pictures.

    `inspector replay FOLDER` runs it, and `inspector replay tests/replay` all that are there.
    """
    try:
        reader = SessionReader(session)
        report = replay_session(reader, arbiter)
    except DataError as error:
        raise ConfigError(str(error)) from error
    if not report.exact:
        raise ConfigError(f"{session}: this version decides it otherwise; see `inspector replay {session}`")
    try:
        folder.mkdir(parents=True)
        shutil.copytree(session / CONFIG_NAME, folder / CONFIG_NAME)
        for segment in segments(session):
            if not segment.frames:
                shutil.copy2(segment.path, folder)
        shutil.copy2(session / META_NAME, folder)  # last: without it the folder is no session
    except FileExistsError as error:
        raise ConfigError(f"{folder}: exists already; give another name") from error
    except OSError as error:
        raise store_error(folder, error) from error
    typer.echo(f"{folder}: {report.equal} verdicts; `inspector replay {folder}` compares them")
