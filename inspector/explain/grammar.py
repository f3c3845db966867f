"""The JSON Schema of an answer, as narrow as the facts. Pure.

Its pattern for the text is a list of what may stand between the spaces: the vocabulary, the words
and names of the facts, and their numbers, each with its unit. An engine that honours it cannot
write another number, name or word.
"""

import re
from collections.abc import Iterable

from inspector.explain.causes import Cause
from inspector.explain.engine import Schema
from inspector.explain.facts import Facts
from inspector.explain.lexicon import NEGATIONS, STARTS, VOCABULARY

MAX_TEXT = 320
_WORD = re.compile(r"(?<![A-Za-z0-9_.-])[A-Za-z]+(?![A-Za-z0-9_])")
_SIGN = re.compile(r"[\\.+*?()\[\]{}|^$]")
_NEGATED = re.compile(rf"\b({'|'.join(sorted(NEGATIONS))})\b\W*([a-z]*)")


def vocabulary(facts: Facts, causes: Iterable[Cause]) -> frozenset[str]:
    """Return the words, in lower case, that a text about `facts` may use besides their names.

    Negations are not among them: see `negations`.
    """
    told = {word.lower() for text in _texts(facts, causes) for word in _WORD.findall(text)}
    return (VOCABULARY | told) - NEGATIONS


def negations(facts: Facts, causes: Iterable[Cause]) -> frozenset[tuple[str, str]]:
    """Return each negation of the facts with the word that follows it, in lower case."""
    return frozenset(pair for text in _texts(facts, causes) for pair in negated(text))


def negated(text: str) -> list[tuple[str, str]]:
    """Return each negation in `text` with the word that follows it ("" before a number or the end)."""
    return _NEGATED.findall(text.lower())


def _texts(facts: Facts, causes: Iterable[Cause]) -> list[str]:
    return [fact.text for fact in facts.facts] + [cause.text for cause in causes]


def schema_for(facts: Facts, causes: tuple[Cause, ...]) -> Schema:
    """Return the JSON Schema of an answer about `facts`."""
    ids = [fact.id for fact in facts.facts]
    return {
        "type": "object",
        "properties": {
            "cause": {"enum": list(range(1, len(causes) + 1))},
            "text": {"type": "string", "pattern": _pattern(facts, causes), "maxLength": MAX_TEXT},
            "cited": {"type": "array", "items": {"enum": ids}, "minItems": 1, "maxItems": len(ids)},
        },
        "required": ["cause", "text", "cited"],
        "additionalProperties": False,
    }


def _pattern(facts: Facts, causes: tuple[Cause, ...]) -> str:
    quantities = {f"{quantity.number} {quantity.unit}".strip() for quantity in facts.quantities}
    names = set(facts.names)
    pairs = {f"{negation} {word}" for negation, word in negations(facts, causes) if word}
    tokens = _choice(vocabulary(facts, causes) | quantities | names | pairs)
    starts = _choice({*STARTS, *names})
    return rf"^{_escaped(facts.opening)}([,;:]? {tokens})+(\. {starts}([,;:]? {tokens})+)?\.$"


def _choice(tokens: Iterable[str]) -> str:
    ordered = sorted(tokens, key=lambda token: (-len(token), token))
    return "(" + "|".join(_escaped(token) for token in ordered) + ")"


def _escaped(text: str) -> str:
    """Escape what regular expressions know as signs, and no more: engines refuse escapes of others."""
    return _SIGN.sub(r"\\\g<0>", text)
