"""The template's words in another language. Pure.

Every sentence of facts, causes and actions is made by code, so their number is finite: a phrasebook
has a pattern for each, and puts the same names and figures into the other language's sentence. Names
are set aside first, so that no name can be taken for a phrase. What a sensor's message says of its
limit in words of its own stays as it is.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from inspector.explain.causes import Cause
from inspector.explain.facts import Facts
from inspector.explain.names import safe_name
from inspector.explain.phrases_de import PHRASES as GERMAN
from inspector.explain.phrases_zh import PHRASES as CHINESE
from inspector.explain.template import MAX_ACTION, MAX_CAUSE, MAX_TEXT, Worded, shorten, word

Language = Literal["en", "de", "zh"]
_NAME = "\x02{}\x03"
_PARTS = {
    "{N}": r"(\x02\d+\x03)",
    "{L}": r"(\x02\d+\x03(?:(?:, | and |、|和| und )\x02\d+\x03)*)",
    "{Q}": r"(-?\d+(?:\.\d+)?)",
}
Phrases = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """Patterns in the order in which they are tried; each is replaced wherever it stands."""

    patterns: tuple[tuple[re.Pattern[str], str], ...]

    def say(self, text: str, names: Iterable[str]) -> str:
        """Return `text`, whose `names` stay as they are, in this language."""
        kept = sorted({name for name in names if name}, key=len, reverse=True)
        for number, name in enumerate(kept):
            whole = rf"(?<![A-Za-z0-9_.\x02-]){re.escape(name)}(?![A-Za-z0-9_\x03-])"
            text = re.sub(whole, _NAME.format(number), text)
        for pattern, said in self.patterns:
            text = pattern.sub(said, text)
        return re.sub(r"\x02(\d+)\x03", lambda found: kept[int(found.group(1))], text)


def phrasebook(phrases: Phrases) -> Phrasebook:
    """Compile a list of (English pattern, words in the other language)."""
    made = []
    for english, said in phrases:
        for short, pattern in _PARTS.items():
            english = english.replace(short, pattern)  # noqa: PLW2901  three times the same step
        made.append((re.compile(english), said))
    return Phrasebook(tuple(made))


BOOKS: dict[str, Phrasebook] = {"de": phrasebook(GERMAN), "zh": phrasebook(CHINESE)}


def word_in(language: Language, facts: Facts, cause: Cause) -> Worded:
    """Return the template's explanation of `facts` by `cause` in `language`."""
    if language == "en":
        return word(facts, cause)
    book = BOOKS[language]
    names = {*facts.names, *cause.must_name, safe_name(facts.verdict.cause)}
    plain = replace(cause, likely="")
    made = word(facts, plain)
    text = book.say(shorten(made.text, MAX_TEXT), names)
    if cause.likely:
        label = book.say("Likely cause:", ())
        text = f"{text} {label} {cause.likely.removeprefix('Likely cause: ')}"
    told = replace(cause, text=book.say(cause.text, names)).told
    return Worded(
        text=text,
        cause=shorten(told, MAX_CAUSE),
        recommended_action=shorten(
            cause.action if cause.known else book.say(cause.action, names), MAX_ACTION
        ),
        cited=made.cited,
    )
