"""What `inspector sessions` and `inspector replay` do: print, and return the exit status.

Status 0 is success, 1 a replay that differs, 2 a wrong argument.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from inspector.clock import NS_PER_S
from inspector.config import ArbiterSetup
from inspector.decide.arbiter import Arbiter
from inspector.errors import ConfigError, DataError
from inspector.store.decide_again import WakingDecider
from inspector.store.listing import SessionLine, list_sessions
from inspector.store.reader import SessionReader
from inspector.store.replay import Decider, DeciderFactory, Difference, ReplayReport, replay_session
from inspector.strict_data import check
from inspector.types import JournalEntry, Verdict, VerdictRecord
from inspector.wrong_value import WrongValueError

OK, DIFFERENT, USAGE = 0, 1, 2

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for another program.")]


def sessions(
    directory: Annotated[Path, typer.Argument(help="Folder of the sessions (recorder.directory).")] = Path(
        "sessions"
    ),
    as_json: AsJson = False,
) -> None:
    """List recorded sessions: when, parts, verdicts, size, complete or cut off.

    Example: inspector sessions /var/lib/inspector/sessions
    """
    raise typer.Exit(sessions_command(directory, as_json=as_json))


class _ArbiterDecider:
    """The arbiter of this version, as a replay wants it."""

    def __init__(self, setup: ArbiterSetup) -> None:
        self._arbiter = Arbiter(setup)

    @property
    def next_wakeup_ns(self) -> int | None:
        return self._arbiter.next_wakeup_ns

    def decide(self, entry: JournalEntry) -> tuple[VerdictRecord, ...]:
        return tuple(o for o in self._arbiter.step(entry) if isinstance(o, VerdictRecord))

    def step(self, entry: JournalEntry) -> tuple[Verdict, ...]:
        return tuple(record.verdict for record in self.decide(entry))


def arbiter_of(setup: ArbiterSetup) -> WakingDecider:
    """Make an arbiter of this version with this setup."""
    return _ArbiterDecider(setup)


def arbiter(setup: dict[str, Any], epoch: str) -> Decider:
    """Make the arbiter as it was set up in the recorded run. Raises DataError."""
    del epoch  # it reaches the verdicts through the journal entries
    return _ArbiterDecider(recorded_setup(setup))


def recorded_setup(setup: dict[str, Any]) -> ArbiterSetup:
    """Read the arbiter's setup of a session. Raises DataError if it is not one of this version."""
    try:
        return check(setup, ArbiterSetup)
    except WrongValueError as exc:
        raise DataError(
            f"the session's arbiter setup does not fit this version ({exc}): "
            "use the inspector version that recorded it"
        ) from exc


def sessions_command(directory: Path, *, as_json: bool = False) -> int:
    """List the sessions in `directory`. Returns the exit status."""
    try:
        lines = list_sessions(directory)
    except (ConfigError, DataError) as exc:
        return _usage_error(exc)
    if as_json:
        _print_json(lines)
    elif not lines:
        Console().print(f"no sessions in {directory}", soft_wrap=True, highlight=False)
    else:
        Console().print(_sessions_table(lines))
    return OK


def replay_command(
    session: Path, make_decider: DeciderFactory, *, speed: float | None = None, as_json: bool = False
) -> int:
    """Replay one session and compare. Returns the exit status: 0 only if every verdict is equal.

    `speed` 1.0 takes as long as the recording did; None is as fast as it goes.
    """
    try:
        reader = SessionReader(session)
        report = _replay_with_bar(reader, make_decider, None if speed is None else Pace(speed))
    except (ConfigError, DataError) as exc:
        return _usage_error(exc)
    for warning in reader.warnings:
        _stderr().print(f"warning: {warning}", soft_wrap=True, markup=False, highlight=False)
    if as_json:
        _print_json(_report_json(session, report, reader.warnings))
    else:
        Console().print(_report_table(session, report))
        for difference in report.differences:
            Console().print(_explain(difference), soft_wrap=True, markup=False, highlight=False)
        Console().print(_conclusion(report), soft_wrap=True, markup=False, highlight=False)
    return OK if report.exact else DIFFERENT


class Pace:
    """Waits so that the recording's time passes `speed` times as fast as it did."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first: tuple[int, int] | None = None

    def __call__(self, recorded_ns: int) -> None:
        now_ns = time.monotonic_ns()
        self._first = self._first or (recorded_ns, now_ns)
        due_ns = self._first[1] + (recorded_ns - self._first[0]) / self._speed
        time.sleep(max(0.0, (due_ns - now_ns) / NS_PER_S))


def _replay_with_bar(reader: SessionReader, make_decider: DeciderFactory, pace: Pace | None) -> ReplayReport:
    columns = (TextColumn("replaying"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_stderr(), transient=True) as bar:
        task = bar.add_task("replay", total=reader.message_bytes)
        return replay_session(reader, make_decider, lambda done: bar.update(task, completed=done), pace)


def _stderr() -> Console:
    return Console(stderr=True)


def _usage_error(exc: Exception) -> int:
    _stderr().print(f"error: {exc}", soft_wrap=True, markup=False, highlight=False)
    return USAGE


def _print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _sessions_table(lines: tuple[SessionLine, ...]) -> Table:
    table = Table("session", "duration", "parts", "verdicts", "size", "state")
    for line in lines:
        verdicts = "\n".join(f"{n} {name}" for name, n in sorted(line.verdicts.items()))
        minutes, seconds = divmod(round(line.duration_s), 60)
        table.add_row(
            line.name,
            f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}",
            str(line.parts),
            verdicts,
            f"{line.size_bytes / 1e6:.1f} MB",
            line.state,
        )
    return table


def _report_table(session: Path, report: ReplayReport) -> Table:
    table = Table(title=f"replay of {session.name}", show_header=False)
    rows = (
        ("journal entries", report.entries),
        ("arbiter starts", report.epochs),
        ("verdicts recorded", report.recorded),
        ("compared", report.compared),
        ("equal", report.equal),
        ("different", report.different),
        ("not compared (gap in the journal)", report.not_compared),
        ("replayed, lost by the recording", report.unrecorded),
        ("gaps in the journal", len(report.gaps)),
    )
    for name, value in rows:
        table.add_row(name, str(value))
    return table


def _explain(difference: Difference) -> str:
    who = f"{difference.verdict_id} (part {difference.part_id or '-'})"
    if difference.replayed is None:
        return f"{who}: recorded, but the replay does not give it"
    if difference.recorded is None:
        return f"{who}: the replay gives it, but it was not recorded"
    changes = (f"{name} {was!s} -> {now!s}" for name, (was, now) in difference.fields.items())
    return f"{who}: recorded -> replayed: {', '.join(changes)}"


def _conclusion(report: ReplayReport) -> str:
    if report.different:
        return f"DIFFERENT: {report.different} verdicts are not those of the recorded run"
    if not report.exact:
        return "NOTHING COMPARED: the journal does not cover the recorded verdicts"
    return f"EQUAL: {report.equal} verdicts, bit for bit"


def _report_json(session: Path, report: ReplayReport, warnings: tuple[str, ...]) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(report)
    return {
        "session": str(session),
        "exact": report.exact,
        "compared": report.compared,
        **built,
        "warnings": warnings,
    }
