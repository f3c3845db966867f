"""Sentences of code in another language. Pure.

Every sentence of facts, causes and actions is made by code, so their number is finite: a phrasebook
has a pattern for each, and puts the same names and figures into the other language's sentence. Names
are set aside first, so that no name can be taken for a phrase. What a sensor's message says of its
limit in words of its own stays as it is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inspector.explain.phrases_de import PHRASES as GERMAN
from inspector.explain.phrases_zh import PHRASES as CHINESE
from inspector.explain.terms import UNITS

_NAME = "\x02{}\x03"
_PARTS = {
    "{N}": r"(\x02\d+\x03)",
    "{L}": r"(\x02\d+\x03(?:(?:, | and |、|和| und )\x02\d+\x03)*)",
    "{Q}": r"(-?\d+(?:\.\d+)?)",
}
_POINT = re.compile(r"(?<![\w.])(-?\d+)\.(\d+)(?![\w]|\.\d)")
_CHINESE = r"\u3001-\u9fff\uff08-\uff1b"
_GAP = re.compile(rf"(?<=[{_CHINESE}]) (?=[\u3400-\u9fff])|(?<=[\u3400-\u9fff]) (?=[{_CHINESE}])")
_UNIT = re.compile(rf"(?<=\d )(?:{'|'.join(UNITS)})(?![A-Za-z0-9/])")
Phrases = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """Patterns in the order in which they are tried; each is replaced wherever it stands."""

    patterns: tuple[tuple[re.Pattern[str], str], ...]
    decimal: str = "."
    units: Mapping[str, str] = field(default_factory=lambda: UNITS)

    def say(self, text: str, names: Mapping[str, str]) -> str:
        """Return `text` in this language; each of `names` becomes what stands beside it."""
        kept = sorted((name for name in names if name), key=lambda name: (-len(name), name))
        for number, name in enumerate(kept):
            whole = rf"(?<![A-Za-z0-9_.\x02-]){re.escape(name)}(?![A-Za-z0-9_\x03-])"
            text = re.sub(whole, _NAME.format(number), text)
        for pattern, said in self.patterns:
            text = pattern.sub(said, text)
        text = _UNIT.sub(lambda found: self.units[found.group()], text)
        text = _POINT.sub(rf"\1{self.decimal}\2", text)
        text = re.sub(r"\x02(\d+)\x03", lambda found: names[kept[int(found.group(1))]], text)
        return closed_up(text)

    def figure(self, number: str) -> str:
        """Return a number alone as this language writes it."""
        return number.replace(".", self.decimal)


def closed_up(text: str) -> str:
    """Return `text` without spaces between Chinese signs."""
    return _GAP.sub("", text)


def phrasebook(phrases: Phrases, decimal: str = ".") -> Phrasebook:
    """Compile a list of (English pattern, words in the other language)."""
    made = []
    for english, said in phrases:
        for short, pattern in _PARTS.items():
            english = english.replace(short, pattern)  # noqa: PLW2901  three times the same step
        made.append((re.compile(english), said))
    return Phrasebook(tuple(made), decimal)


BOOKS: Mapping[str, Phrasebook] = {"de": phrasebook(GERMAN, ","), "zh": phrasebook(CHINESE)}
