"""The command line of the simulated line."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from inspector.errors import ConfigError, InspectorError
from line_sim.render_command import prepare_folder, render_parts

app = typer.Typer(
    name="line-sim",
    help="A simulated production line: parts, a GigE Vision camera, sensors and a PLC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _root() -> None:
    """A simulated production line: parts, a GigE Vision camera, sensors and a PLC."""


@app.command(
    epilog="""Examples:\n
  line-sim render --out teach --parts 100 --defect-rate 0     (good parts to teach from)\n
  line-sim render --out eval --parts 200 --seed 2 --defect-rate 0.3"""
)
def render(
    *,
    out: Annotated[Path, typer.Option(help="Folder to write good/, defect/ and masks/ into.")],
    parts: Annotated[int, typer.Option(min=1, help="How many parts.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pictures.")] = 1,
    defect_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of defects.")] = 0.15,
    width: Annotated[int, typer.Option(min=96, max=4096, help="Width in pixels.")] = 640,
    height: Annotated[int, typer.Option(min=96, max=4096, help="Height in pixels.")] = 480,
) -> None:
    """Write pictures of parts (PNG, Mono8) with their ground truth, for teach-in and evaluation."""
    prepare_folder(out)
    pictures = render_parts(
        out, parts=parts, seed=seed, defect_rate=defect_rate, size_px=(width, height)
    )
    console = Console(stderr=True)
    defects = 0
    for picture in track(pictures, "Rendering", total=parts, console=console):
        defects += picture.truth.kind is not None
    console.print(f"{out}: {parts - defects} good, {defects} with a defect")


def main() -> None:
    """Entry point `line-sim`: one clear line for a user's mistake, exit status 2."""
    try:
        app()
    except ConfigError as error:
        sys.stderr.write(f"line-sim: {error}\n")
        raise SystemExit(2) from error
    except InspectorError as error:
        sys.stderr.write(f"line-sim: {error}\n")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
