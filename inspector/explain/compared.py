"""Which numbers a text compares with, and how: "above its limit of 4.5" is (4.5, above). Pure."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from inspector.explain.lexicon import ENGLISH, Lexicon

Sense = Literal["above", "below"]

_NOT = ("not", "no", "nicht", "kein", "keine")
_STILL = ("is", "was", "yet", "does", "did", "war", "ist", "lag")
_ENDS = ".;:。；：，"
"""A comparison ends with its number at most `Lexicon.reach` words on, or at the end of the clause."""


@lru_cache
def _tokens(lexicon: Lexicon) -> re.Pattern[str]:
    number = rf"(?<![A-Za-z0-9_]){lexicon.number}(?![A-Za-z0-9_])"
    if lexicon.spaced:
        return re.compile(rf"{number}|[^\W\d_]\w*|[.;:]")
    known = "|".join(sorted(lexicon.above | lexicon.below, key=len, reverse=True))
    return re.compile(rf"{number}|{known}|[^\d\s]")


def compared_with(text: str, lexicon: Lexicon = ENGLISH) -> frozenset[tuple[Decimal, Sense]]:
    """Return each number that a word of comparison in `text` leads to. "not above" is below."""
    found: set[tuple[Decimal, Sense]] = set()
    sense: Sense | None = None
    left, negated = 0, False
    for token in _tokens(lexicon).findall(text.lower()):
        if token[-1].isdigit() and not token[0].isalpha():
            if sense is not None:
                found.add((lexicon.value(token), sense))
            sense = None
        elif token in lexicon.above or token in lexicon.below:
            sense = "above" if (token in lexicon.above) is not negated else "below"
            left = lexicon.reach
        elif token in _ENDS:
            sense = None
        else:
            left -= 1
            sense = sense if left > 0 else None
        negated = token in _NOT or (negated and token in _STILL)
    return frozenset(found)
