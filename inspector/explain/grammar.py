"""The JSON Schema of an answer, as narrow as the facts. Pure.

Its pattern for the text is a list of what may stand one after another: the vocabulary, the words
and names of the facts, and their numbers, each with its unit. An engine that honours it cannot
write another number, name or word.
"""

import re
from collections.abc import Iterable

from inspector.explain.causes import Cause
from inspector.explain.engine import Schema
from inspector.explain.facts import Facts
from inspector.explain.lexicon import ENGLISH, Lexicon

MAX_TEXT = 320
_WORD = re.compile(r"(?<![\w.-])[^\W\d_]+(?![A-Za-z0-9_])")
_RUN = re.compile(r"[\u3400-\u9fff]+")
_SIGN = re.compile(r"[\\.+*?()\[\]{}|^$]")


def vocabulary(facts: Facts, causes: Iterable[Cause], lexicon: Lexicon = ENGLISH) -> frozenset[str]:
    """Return the words that a text about `facts` may use besides their names.

    In lower case where the language has no capitals of its own. Negations are not among them, see
    `negations`; a language without spaces has them in whole phrases of the facts.
    """
    texts = _texts(facts, causes)
    if not lexicon.spaced:
        names = sorted(facts.names, key=len, reverse=True)
        rest = [_without(text, names) for text in texts]
        told = {run for text in rest for run in _RUN.findall(text)}
        return lexicon.vocabulary | told | {word for text in rest for word in _LATIN.findall(text)}
    told = {word for text in texts for word in _WORD.findall(text)}
    if not lexicon.capitals:
        told = {word.lower() for word in told}
    return frozenset(word for word in lexicon.vocabulary | told if word.lower() not in lexicon.negations)


_LATIN = re.compile(r"(?<![A-Za-z0-9_.-])[A-Za-z]+(?![A-Za-z0-9_])")


def _without(text: str, names: Iterable[str]) -> str:
    for name in names:
        text = text.replace(name, " ")
    return text


def negations(
    facts: Facts, causes: Iterable[Cause], lexicon: Lexicon = ENGLISH
) -> frozenset[tuple[str, str]]:
    """Return each negation of the facts with the word that follows it, in lower case."""
    return frozenset(pair for text in _texts(facts, causes) for pair in negated(text, lexicon))


def negated(text: str, lexicon: Lexicon = ENGLISH) -> list[tuple[str, str]]:
    """Return each negation in `text` with the word that follows it ("" before a number or the end)."""
    if not lexicon.negations:
        return []
    listed = "|".join(sorted(lexicon.negations))
    return re.findall(rf"\b({listed})\b\W*([^\W\d_]*)", text.lower())


def _texts(facts: Facts, causes: Iterable[Cause]) -> list[str]:
    return [fact.text for fact in facts.facts] + [cause.text for cause in causes]


def schema_for(facts: Facts, causes: tuple[Cause, ...], lexicon: Lexicon = ENGLISH) -> Schema:
    """Return the JSON Schema of an answer about `facts`, both in the language of `lexicon`."""
    ids = [fact.id for fact in facts.facts]
    pattern = _pattern(facts, causes, lexicon)
    return {
        "type": "object",
        "properties": {
            "cause": {"enum": list(range(1, len(causes) + 1))},
            "text": {"type": "string", "pattern": pattern, "maxLength": MAX_TEXT},
            "cited": {"type": "array", "items": {"enum": ids}, "minItems": 1, "maxItems": len(ids)},
        },
        "required": ["cause", "text", "cited"],
        "additionalProperties": False,
    }


def _pattern(facts: Facts, causes: tuple[Cause, ...], lexicon: Lexicon) -> str:
    quantities = {f"{quantity.number} {quantity.unit}".strip() for quantity in facts.quantities}
    names = set(facts.names)
    known = vocabulary(facts, causes, lexicon)
    opening, stop = _escaped(facts.opening), _escaped(lexicon.stop)
    if not lexicon.spaced:
        latin = {word for word in known if word.isascii()}
        signs = f"( ?{_choice(names | quantities | latin)} ?|{_choice(known - latin)})"
        run = f"([{lexicon.pauses}]?{signs})+"
        return rf"^{opening}{run}({stop}{signs}{run})?{stop}$"
    pairs = _pairs(facts, causes, lexicon)
    tokens = _choice(known | quantities | names | pairs)
    starts = _choice({*lexicon.starts, *names})
    run = f"([{lexicon.pauses}]? {tokens})+"
    return rf"^{opening}{run}({stop} {starts}{run})?{stop}$"


def _pairs(facts: Facts, causes: tuple[Cause, ...], lexicon: Lexicon) -> set[str]:
    """Return the negations of the facts with what follows them, as it is written within a sentence."""
    pairs = {f"{negation} {word}" for negation, word in negations(facts, causes, lexicon) if word}
    if not lexicon.capitals:
        return pairs
    written = {word.lower(): word for text in _texts(facts, causes) for word in _WORD.findall(text)}
    return {" ".join((negation, written.get(word, word))) for negation, word in map(str.split, pairs)}


def _choice(tokens: Iterable[str]) -> str:
    ordered = sorted(tokens, key=lambda token: (-len(token), token))
    return "(" + "|".join(_escaped(token) for token in ordered) + ")"


def _escaped(text: str) -> str:
    """Escape what regular expressions know as signs, and no more: engines refuse escapes of others."""
    return _SIGN.sub(r"\\\g<0>", text)
