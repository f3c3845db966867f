"""Which of the site's known causes fit an incident: full-text search, then what code can rule out.

SQLite's FTS5 finds the rows (porter stems: "scratches" is "scratch"); the order is by how much of
what is abnormal a row explains, and how much of the row is seen. A row that speaks of a sensor which
is within its limits, or on the other side of them, is out (decision record 023).
"""

import re
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inspector.errors import ModelError
from inspector.explain.knowledge import Known

_HIGH = (
    "high",
    "above",
    "over",
    "excessive",
    "exceeds",
    "rising",
    "hot",
    "strong",
    "hoch",
    "hohe",
    "erhöht",
    "erhoeht",
    "über",
    "überschritten",
    "过高",
    "偏高",
    "高于",
)
_LOW = (
    "low",
    "below",
    "under",
    "loss",
    "drop",
    "weak",
    "insufficient",
    "cold",
    "niedrig",
    "niedrige",
    "gering",
    "geringe",
    "unter",
    "unterschritten",
    "过低",
    "偏低",
    "低于",
)
_TOKEN = re.compile(r"[^\W_]+")
_CONFIRMED = 0.25
"""What a confirmed incident adds: it breaks ties and outweighs no symptom."""
_UNSEEN = 0.5
_NEAR = 0.85
"""A second cause is told when it is at least this near to the first."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """Something abnormal, or a sensor that is not. `weight` in (0, 2], 0 for what is normal."""

    words: tuple[str, ...]  # any of these spellings: a sensor's id, its kind
    weight: float
    side: str = ""  # "above", "below" or ""


class Recall:
    """A search index in memory over the site's knowledge. For any thread, one at a time inside."""

    def __init__(self, known: Sequence[Known]) -> None:
        self._known = tuple(known)
        self._one = threading.Lock()  # SQLite may have been built without its own
        try:
            self._db = sqlite3.connect(":memory:", check_same_thread=False)
            self._db.execute("CREATE VIRTUAL TABLE known USING fts5(symptom, tokenize='porter unicode61')")
        except sqlite3.OperationalError as error:
            raise ModelError(
                "this Python's SQLite has no FTS5, which the search of knowledge needs"
            ) from error
        self._db.executemany(
            "INSERT INTO known(rowid, symptom) VALUES (?, ?)",
            ((number, _spaced(row.symptom)) for number, row in enumerate(self._known)),
        )
        self._high = self._rows(" OR ".join(_quoted(_spaced(word)) for word in _HIGH))
        self._low = self._rows(" OR ".join(_quoted(_spaced(word)) for word in _LOW))

    def __len__(self) -> int:
        return len(self._known)

    def close(self) -> None:
        self._db.close()

    def fitting(self, symptoms: Iterable[Symptom]) -> tuple[Known, ...]:
        """Return the causes that fit best, the likeliest first; none when none fits."""
        with self._one:
            return self._fitting(symptoms)

    def _fitting(self, symptoms: Iterable[Symptom]) -> tuple[Known, ...]:
        scores: dict[int, float] = {}
        out: set[int] = set()
        words: dict[int, int] = {}
        for symptom in symptoms:
            rows = self._mentioning(symptom)
            if symptom.weight <= 0.0:
                out |= rows
                continue
            if symptom.side:
                opposite, same = (
                    (self._low, self._high) if symptom.side == "above" else (self._high, self._low)
                )
                out |= rows & (opposite - same)
            for row in rows:
                scores[row] = scores.get(row, 0.0) + symptom.weight
                words[row] = words.get(row, 0) + max(len(_tokens(word)) for word in symptom.words)
        kept = {row: score for row, score in scores.items() if row not in out}
        return self._ordered(kept, words)

    def _ordered(self, scores: dict[int, float], words: dict[int, int]) -> tuple[Known, ...]:
        causes: dict[str, tuple[float, int]] = {}
        times: dict[str, int] = {}
        for row, score in scores.items():
            known = self._known[row]
            seen = min(1.0, words[row] / max(1, len(_tokens(known.symptom))))
            value = score - _UNSEEN * (1.0 - seen)
            times[known.cause] = times.get(known.cause, 0) + known.confirmed
            if known.cause not in causes or value > causes[known.cause][0]:
                causes[known.cause] = (value, row)
        ranked = sorted(
            ((value + _CONFIRMED * min(3, times[cause]), row) for cause, (value, row) in causes.items()),
            key=lambda found: (-found[0], found[1]),
        )
        return tuple(self._known[row] for value, row in ranked if value >= _NEAR * ranked[0][0])[:2]

    def _mentioning(self, symptom: Symptom) -> set[int]:
        found: set[int] = set()
        for word in symptom.words:
            tokens = _tokens(word)
            if tokens:
                found |= self._rows(" AND ".join(map(_quoted, tokens)))
        return found

    def _rows(self, query: str) -> set[int]:
        found = self._db.execute("SELECT rowid FROM known WHERE known MATCH ?", (query,))
        return {int(row) for (row,) in found}


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(_spaced(text).lower())


def _spaced(text: str) -> str:
    """Return `text` with a space where CJK characters meet, so that each is a token of its own."""
    return re.sub(r"([\u3400-\u9fff])", r" \1 ", text)


def _quoted(token: str) -> str:
    return '"' + token.replace('"', "") + '"'  # FTS5: a quoted string is never an operator
