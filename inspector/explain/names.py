"""Names and words from outside, brought to a safe alphabet before they reach a prompt or a text.

Part ids come from the PLC, labels from a model's manifest, limits and units from messages. Without
spaces, quotes and line ends a name cannot say anything to a language model, and it fits a topic,
a JSON string and a terminal as it is.
"""

import math
import re
import unicodedata
from decimal import Decimal

MAX_NAME = 40
MAX_PHRASE = 120

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9.-]+")
_NOT_IN_PHRASE = re.compile(r"[^A-Za-z0-9 .,/%<>=+_-]+")
_NOT_IN_UNIT = re.compile(r"[^A-Za-z0-9/%.-]+")
_UNIT_WORDS = {
    "\u00b0": "deg",
    "\u00ba": "deg",
    "\u00b5": "u",
    "\u03bc": "u",
    "\u03a9": "Ohm",
    "\u2126": "Ohm",
}


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def safe_name(name: str) -> str:
    """Return `name` with letters, digits, ``_``, ``.`` and ``-`` only, at most MAX_NAME; never empty."""
    cleaned = _NOT_IN_NAME.sub("_", _ascii(name)).strip("_.-")[:MAX_NAME].rstrip("_.-")
    return cleaned or "unnamed"


def safe_phrase(phrase: str) -> str:
    """Return `phrase` on one line of plain ASCII, at most MAX_PHRASE characters; may be empty."""
    for sign, word in _UNIT_WORDS.items():
        phrase = phrase.replace(sign, word)
    return " ".join(_NOT_IN_PHRASE.sub(" ", _ascii(phrase)).split())[:MAX_PHRASE].strip(" ,.")


def safe_text(text: str, limit: int) -> str:
    """Return words of people on one line: letters of any script, digits, plain punctuation.

    At most `limit` characters, cut at a word. Brackets, braces, quotes and signs that chat templates
    and terminals use are gone, and so is everything that does not print.
    """
    kept = "".join(
        sign if sign.isalnum() or sign in " .,;:/%+-°²³µ" else " "
        for sign in unicodedata.normalize("NFKC", text)
    )
    line = " ".join(kept.split()).strip(" .,;:-")
    return line if len(line) <= limit else line[:limit].rsplit(" ", 1)[0]


def safe_unit(unit: str) -> str:
    """Return `unit` in ASCII (``deg C`` for the degree sign and so on); may be empty."""
    for sign, word in _UNIT_WORDS.items():
        unit = unit.replace(sign, word)
    return _NOT_IN_UNIT.sub("", _ascii(unit))[:12]


def number(value: float, digits: int = 3) -> str:
    """Return `value` in plain decimals with `digits` significant ones: ``7.8``, ``0.04``, ``1230``."""
    if not math.isfinite(value):
        return "unknown"
    text = format(Decimal(f"{value or 0.0:.{digits}g}"), "f")  # -0.0 is 0
    return text.rstrip("0").rstrip(".") if "." in text else text
