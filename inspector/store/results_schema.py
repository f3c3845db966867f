"""Tables of `results.db`. Columns are what queries select by; `json` holds the whole message.

Every table has the natural key of its message, so that storing one twice changes nothing.
"""

from typing import Final

VERSION: Final = 1
APPLICATION_ID: Final = 0x494E5350  # "INSP", which file(1) shows

SCHEMA: Final = """
CREATE TABLE verdicts (
    verdict_id     TEXT PRIMARY KEY,
    part_id        TEXT NOT NULL,
    seq            INTEGER NOT NULL,
    decision       TEXT NOT NULL,
    action         TEXT NOT NULL,
    reason_code    TEXT NOT NULL,
    confidence     REAL,
    p_defect       REAL,
    cause          TEXT NOT NULL,
    failsafe       INTEGER NOT NULL,
    trigger_utc_ns INTEGER NOT NULL,
    decided_utc_ns INTEGER NOT NULL,
    config_sha256  TEXT NOT NULL,
    model_sha256   TEXT NOT NULL,
    session        TEXT NOT NULL,
    json           TEXT NOT NULL,
    evidence       TEXT NOT NULL
) STRICT;
CREATE INDEX verdicts_part ON verdicts (part_id);
CREATE INDEX verdicts_time ON verdicts (decided_utc_ns);
CREATE INDEX verdicts_decision ON verdicts (decision, decided_utc_ns);
CREATE INDEX verdicts_session ON verdicts (session, decision, action);

CREATE TABLE explanations (
    verdict_id TEXT NOT NULL,
    part_id    TEXT NOT NULL,
    source     TEXT NOT NULL,
    json       TEXT NOT NULL,
    PRIMARY KEY (verdict_id, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    verdict_id TEXT NOT NULL,
    state      TEXT NOT NULL,
    at_utc_ns  INTEGER NOT NULL,
    json       TEXT NOT NULL,
    PRIMARY KEY (verdict_id, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE faults (
    service   TEXT NOT NULL,
    code      TEXT NOT NULL,
    at_utc_ns INTEGER NOT NULL,
    part_id   TEXT NOT NULL,
    camera_id TEXT NOT NULL,
    session   TEXT NOT NULL,
    json      TEXT NOT NULL,
    PRIMARY KEY (at_utc_ns, service, code, part_id, camera_id)
) STRICT, WITHOUT ROWID;
"""


def _insert(table: str, columns: int) -> str:
    return f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * columns)})"


INSERTS: Final = {
    "verdicts": _insert("verdicts", 17),
    "explanations": _insert("explanations", 4),
    "deliveries": _insert("deliveries", 4),
    "faults": _insert("faults", 7),
}
