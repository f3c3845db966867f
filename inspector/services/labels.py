"""What people found out about parts: a CSV file of part_id and defective. One row a part."""

import csv
from pathlib import Path

from inspector.errors import ConfigError

COLUMNS = ("part_id", "defective")
_WORDS = {
    **dict.fromkeys(("1", "yes", "true", "defect", "defective", "ng", "reject"), True),
    **dict.fromkeys(("0", "no", "false", "good", "ok", "pass"), False),
}


def read_labels(path: Path) -> dict[str, bool]:
    """Return whether each part is defective. The last row of a part counts.

    Raises ConfigError, one line that names the file, its line and what is wrong there.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(path, csv.DictReader(file))
    except OSError as error:
        raise ConfigError(
            f"cannot read labels {path}: {error.strerror}; it is a CSV file with {', '.join(COLUMNS)}"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is no CSV file: {error}") from error


def _read(path: Path, rows: "csv.DictReader[str]") -> dict[str, bool]:
    names = rows.fieldnames or []
    for column in COLUMNS:
        if column not in names:
            raise ConfigError(f"{path}:1: no column {column}; the first line is {','.join(COLUMNS)}")
    labels = {}
    for row in rows:
        word = (row["defective"] or "").strip().lower()
        part_id = (row["part_id"] or "").strip()
        if not part_id or word not in _WORDS:
            raise ConfigError(
                f"{path}:{rows.line_num}: {row['defective']!r} for part {part_id!r}; write yes or no"
            )
        labels[part_id] = _WORDS[word]
    return labels
