"""What a language model's answer must satisfy before anyone reads it.

The JSON Schema goes to the engine, which can then write only what it allows: the numbers and the
names of the facts, one of the allowed causes, fact ids that exist. `check` looks at the rest, and
again at all of it, since another engine may not honour patterns. Pure.
"""

import re
from decimal import Decimal

import msgspec

from inspector.errors import DataError
from inspector.explain.causes import Cause
from inspector.explain.compared import compared_with
from inspector.explain.engine import Schema
from inspector.explain.facts import Facts
from inspector.explain.lexicon import HEDGES, PLACES, TECHNICAL
from inspector.explain.template import MAX_ACTION, MAX_CAUSE, Worded, shorten
from inspector.types import Action

MIN_TEXT = 20
MAX_TEXT = 320

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_PLAIN = "[A-Za-z ,;:()%/.-]"
_WORD = re.compile(r"[A-Za-z]+")
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:[_.-][A-Za-z0-9]+)*")
_ALLOWED = re.compile(r"[A-Za-z0-9 ,.;:()%/<>=+_-]+")
_ACTION_VERBS = {
    Action.REJECT: ("reject",),
    Action.PASS: ("pass", "accept"),
    Action.HOLD: ("held", "hold"),
    Action.STOP: ("stop",),
}


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    cause: int
    text: str
    cited: list[int]


def schema_for(facts: Facts, causes: tuple[Cause, ...]) -> Schema:
    """Return the JSON Schema of an answer about `facts`."""
    ids = [fact.id for fact in facts.facts]
    return {
        "type": "object",
        "properties": {
            "cause": {"enum": list(range(1, len(causes) + 1))},
            "text": {"type": "string", "pattern": _pattern(facts), "maxLength": MAX_TEXT},
            "cited": {
                "type": "array",
                "items": {"enum": ids},
                "minItems": 1,
                "maxItems": len(ids),
            },
        },
        "required": ["cause", "text", "cited"],
        "additionalProperties": False,
    }


def _pattern(facts: Facts) -> str:
    """The opening, then words, with the numbers and names of the facts as the only digits."""
    tokens = {quantity.number for quantity in facts.quantities if _NUMBER.fullmatch(quantity.number)}
    tokens |= {name for name in facts.names if not name.isalpha()}
    opening = re.escape(facts.opening)
    rest = f"[ ,]{_PLAIN}+"
    if tokens:
        choice = "|".join(re.escape(token) for token in sorted(tokens, key=lambda t: (-len(t), t)))
        rest += f"(({choice}){_PLAIN}+)*"
    return rf"^{opening}{rest}\.$"


def check(answer: str, facts: Facts, causes: tuple[Cause, ...]) -> Worded:
    """Return the explanation in `answer`, which is faithful to `facts`.

    Raises DataError with what is wrong, in words that the model can use to correct itself.
    """
    try:
        parsed = msgspec.json.decode(answer, type=_Answer)
    except msgspec.MsgspecError as error:
        raise DataError("the answer is not the JSON object that was asked for") from error
    if not 1 <= parsed.cause <= len(causes):
        raise DataError(f"there is no cause {parsed.cause}")
    cause = causes[parsed.cause - 1]
    cited = tuple(sorted(set(parsed.cited)))
    unknown = set(cited) - {fact.id for fact in facts.facts}
    if unknown or not cited:
        raise DataError(f"there is no fact {min(unknown)}" if unknown else "no fact is cited")
    text = " ".join(parsed.text.split())
    check_text(text, facts, cause)
    return Worded(
        text=text,
        cause=shorten(cause.text, MAX_CAUSE),
        recommended_action=shorten(cause.action, MAX_ACTION),
        cited=cited,
    )


def check_text(text: str, facts: Facts, cause: Cause) -> None:
    """Raise DataError unless everything that `text` says is in `facts`."""
    if not MIN_TEXT <= len(text) <= MAX_TEXT or not text.endswith("."):
        raise DataError(f"the text must be {MIN_TEXT} to {MAX_TEXT} characters of whole sentences")
    if not text.startswith(facts.opening):
        raise DataError(f'the text must begin with "{facts.opening}"')
    if not _ALLOWED.fullmatch(text):
        raise DataError("the text has characters that are not plain ASCII text")
    rest = _check_names(text, facts, cause)
    _check_quantities(rest, facts)
    _check_comparisons(rest, facts)
    _check_words(rest, facts)


def _check_names(text: str, facts: Facts, cause: Cause) -> str:
    """Return `text` without the names of the facts; refuse other names and missing ones."""
    lowered = text.lower()
    for name in cause.must_name:
        if not _whole(name.lower()).search(lowered) and name.lower().replace("_", " ") not in lowered:
            raise DataError(f"{name} must be named")
    rest = text
    for name in sorted(facts.names, key=len, reverse=True):
        rest = _whole(name).sub(" ", rest)
    for found in _IDENTIFIER.findall(rest):
        mixed = any(sign.isdigit() for sign in found) and any(sign.isalpha() for sign in found)
        if mixed or "_" in found:
            raise DataError(f"{found} is not in the facts")
    return rest


def _whole(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9_-]){re.escape(name)}(?![A-Za-z0-9_-])")


def _check_quantities(rest: str, facts: Facts) -> None:
    known: dict[Decimal, set[str]] = {}
    for quantity in facts.quantities:
        if _NUMBER.fullmatch(quantity.number):
            known.setdefault(Decimal(quantity.number), set()).add(quantity.unit)
    units = sorted({unit for found in known.values() for unit in found if unit}, key=len)[::-1]
    for match in _NUMBER.finditer(rest):
        value = Decimal(match.group())
        if value not in known:
            raise DataError(f"the number {match.group()} is not in the facts")
        after = rest[match.end() :].lstrip()
        unit = next((unit for unit in (*units, "%") if _begins_with(after, unit)), "")
        if unit and unit not in known[value]:
            raise DataError(f"{match.group()} {unit} is not in the facts")


def _check_comparisons(rest: str, facts: Facts) -> None:
    known = {pair for fact in facts.facts for pair in compared_with(fact.text)}
    for value, sense in compared_with(rest):
        if (value, sense) not in known:
            raise DataError(f'"{sense} {value}" is not in the facts')


def _begins_with(text: str, unit: str) -> bool:
    return text.startswith(unit) and not text[len(unit) : len(unit) + 1].isalnum()


def _check_words(rest: str, facts: Facts) -> None:
    words = [word.lower() for word in _WORD.findall(rest)]
    known = {word.lower() for fact in facts.facts for word in _WORD.findall(fact.text)}
    for word in words:
        if word in HEDGES:
            raise DataError(f'"{word}" is a judgement that the facts do not make')
        if word in TECHNICAL and word not in known and word.rstrip("s") not in known:
            raise DataError(f'"{word}" is not in the facts')
    for one, other in PLACES:
        for said, sense in ((one, other), (other, one)):
            wrong = said.intersection(words)
            if wrong and not said & known and sense & known:
                raise DataError(f'"{min(wrong)}" is the opposite of what the facts say')
    for action, stems in _ACTION_VERBS.items():
        if action is not facts.verdict.action and any(word.startswith(stems) for word in words):
            raise DataError(f"the action was {facts.verdict.action}, not {action}")
