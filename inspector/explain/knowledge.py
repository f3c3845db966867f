"""What the site knows of its own causes: rows of an FMEA, and incidents whose cause was confirmed. Pure.

A CSV or a Markdown table needs columns for a symptom, a cause and an action; their names are those
that FMEA forms use (AIAG & VDA FMEA handbook, 2019), in English, German or Chinese. Markdown text
with `Symptom:`, `Cause:` and `Action:` lines below a heading works as well. The words are the
site's, but they end as phrases of a plain alphabet: a row can say anything and command nothing.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from inspector.errors import ConfigError
from inspector.explain.names import safe_text

_SYMPTOM: tuple[str, ...] = (
    "symptom",
    "failure mode",
    "potential failure mode",
    "defect",
    "effect",
    "potential effect",
)
_SYMPTOM += (
    "sensor",
    "signal",
    "condition",
    "fehlerart",
    "fehlerfolge",
    "merkmal",
    "失效模式",
    "症状",
    "缺陷",
)
_CAUSE = ("cause", "potential cause", "confirmed cause", "root cause", "ursache", "fehlerursache", "原因")
_ACTION = ("action", "recommended action", "countermeasure", "massnahme", "maßnahme", "措施", "建议措施")
_RULE = re.compile(r":?-{2,}:?")
_KEYED = re.compile(r"^\s*(?:[-*]\s*)?\**([^:：*]{2,40}?)\**\s*[:：]\**\s*(.+?)\s*$")
MAX_SAID = 160


@dataclass(frozen=True, slots=True)
class Known:
    """One cause that the site knows. `symptom` is for searching alone and is never shown."""

    source: str
    symptom: str
    cause: str
    action: str
    confirmed: bool = False  # an incident that happened, not a row of the analysis


def parse(name: str, text: str) -> tuple[Known, ...]:
    """Return the rows of a file called `name`, which ends in .csv or .md.

    A file whose name begins with `incidents` holds confirmed incidents. Raises ConfigError when
    nothing in it can be used.
    """
    rows = _csv_rows(text) if name.lower().endswith(".csv") else _markdown_rows(text)
    confirmed = name.lower().startswith("incidents")
    known: list[Known] = []
    for line, cells in rows:
        cause, action = _first(cells, _CAUSE), _first(cells, _ACTION)
        symptom = " ".join(_values(cells, _SYMPTOM))
        if symptom and cause:
            said = safe_text(cause, MAX_SAID), safe_text(action, MAX_SAID)
            source = f"{safe_text(name, 40)} line {line}"
            known.append(Known(source, symptom[:1000], said[0], said[1], confirmed))
    if not known:
        raise ConfigError(
            f"{name} has no row with a symptom and a cause; give it columns such as "
            "'failure mode', 'cause' and 'recommended action'"
        )
    return tuple(known)


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    sample = text[:4096]
    delimiter = max(",;\t", key=sample.split("\n", 1)[0].count)
    reader = csv.reader(text.lstrip("\ufeff").splitlines(), delimiter=delimiter)
    heads: list[str] | None = None
    for cells in reader:
        if not any(cells):
            continue
        if heads is None:
            heads = [_head(cell) for cell in cells]
        else:
            yield reader.line_num, _named(heads, cells)


def _markdown_rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    heads: list[str] = []
    section: dict[str, str] = {}
    began = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("|"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if not heads:
                heads = [_head(cell) for cell in cells]
            elif not all(_RULE.fullmatch(cell) for cell in cells):
                yield number, _named(heads, cells)
            continue
        heads = []
        if line.startswith("#"):
            if section:
                yield began, section
            section, began = {"symptom": line.strip("# ")}, number
        elif (keyed := _KEYED.match(line)) is not None:
            head = _head(keyed.group(1))
            section[head] = f"{section[head]} {keyed.group(2)}" if head in section else keyed.group(2)
    if section:
        yield began, section


def _head(cell: str) -> str:
    return " ".join(re.sub(r"\([^)]*\)|[_*`]", " ", cell).lower().split())


def _named(heads: list[str], cells: list[str]) -> dict[str, str]:
    return {head: cell.strip() for head, cell in zip(heads, cells, strict=False) if cell.strip()}


def _values(cells: dict[str, str], wanted: tuple[str, ...]) -> list[str]:
    return [
        cell
        for head, cell in cells.items()
        if head.removesuffix("s").removeprefix("the ") in wanted or head in wanted
    ]


def _first(cells: dict[str, str], wanted: tuple[str, ...]) -> str:
    return next(iter(_values(cells, wanted)), "")
