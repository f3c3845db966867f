"""`line-sim campaign`: randomised fault runs of the real cell, kept, resumed and reported."""

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from inspector.errors import ConfigError
from line_sim.campaign import replays
from line_sim.campaign.cell import program
from line_sim.campaign.cell_faults import SmallDisk
from line_sim.campaign.judge import Record
from line_sim.campaign.plan import KINDS
from line_sim.campaign.pool import Jobs
from line_sim.campaign.replays import Replayed
from line_sim.campaign.report import from_line, markdown, to_line, totals
from line_sim.campaign.worker import Settings
from line_sim.scenario import load_scenario

_SITE: Final = Path("deploy/demo/site.yaml")


def campaign_command(
    *,
    runs: Annotated[int, typer.Option(min=1, max=40_000, help="How many runs.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same faults.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Cells side by side; each takes two cores.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; one with runs of this seed is continued.")
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="Run this scenario instead, in a fresh cell each time.")
    ] = None,
    site: Annotated[
        Path | None, typer.Option(help="Site file that the cell is made like; else the demo's.")
    ] = None,
    shrink: Annotated[int, typer.Option(min=0, help="Runs to spend on shrinking a failure; 0: none.")] = 24,
    as_json: Annotated[bool, typer.Option("--json", help="Totals as one JSON object, last line.")] = False,
) -> None:
    """Break the real cell in many ways, and check that every part still gets its one verdict in time.

    What the cell recorded is replayed in the end, and must give the same verdicts.

    Exit status 0: nothing was lost, late, stale, twice or decided otherwise in the replay. 1: something was,
    see report.md. 2: a wrong option.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    drawn = load_scenario(scenario) if scenario is not None else None
    out = out or Path(f"campaign-{seed}" if drawn is None else f"campaign-{Path(scenario or '').stem}")
    store = _Store(out, f"seed {seed}" if drawn is None else f"scenario {scenario}")
    for name, package in (("inspector", "run `make setup`"), ("mosquitto", "apt-get install mosquitto")):
        program(name, package)
    kinds = KINDS
    if not SmallDisk.possible(Path(tempfile.gettempdir()) / f"line-sim-disk-{os.getpid()}"):
        kinds = KINDS - {"disk_full"}
        console.print("disk_full is left out: it needs root, for a small disk of its own")
    if drawn is not None and (other := {each.kind for each in drawn.disturbances} - kinds - {"kill"}):
        raise ConfigError(f"{scenario}: {', '.join(sorted(other))} cannot be had here")
    settings = Settings(site=_site(site), seed=seed, out=out, kinds=kinds, scenario=drawn, shrink_runs=shrink)
    done = {record.number for record in store.records}
    todo = [number for number in range(1, runs + 1) if number not in done]
    if done:
        console.print(f"{out}: {len(done)} runs are there already, {len(todo)} to go")
    interrupted = _run_all(settings, todo, min(jobs, max(1, len(todo))), store, console)
    report = markdown(store.records, seed, store.replays)
    (out / "report.md").write_text(report, encoding="utf-8")
    console.print(report, markup=False, highlight=False, soft_wrap=True)
    console.print(f"{out}/report.md, {out}/runs.jsonl")
    if as_json:
        typer.echo(json.dumps(totals(store.records, seed, store.replays)))
    if interrupted:
        raise typer.Exit(130)
    differs = any(replayed.different for replayed in store.replays)
    raise typer.Exit(int(differs or any(record.failed for record in store.records)))


def _site(given: Path | None) -> Path:
    if given is not None:
        return given
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (folder / _SITE).is_file():
            return folder / _SITE
    raise ConfigError(f"{_SITE} not found: run it from a checkout, or give --site")


class _Store:
    """The runs so far, in memory and in `runs.jsonl`, which survives a Ctrl-C."""

    def __init__(self, out: Path, about: str) -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            kept = out / "campaign.txt"
            if kept.exists() and kept.read_text(encoding="utf-8") != about:
                raise ConfigError(f"--out {out}: holds the runs of {kept.read_text()}, not of {about}")
            kept.write_text(about, encoding="utf-8")
            self._path = out / "runs.jsonl"
            lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
            self.records = sorted((from_line(line) for line in lines), key=lambda record: record.number)
            self._replays = out / "replays.jsonl"
            lines = self._replays.read_text(encoding="utf-8").splitlines() if self._replays.exists() else []
            self.replays = [replays.from_line(line) for line in lines]
        except OSError as error:
            raise ConfigError(f"--out {out}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{out}: not the runs of a campaign of this version") from error

    def add(self, record: Record) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(to_line(record) + "\n")
        self.records = sorted([*self.records, record], key=lambda each: each.number)

    def add_replays(self, done: list[Replayed]) -> None:
        if not done:
            return
        with self._replays.open("a", encoding="utf-8") as file:
            file.writelines(replays.to_line(each) + "\n" for each in done)
        self.replays += done


@dataclass
class _Seen:
    """What the progress bar tells."""

    parts: int = 0
    failed: int = 0

    def add(self, record: Record) -> str:
        self.parts += record.parts
        self.failed += record.failed
        return f"{self.parts} parts, {self.failed} failed"


@contextmanager
def _progress(console: Console, total: int) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("campaign"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        yield bar, bar.add_task("starting the cell", total=total)


def _run_all(settings: Settings, todo: list[int], jobs: int, store: _Store, console: Console) -> bool:
    """Have the jobs run all numbers. Returns whether Ctrl-C ended it early; what is done is kept."""
    if not todo:
        return False
    seen = _Seen()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: keep what is done
    with Jobs(settings, todo, jobs) as work:
        try:
            with _progress(console, len(todo)) as (bar, task):
                for record in work.records():
                    store.add(record)
                    bar.update(task, advance=1, description=seen.add(record))
                    if record.failed:
                        first = record.findings[0]
                        bar.console.print(f"run {record.number}: {first.kind}: {first.text}", markup=False)
        except KeyboardInterrupt:
            console.print("stopping after the runs that are going on; the rest can be continued later")
            for record in work.stop():
                store.add(record)
            return True
        finally:
            store.add_replays(work.replays)
    return False
