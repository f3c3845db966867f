"""Questions to the results database: by part, time, decision; what followed a verdict; counts."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from inspector.errors import DataError
from inspector.store.results import open_results
from inspector.types import (
    Action,
    Decision,
    Delivery,
    Explanation,
    ExplanationSource,
    Fault,
    Message,
    PartEvidence,
    Verdict,
)

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict, its evidence without heat maps, when it was (UTC), and the session's folder name."""

    verdict: Verdict
    evidence: PartEvidence
    decided_utc_ns: int
    session: str


@dataclass(frozen=True, slots=True)
class VerdictCount:
    """How many verdicts of a session, decision and action there are."""

    session: str
    decision: Decision
    action: Action
    count: int


class ResultReader:
    """Read-only queries, also while a recorder writes. One thread at a time.

    Raises ConfigError if the database is missing or of another format, DataError if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_results(path)

    def verdicts(
        self,
        *,
        part_id: str | None = None,
        verdict_id: str | None = None,
        decision: Decision | None = None,
        action: Action | None = None,
        since_utc_ns: int | None = None,
        until_utc_ns: int | None = None,
        limit: int = 100,
    ) -> tuple[StoredVerdict, ...]:
        """Return verdicts that match all that is given, newest first; `since` is inclusive."""
        where, values = _where(
            {
                "part_id = ?": part_id,
                "verdict_id = ?": verdict_id,
                "decision = ?": decision,
                "action = ?": action,
                "decided_utc_ns >= ?": since_utc_ns,
                "decided_utc_ns < ?": until_utc_ns,
            }
        )
        rows = self._all(
            f"SELECT json, evidence, decided_utc_ns, session FROM verdicts {where} "
            "ORDER BY decided_utc_ns DESC, seq DESC LIMIT ?",
            (*values, limit),
        )
        return tuple(
            StoredVerdict(self._decode(row[0], Verdict), self._decode(row[1], PartEvidence), row[2], row[3])
            for row in rows
        )

    def explanation(self, verdict_id: str) -> Explanation | None:
        """Return the explanation of a verdict, the language model's before the template's."""
        rows = self._all(
            "SELECT json FROM explanations WHERE verdict_id = ? ORDER BY source = ? DESC LIMIT 1",
            (verdict_id, ExplanationSource.LLM),
        )
        return self._decode(rows[0][0], Explanation) if rows else None

    def deliveries(self, verdict_id: str) -> tuple[Delivery, ...]:
        """Return what became of a verdict, in order."""
        rows = self._all("SELECT json FROM deliveries WHERE verdict_id = ? ORDER BY at_utc_ns", (verdict_id,))
        return tuple(self._decode(row[0], Delivery) for row in rows)

    def faults(self, since_utc_ns: int = 0, limit: int = 100) -> tuple[tuple[int, Fault], ...]:
        """Return (UTC ns, fault), newest first."""
        rows = self._all(
            "SELECT at_utc_ns, json FROM faults WHERE at_utc_ns >= ? ORDER BY at_utc_ns DESC LIMIT ?",
            (since_utc_ns, limit),
        )
        return tuple((row[0], self._decode(row[1], Fault)) for row in rows)

    def counts(
        self, *, session: str | None = None, since_utc_ns: int | None = None
    ) -> tuple[VerdictCount, ...]:
        """Count verdicts by session, decision and action."""
        where, values = _where({"session = ?": session, "decided_utc_ns >= ?": since_utc_ns})
        rows = self._all(
            f"SELECT session, decision, action, count(*) FROM verdicts {where} GROUP BY 1, 2, 3",
            values,
        )
        return tuple(VerdictCount(s, Decision(d), Action(a), n) for s, d, a, n in rows)

    def parts(self, session: str) -> int:
        """Count the parts with a verdict in one session."""
        rows = self._all(
            "SELECT count(DISTINCT part_id) FROM verdicts WHERE session = ? AND part_id != ''",
            (session,),
        )
        return int(rows[0][0])

    def close(self) -> None:
        """Close the database."""
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

    def _all(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as exc:
            raise DataError(f"{self._path}: cannot be read ({exc})") from exc

    def _decode(self, text: str, kind: type[M]) -> M:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as exc:
            raise DataError(f"{self._path}: a row does not fit this version ({exc})") from exc


def _where(conditions: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    given = {text: value for text, value in conditions.items() if value is not None}
    return ("WHERE " + " AND ".join(given) if given else ""), tuple(given.values())
