"""The command line of the simulated line."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from inspector.errors import ConfigError, InspectorError
from line_sim.camera.command import camera_command
from line_sim.campaign.command import campaign_command
from line_sim.line import RunSettings
from line_sim.mqtt_link import Broker, parse_address
from line_sim.render_command import prepare_folder, render_parts
from line_sim.run_command import RunOptions, read_password, run_line
from line_sim.scenario import scenario_names
from line_sim.summary import print_summary

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
    pictures = render_parts(out, parts=parts, seed=seed, defect_rate=defect_rate, size_px=(width, height))
    console = Console(stderr=True)
    defects = 0
    for picture in track(pictures, "Rendering", total=parts, console=console):
        defects += picture.truth.kind is not None
    console.print(f"{out}: {parts - defects} good, {defects} with a defect")


_BASE_PATTERN = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,5}")


@app.command(
    epilog="""Examples:\n
  line-sim run                                   (60 parts on the broker of this machine)\n
  line-sim run --scenario accuracy --fast --seed 3 --events run.jsonl\n
  line-sim run --scenario folder --images photos (photos/good and photos/defect)"""
)
def run(
    *,
    broker: Annotated[str, typer.Option(help="HOST:PORT of the MQTT broker.")] = "127.0.0.1:1883",
    base: Annotated[
        str, typer.Option(help="ISA-95 path of the cell, before every topic.")
    ] = "acme/plant1/hall1/line1/cell1",
    camera_address: Annotated[
        str,
        typer.Option(
            help="Address of this machine on which the camera answers; more cameras follow. "
            "auto: the first that is free on loopback; the event `ready` says which."
        ),
    ] = "127.0.0.1",
    scenario: Annotated[
        str, typer.Option(help=f"A file, or one of: {', '.join(scenario_names())}.")
    ] = "default",
    images: Annotated[
        Path | None, typer.Option(help="Folder for a scenario that streams photographs.")
    ] = None,
    parts: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="How many, instead of the scenario's.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same parts and readings.")] = 1,
    fast: Annotated[
        bool,
        typer.Option("--fast/--realtime", help="As fast as verdicts come, or at the scenario's rate."),
    ] = False,
    deadline_ms: Annotated[
        float, typer.Option(min=1, help="The PLC's failsafe acts so long after the photo-eye.")
    ] = 250.0,
    gap_ms: Annotated[
        float, typer.Option(min=0, help="With --fast, the least time between two parts.")
    ] = 60.0,
    linger: Annotated[float, typer.Option(min=0, help="Seconds to wait for explanations at the end.")] = 30.0,
    start_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the cell to be ready.")
    ] = 60.0,
    events: Annotated[
        str, typer.Option(help="Where JSON lines go: - (stdout), a file descriptor or a file.")
    ] = "-",
    username: Annotated[str | None, typer.Option(help="User name at the broker.")] = None,
    password_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the password.")
    ] = None,
    password_file: Annotated[Path | None, typer.Option(help="File that holds the password.")] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="CA certificate; turns TLS on.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Client certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Key of the client certificate.")] = None,
) -> None:
    """Run the line: parts, camera, sensors and PLC, until every part has its verdict.

    Exit status 0: every part got exactly one verdict. 1: not so, or a fault. 2: a wrong option.
    """
    if not _BASE_PATTERN.fullmatch(base):
        raise ConfigError(f"--base {base}: give site/area/line/cell with letters, digits, _ . -")
    if tls_ca is None and (tls_cert or tls_key):
        raise ConfigError("--tls-cert and --tls-key need --tls-ca")
    host, port = parse_address(broker)
    options = RunOptions(
        broker=Broker(
            host=host,
            port=port,
            username=username,
            password=read_password(password_env, password_file),
            ca_file=tls_ca,
            cert_file=tls_cert,
            key_file=tls_key,
        ),
        base=base,
        camera_address=camera_address,
        scenario=scenario,
        images=images,
        parts=parts,
        events=events,
        settings=RunSettings(
            seed=seed,
            deadline_ms=deadline_ms,
            fast=fast,
            gap_ms=gap_ms,
            linger_s=linger,
            start_timeout_s=start_timeout,
        ),
    )
    result = run_line(options)
    print_summary(result, Console(stderr=True))
    raise typer.Exit(result.exit_status)


app.command("camera")(camera_command)
app.command(
    "campaign",
    epilog="""Examples:\n
  line-sim campaign --runs 20                     (a first look, about two minutes)\n
  line-sim campaign --runs 200 --seed 7 --json    (again the same: continues where it was stopped)\n
  line-sim campaign --scenario campaign-7/failure-0042.yaml --runs 3   (does it still fail?)\n
  line-sim campaign --scenario detector_kill --runs 1""",
)(campaign_command)


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
