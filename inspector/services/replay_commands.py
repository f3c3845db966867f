"""`inspector replay` and `inspector compare`: recorded sessions decided again, and compared."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from inspector.config import ArbiterSetup, Site
from inspector.config_load import load_site
from inspector.errors import ConfigError, DataError
from inspector.recipe import apply_recipe
from inspector.services.setup import arbiter_setup
from inspector.store.commands import DIFFERENT, OK, arbiter, arbiter_of, recorded_setup, replay_command
from inspector.store.compare import Comparison, compare_runs
from inspector.store.decide_again import ResultKey, decide_again
from inspector.store.layout import META_NAME, session_folders
from inspector.store.reader import SessionReader
from inspector.topics import VERDICTS
from inspector.types import FrameResult, VerdictRecord

_SHOWN = 40

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for another program.")]

REPLAY_EPILOG = """Examples:

inspector replay sessions/2026-11-22T15-03-35Z     (the same verdicts, bit for bit?)

inspector replay tests/replay     (every session in this folder: a regression test)

inspector replay SESSION --model models/new     (what would this model have changed?)

inspector replay SESSION --config site.yaml --json"""

COMPARE_EPILOG = """Example:

inspector compare sessions/2026-11-22T15-03-35Z sessions/2026-11-23T08-00-01Z"""


class _RecordedSite(msgspec.Struct):
    recipe: str = ""


def replay(
    sessions: Annotated[
        list[Path], typer.Argument(metavar="SESSION...", help="Sessions, or folders of them.")
    ],
    *,
    speed: Annotated[
        float | None, typer.Option(min=0.01, help="1 is as it was, 2 is twice as fast; else no waiting.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Show the recorded pictures to this model (a folder) instead.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Decide by the policy of this site file instead.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help='With --config: its recipe; else the recorded one. "" is the site as it stands.'),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decide recorded sessions again and compare every verdict with the recorded one.

    As recorded, they must be equal bit for bit: exit status 0 says so, 1 that some differ, 2 that this is no
    session. With --model or --config: which verdicts change, and why; 1 when some do.
    """
    if recipe is not None and config is None:
        raise ConfigError("--recipe: only with --config, whose recipe it is")
    sessions = [session for path in sessions for session in _sessions_at(path)]
    if model is None and config is None:
        status = [replay_command(each, arbiter, speed=speed, as_json=as_json) for each in sessions]
        if len(status) > 1 and not as_json:
            typer.echo(
                f"{len(status)} sessions: {status.count(OK)} equal, {len(status) - status.count(OK)} not"
            )
        raise typer.Exit(max(status))
    if speed is not None:
        raise ConfigError("--speed: only for a replay as recorded")
    comparisons = [_what_if(session, model, config, recipe) for session in sessions]
    for session, comparison in zip(sessions, comparisons, strict=True):
        _show(f"{session.name} with {_changes(model, config)}", comparison, as_json=as_json)
    raise typer.Exit(DIFFERENT if any(comparison.changes for comparison in comparisons) else OK)


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of one session.")],
    b: Annotated[Path, typer.Argument(help="Folder of another, over the same parts.")],
    as_json: AsJson = False,
) -> None:
    """Say which parts got another action in the second session, and why: threshold, model, timing, sensors.

    Exit status: 0 none, 1 some, 2 this is no session.
    """
    try:
        one, other = SessionReader(a), SessionReader(b)
        setups = [recorded_setup(reader.meta.info.arbiter_setup) for reader in (one, other)]
        comparison = compare_runs(one.messages(VERDICTS), other.messages(VERDICTS), setups[0], setups[1])
    except DataError as error:
        raise ConfigError(str(error)) from error
    _show(f"{a.name} and {b.name}", comparison, as_json=as_json)
    raise typer.Exit(DIFFERENT if comparison.changes else OK)


def _sessions_at(path: Path) -> tuple[Path, ...]:
    """The session at this path, or else those in this folder."""
    return (path,) if (path / META_NAME).is_file() else session_folders(path) or (path,)


def _what_if(session: Path, model: Path | None, config: Path | None, recipe: str | None) -> Comparison:
    try:
        reader = SessionReader(session)
        was = recorded_setup(reader.meta.info.arbiter_setup)
        results = _infer(reader, model) if model is not None else {}
        site = None if config is None else _site(config, recipe, reader)
        now = _setup(was, site, results)
        again: Iterable[VerdictRecord] = decide_again(reader, lambda _: arbiter_of(now), results)
        return compare_runs(reader.messages(VERDICTS), again, was, now)
    except DataError as error:
        raise ConfigError(str(error)) from error


def _site(config: Path, recipe: str | None, reader: SessionReader) -> Site:
    """The site file to decide by, with its recipe; without one with that which was recorded."""
    site = load_site(config)
    if recipe is not None:
        return apply_recipe(site, recipe)
    # A session of a version that knew no recipes was recorded with none.
    recorded = msgspec.json.decode(reader.config_files()["site.json"], type=_RecordedSite)
    try:
        return apply_recipe(site, recorded.recipe)
    except ConfigError as error:
        raise ConfigError(f"{config}: {error}; it was recorded with it, --recipe takes another") from error


def _setup(was: ArbiterSetup, site: Site | None, results: dict[ResultKey, FrameResult]) -> ArbiterSetup:
    """The setup to decide by: of the site where one is given, with the new model's hash."""
    now = was if site is None else arbiter_setup(site)
    if set(now.cameras) != set(was.cameras):
        raise ConfigError(f"--config: its cameras {now.cameras} are not those recorded, {was.cameras}")
    hashes = {result.model_sha256 for result in results.values()}
    return replace(now, model_sha256=hashes.pop() if hashes else was.model_sha256)


def _infer(reader: SessionReader, model: Path) -> dict[ResultKey, FrameResult]:
    # Imported here, because it takes a second that no other replay needs.
    from inspector.services.reinfer import infer_again  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"inferring with {model.name}", total=None)
        return infer_again(reader, model.name, model.parent, lambda: bar.update(task, advance=1))


def _changes(model: Path | None, config: Path | None) -> str:
    return " and ".join(str(each) for each in (model, config) if each is not None)


def _show(title: str, comparison: Comparison, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(_as_json(title, comparison)).decode())
        return
    console = Console(highlight=False, markup=False)
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_row("parts", str(comparison.parts))
    table.add_row("same action", f"{comparison.same}, {comparison.moved} of them with another probability")
    table.add_row("other action", str(len(comparison.changes)))
    for text, count in (*comparison.by_action.most_common(), *comparison.by_why.most_common()):
        table.add_row(f"  {text}", str(count))
    for key, (was, now) in comparison.policy.items():
        table.add_row(key, f"{was} -> {now}")
    if comparison.models[0] != comparison.models[1]:
        table.add_row("model", " -> ".join(model[:12] for model in comparison.models))
    console.print(table)
    for change in comparison.changes[:_SHOWN]:
        what = f"{change.was or '-'} -> {change.now or '-'}"
        console.print(f"{change.part_id}: {what}: {change.why}: {change.detail}", soft_wrap=True)
    if len(comparison.changes) > _SHOWN:
        console.print(f"and {len(comparison.changes) - _SHOWN} more; --json has all of them")


def _as_json(title: str, comparison: Comparison) -> dict[str, Any]:
    return {
        "title": title,
        "parts": comparison.parts,
        "same": comparison.same,
        "moved": comparison.moved,
        "changed": len(comparison.changes),
        "by_why": dict(comparison.by_why),
        "by_action": dict(comparison.by_action),
        "policy": comparison.policy,
        "models": comparison.models,
        "changes": [msgspec.to_builtins(change) for change in comparison.changes],
    }
