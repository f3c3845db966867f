"""The results database: one row for each verdict, and what became of it, for queries and audits.

SQLite in WAL mode with synchronous=FULL: what `commit` returned from is on the disk, and a reader
(the web pages) never blocks the recorder. A session that retention deletes leaves its rows here.
"""

import sqlite3
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from inspector.errors import ConfigError, StoreError
from inspector.store.results_schema import APPLICATION_ID, INSERTS, SCHEMA, VERSION
from inspector.types import Delivery, Explanation, Fault, Message, PartEvidence, VerdictRecord

MAX_WAITING: Final = 10_000
_TRIM_SHARE: Final = 10  # a trim deletes a tenth of the rows at a time


class ResultWriter:
    """Batched inserts into `path`, safe to repeat. For one thread.

    `utc_offset_ns` maps monotonic times to UTC and `session` names the folder that holds the rest;
    both are those of the `SessionWriter`. When the disk refuses, rows wait for the next `commit`,
    the newest 10,000 of them; `lost` counts those that had to go.
    """

    def __init__(self, path: Path, session: str, utc_offset_ns: int) -> None:
        self.path = path
        self.lost = 0
        self._session = session
        self._offset_ns = utc_offset_ns
        self._encode = msgspec.json.Encoder().encode
        self._waiting: deque[tuple[str, tuple[Any, ...]]] = deque()
        try:
            self._db = _open(path, read_only=False)
            _prepare(self._db, path)
        except sqlite3.Error as exc:
            raise _store_error(path, exc) from exc

    def add(self, message: VerdictRecord | Explanation | Delivery | Fault) -> None:
        """Take one message; the next `commit` stores it. Call that about once a second."""
        self._waiting.append(self._row(message))
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1

    def commit(self) -> None:
        """Store everything taken so far; on the disk when this returns. Raises StoreError."""
        if not self._waiting:
            return
        try:
            with self._db:
                self._db.execute("BEGIN")
                for kind, row in self._waiting:
                    self._db.execute(INSERTS[kind], row)
        except sqlite3.Error as exc:
            raise _store_error(self.path, exc) from exc
        self._waiting.clear()

    def trim(self, max_bytes: int) -> int:
        """Delete the oldest rows until the database uses at most `max_bytes`; return how many.

        The file does not shrink; its free pages are used again. Raises StoreError.
        """
        deleted = 0
        try:
            while self._used_bytes() > max_bytes:
                with self._db:
                    self._db.execute("BEGIN")
                    gone = self._delete_oldest()
                if not gone:
                    break
                deleted += gone
        except sqlite3.Error as exc:
            raise _store_error(self.path, exc) from exc
        return deleted

    def close(self) -> None:
        """Store what waits, and close. Raises StoreError."""
        try:
            self.commit()
        finally:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _used_bytes(self) -> int:
        (size,) = self._db.execute("PRAGMA page_size").fetchone()
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        return int(size * (pages - free))

    def _delete_oldest(self) -> int:
        (rows,) = self._db.execute("SELECT count(*) FROM verdicts").fetchone()
        cut = self._db.execute(
            "SELECT decided_utc_ns FROM verdicts ORDER BY decided_utc_ns LIMIT 1 OFFSET ?",
            (max(rows // _TRIM_SHARE, 1),),
        ).fetchone()
        before = (cut[0] if cut else 1 << 62,)
        old = "(SELECT verdict_id FROM verdicts WHERE decided_utc_ns < ?)"
        self._db.execute(f"DELETE FROM explanations WHERE verdict_id IN {old}", before)
        self._db.execute(f"DELETE FROM deliveries WHERE verdict_id IN {old}", before)
        faults = self._db.execute("DELETE FROM faults WHERE at_utc_ns < ?", before).rowcount
        verdicts = self._db.execute("DELETE FROM verdicts WHERE decided_utc_ns < ?", before)
        return faults + verdicts.rowcount

    def _row(self, message: Message) -> tuple[str, tuple[Any, ...]]:
        encoded = self._encode(message).decode()
        match message:
            case VerdictRecord(verdict=v, evidence=evidence):
                return "verdicts", (
                    v.verdict_id, v.part_id, v.seq, v.decision, v.action, v.reason_code,
                    v.confidence, v.p_defect, v.cause, v.failsafe,
                    v.trigger_ns + self._offset_ns, v.decided_ns + self._offset_ns,
                    v.config_sha256, v.model_sha256, self._session,
                    self._encode(v).decode(), self._encode(_light(evidence)).decode(),
                )  # fmt: skip
            case Explanation(verdict_id=verdict_id, source=source):
                return "explanations", (verdict_id, message.part_id, source, encoded)
            case Delivery(verdict_id=verdict_id, state=state, at_ns=at_ns):
                return "deliveries", (verdict_id, state, at_ns + self._offset_ns, encoded)
            case Fault(at_ns=at_ns):
                return "faults", (
                    message.service, message.code, at_ns + self._offset_ns,
                    message.part_id, message.camera_id, self._session, encoded,
                )  # fmt: skip
        raise TypeError(f"{type(message).__name__} has no table")


def _light(evidence: PartEvidence) -> PartEvidence:
    """Leave out the heat maps: they are most of the bytes, and the session has them."""
    results = tuple(msgspec.structs.replace(r, heatmap=None) for r in evidence.results)
    return msgspec.structs.replace(evidence, results=results)


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    # The web reads from worker threads, one at a time.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=0.5,
        isolation_level=None,
        check_same_thread=not read_only,
    )


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        db.executescript(
            f"BEGIN; {SCHEMA} PRAGMA application_id={APPLICATION_ID};PRAGMA user_version={VERSION}; COMMIT;"
        )
    elif version != VERSION:
        raise ConfigError(
            f"{path}: results database of format {version}, this version writes {VERSION}: "
            "move it away, or use the inspector version that made it"
        )


def open_results(path: Path) -> sqlite3.Connection:
    """Open for reading only. Raises ConfigError if it is missing or of another format."""
    if not path.is_file():
        raise ConfigError(f"{path}: no results database; the recorder makes it when it starts")
    try:
        db = _open(path, read_only=True)
        (version,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as exc:
        raise ConfigError(f"{path}: not a results database ({exc})") from exc
    if version != VERSION:
        db.close()
        raise ConfigError(f"{path}: results database of format {version}, this reads {VERSION}")
    return db


def _store_error(path: Path, exc: sqlite3.Error) -> StoreError:
    if getattr(exc, "sqlite_errorname", "") in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
        return StoreError(f"{path}: damaged ({exc}); move it away, a new one is made")
    return StoreError(f"{path}: {exc}; check the disk and recorder.directory")
