"""The site's knowledge from its files."""

import csv
import io
import os
from pathlib import Path

from inspector.errors import ConfigError
from inspector.explain.knowledge import Known, parse

MAX_BYTES = 4_000_000
INCIDENTS = "incidents.csv"
_HEADS = ("symptom", "confirmed cause", "action")


def load_knowledge(path: Path) -> tuple[Known, ...]:
    """Return the rows of a CSV or Markdown file, or of all such files in a folder.

    Raises ConfigError for what cannot be read or used.
    """
    try:
        if path.is_dir():
            files = sorted(each for each in path.iterdir() if each.suffix.lower() in (".csv", ".md"))
            if not files:
                raise ConfigError(f"{path} has no .csv or .md file with the site's knowledge")
        else:
            files = [path]
        return tuple(known for each in files for known in parse(each.name, _text(each)))
    except OSError as error:
        raise ConfigError(f"the knowledge {path} cannot be read: {error.strerror}") from error


def confirm(folder: Path, symptom: str, cause: str, action: str) -> None:
    """Append an incident whose cause a person has confirmed to `incidents.csv` in `folder`.

    It counts when the explainer is started next. Raises OSError.
    """
    line = io.StringIO()
    path = folder / INCIDENTS
    writer = csv.writer(line)
    if not path.exists():
        writer.writerow(_HEADS)
    writer.writerow([" ".join(cell.split()) for cell in (symptom, cause, action)])
    with path.open("ab") as file:  # one write, so that a second process' line does not land inside
        file.write(line.getvalue().encode())
        file.flush()
        os.fsync(file.fileno())


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB; keep what is about causes")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: save it as 'CSV UTF-8'") from error
