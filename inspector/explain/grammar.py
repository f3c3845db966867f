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
from inspector.explain.lexicon import STARTS, VOCABULARY

MAX_TEXT = 320
_WORD = re.compile(r"(?<![A-Za-z0-9_.-])[A-Za-z]+(?![A-Za-z0-9_])")


def vocabulary(facts: Facts, causes: Iterable[Cause]) -> frozenset[str]:
    """Return the words, in lower case, that a text about `facts` may use besides their names."""
    texts = [fact.text for fact in facts.facts] + [cause.text for cause in causes]
    told = {word.lower() for text in texts for word in _WORD.findall(text)}
    return VOCABULARY | told


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
    tokens = _choice(vocabulary(facts, causes) | quantities | names)
    starts = _choice({*STARTS, *names})
    return rf"^{re.escape(facts.opening)}([,;:]? {tokens})+(\. {starts}([,;:]? {tokens})+)?\.$"


def _choice(tokens: Iterable[str]) -> str:
    ordered = sorted(tokens, key=lambda token: (-len(token), token))
    return "(" + "|".join(re.escape(token).replace(r"\ ", " ") for token in ordered) + ")"
