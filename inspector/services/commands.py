"""The commands that run a cell: `demo`, `run`, `record`, `check`. Heavy imports wait until needed."""

import json
from pathlib import Path
from typing import Annotated

import typer

from inspector.errors import ConfigError, DataError

_LLM = {"default": "qwen2.5-coder-1.5b", "small": "smollm2-135m", "none": "none"}


def demo(
    *,
    parts: Annotated[
        int | None, typer.Option(help="How many parts; else as the scenario says.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other parts.")] = 1,
    scenario: Annotated[str, typer.Option(help="A scenario's name, or a YAML file.")] = "default",
    images: Annotated[
        Path | None, typer.Option(help="Folder of photographs, for a scenario that streams them.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast/--realtime", help="As fast as verdicts come, or at the belt's speed.")
    ] = False,
    llm: Annotated[str, typer.Option(help="default, small, none, or a model's name or file.")] = "default",
    model: Annotated[
        Path | None, typer.Option(help="A model folder from `inspector teach`; else the demo's own.")
    ] = None,
    teach: Annotated[
        Path | None, typer.Option(help="Teach a model from this folder of good images first, and use it.")
    ] = None,
    sessions: Annotated[Path, typer.Option(help="Where the session is recorded.")] = Path("sessions"),
    broker: Annotated[
        str | None, typer.Option(help="HOST:PORT of an MQTT broker; else a private one on loopback.")
    ] = None,
    linger: Annotated[float, typer.Option(help="Seconds to wait for the last explanations.", min=0)] = 75.0,
    as_json: Annotated[bool, typer.Option("--json", help="Summary as one JSON object, last line.")] = False,
) -> None:
    """Run the whole cell against a simulated line, and score it.

    Examples:

      inspector demo --parts 200 --seed 7

      inspector demo --scenario emergency --llm small --json

      inspector demo --scenario folder --images photos --teach photos/train_good
    """
    # Imported here, so that the other commands start quickly.
    from inspector.explain.weights import is_path, known  # noqa: PLC0415
    from inspector.services.demo import DemoOptions, run_demo  # noqa: PLC0415
    from inspector.services.demo_teach import taught  # noqa: PLC0415
    from inspector.services.demo_view import DemoView  # noqa: PLC0415

    model_name = _LLM.get(llm, llm)
    if model_name != "none" and not is_path(model_name):
        known(model_name)  # a name that nobody knows is the user's mistake
    if teach is not None:
        if model is not None:
            raise ConfigError("--model and --teach: give one of them")
        model = taught(teach)
    options = DemoOptions(
        parts=parts,
        seed=seed,
        scenario=scenario,
        images=images,
        fast=fast,
        llm=model_name,
        model=model,
        sessions=sessions,
        broker=host_and_port(broker) if broker is not None else None,
        linger_s=linger,
    )
    view = DemoView()
    summary, complete = run_demo(options, view)
    view.summary(summary)
    if as_json:
        typer.echo(json.dumps(summary))
    if not complete:
        raise typer.Exit(1)


def run(
    site_file: Annotated[Path, typer.Argument(metavar="SITE", help="The site file (YAML).")],
) -> None:
    """Run a cell in the foreground until Ctrl-C or SIGTERM.

    Example:

      inspector run /etc/inspector/site.yaml
    """
    from inspector.config_load import load_site  # noqa: PLC0415
    from inspector.services.check import check_site  # noqa: PLC0415
    from inspector.services.foreground import run_cell  # noqa: PLC0415

    site = load_site(site_file)
    for finding in check_site(site):
        typer.echo(finding.line(), err=True)
    run_cell(site, site_file)


def record(
    site_file: Annotated[Path, typer.Argument(metavar="SITE", help="The site file (YAML).")],
    parts: Annotated[int | None, typer.Option(help="End after so many parts.", min=1)] = None,
    minutes: Annotated[
        float | None, typer.Option(help="End so long after all services are ready.", min=0.01)
    ] = None,
) -> None:
    """Run a cell as `inspector run` does, for a session: all frames are recorded, whatever
    `recorder.frames` says, and the session is named at the end.

    The PLC gets its verdicts all the same. Ends with --parts, --minutes, Ctrl-C or SIGTERM.

    Examples:

      inspector record site.yaml --parts 200

      inspector record site.yaml --minutes 10
    """
    from inspector.config_load import load_site  # noqa: PLC0415
    from inspector.services.check import check_site  # noqa: PLC0415
    from inspector.services.foreground import Fill, record_cell  # noqa: PLC0415

    site = load_site(site_file)
    for finding in check_site(site):
        typer.echo(finding.line(), err=True)
    fill = Fill(parts, None if minutes is None else 60 * minutes)
    recorded = record_cell(site, site_file, fill)
    for session in recorded.sessions:
        typer.echo(session)
    if not recorded.parts:
        raise DataError("no part was judged; does the PLC publish its triggers?")
    typer.echo(f"{recorded.parts} parts", err=True)


def check(
    site_file: Annotated[Path, typer.Argument(metavar="SITE", help="The site file (YAML).")],
) -> None:
    """Check a site file, and that its models, cameras, producers and broker are there.

    Exit status 2 when the cell could not run, or would refuse one of its recipes.

    Example:

      inspector check deploy/demo/site.yaml
    """
    from inspector.config_load import load_site  # noqa: PLC0415
    from inspector.services.check import check_site  # noqa: PLC0415

    site = load_site(site_file)
    typer.echo(f"ok     configuration: {site_file}, {site.config_sha256[:12]}")
    refused = 0
    for finding in check_site(site):
        typer.echo(finding.line())
        refused += finding.level == "error"
    if refused:
        raise ConfigError(f"{site_file}: {refused} of its recipes cannot be selected, see above")


def host_and_port(text: str) -> tuple[str, int]:
    """Split HOST:PORT.

    Raises:
        ConfigError: it is not that.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"--broker {text}: give HOST:PORT, such as 192.168.0.10:1883")
    return host, int(port)
