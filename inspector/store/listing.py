"""What `inspector sessions` tells of each session."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inspector.clock import NS_PER_S
from inspector.errors import ConfigError, DataError
from inspector.store.layout import RESULTS_NAME, session_folders
from inspector.store.reader import SessionReader
from inspector.store.results_query import ResultReader
from inspector.topics import VERDICTS


@dataclass(frozen=True, slots=True)
class SessionLine:
    """One session. `state` is running, complete, cut off, or why it cannot be read.

    `verdicts` counts by decision and action, e.g. {"CONFIRMED_ACTION PASS": 90}.
    """

    name: str
    started_utc: str
    duration_s: float
    parts: int
    verdicts: dict[str, int]
    size_bytes: int
    state: str


def list_sessions(directory: Path) -> tuple[SessionLine, ...]:
    """Describe the sessions in `directory`, oldest first. Raises ConfigError if it is no folder.

    Counts come from the results database; a session that it does not know is read through.
    """
    if not directory.is_dir():
        raise ConfigError(f"{directory}: no such folder; recorder.directory in the site file names it")
    results = directory / RESULTS_NAME
    database = ResultReader(results) if results.is_file() else None
    try:
        return tuple(_line(session, database) for session in session_folders(directory))
    finally:
        if database is not None:
            database.close()


def _line(session: Path, database: ResultReader | None) -> SessionLine:
    size_bytes = sum(p.stat().st_size for p in session.rglob("*") if p.is_file())
    try:
        reader = SessionReader(session)
        parts, verdicts = _from_database(session.name, database) or _from_messages(reader)
    except (ConfigError, DataError) as exc:
        return SessionLine(session.name, "", 0.0, 0, {}, size_bytes, f"unreadable: {exc}")
    state = "running" if reader.running else "complete" if reader.complete else "cut off"
    return SessionLine(
        name=session.name,
        started_utc=reader.meta.started_utc,
        duration_s=max(0, reader.last_write_utc_ns - reader.meta.started_utc_ns) / NS_PER_S,
        parts=parts,
        verdicts=verdicts,
        size_bytes=size_bytes,
        state=state,
    )


Counts = tuple[int, dict[str, int]]


def _from_database(name: str, database: ResultReader | None) -> Counts | None:
    if database is None:
        return None
    counts = database.counts(session=name)
    if not counts:
        return None
    return database.parts(name), {f"{c.decision} {c.action}": c.count for c in counts}


class _Brief(msgspec.Struct):
    """The part of a verdict that is counted; leaving out its evidence makes reading quick."""

    verdict_id: str
    part_id: str
    decision: str
    action: str


class _BriefRecord(msgspec.Struct):
    verdict: _Brief


def _from_messages(reader: SessionReader) -> Counts:
    decoder = msgspec.json.Decoder(_BriefRecord)
    parts: set[str] = set()
    verdicts: Counter[str] = Counter()
    for data in reader.payloads(VERDICTS):
        try:
            brief = decoder.decode(data).verdict
        except msgspec.DecodeError as exc:
            raise DataError(f"{reader.path}: a verdict does not fit this version ({exc})") from exc
        parts.add(brief.part_id)
        verdicts[f"{brief.decision} {brief.action}"] += 1
    return len(parts - {""}), dict(verdicts)
