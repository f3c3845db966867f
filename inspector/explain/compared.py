"""Which numbers a text compares with, and how: "above its limit of 4.5" is (4.5, above). Pure."""

import re
from decimal import Decimal
from typing import Literal

from inspector.explain.lexicon import ABOVE, BELOW

Sense = Literal["above", "below"]

_TOKEN = re.compile(r"(?<![A-Za-z0-9_])-?\d+(?:\.\d+)?(?![A-Za-z0-9_])|[a-z][a-z0-9_]*|[.;:]")
_REACH = 7
"""A comparison ends with its number at most this many words on, or at the end of the clause."""


def compared_with(text: str) -> frozenset[tuple[Decimal, Sense]]:
    """Return each number that a word of comparison in `text` leads to. "not above" is below."""
    found: set[tuple[Decimal, Sense]] = set()
    sense: Sense | None = None
    left, negated = 0, False
    for token in _TOKEN.findall(text.lower()):
        if token[-1].isdigit() and not token[0].isalpha():
            if sense is not None:
                found.add((Decimal(token), sense))
            sense = None
        elif token in ABOVE or token in BELOW:
            sense = "above" if (token in ABOVE) is not negated else "below"
            left = _REACH
        elif token in ".;:":
            sense = None
        else:
            left -= 1
            sense = sense if left > 0 else None
        negated = token in ("not", "no") or (negated and token in ("is", "was", "yet", "does", "did"))
    return frozenset(found)
