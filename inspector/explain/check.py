"""What a language model's answer must satisfy before anyone reads it.

The schema of `grammar` goes to the engine, which can then write only words, names and numbers of
the facts. `check` looks at all of that again, since an engine may not honour patterns, and at
what a pattern cannot say: that everything abnormal is named with its value, that a number follows
the sensor or camera that it belongs to, that a comparison is the right way round. Pure.
"""

import re
from decimal import Decimal

import msgspec

from inspector.errors import DataError
from inspector.explain.causes import Cause
from inspector.explain.compared import compared_with
from inspector.explain.facts import FactKind, Facts
from inspector.explain.grammar import MAX_TEXT, negated, negations, vocabulary
from inspector.explain.lexicon import FINDS, NEGATIONS, PLACES
from inspector.explain.template import MAX_ACTION, MAX_CAUSE, Worded, shorten, with_likely
from inspector.types import Action

MIN_TEXT = 20
_REPEATED_WORDS = 9
"""Two defects in one sentence rightly share `left of the image with a score of`."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_WORD = re.compile(r"[A-Za-z]+")
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:[_.-][A-Za-z0-9]+)*")
_ALLOWED = re.compile(r"[A-Za-z0-9 ,.;:()%/<>=+_-]+")
_ACTION_VERBS = {
    Action.REJECT: "rejected",
    Action.PASS: "passed",
    Action.HOLD: "held",
    Action.STOP: "stopped",
}


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    cause: int
    text: str
    cited: list[int]


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
        text=with_likely(text, cause),
        cause=shorten(cause.told, MAX_CAUSE),
        recommended_action=shorten(cause.action, MAX_ACTION),
        cited=cited,
    )


def check_text(text: str, facts: Facts, cause: Cause) -> None:
    """Raise DataError unless everything that `text` says is in `facts`, and what must be is said."""
    if not MIN_TEXT <= len(text) <= MAX_TEXT or not text.endswith("."):
        raise DataError(f"the text must be {MIN_TEXT} to {MAX_TEXT} characters of whole sentences")
    if not text.startswith(facts.opening):
        raise DataError(f'the text must begin with "{facts.opening}"')
    if not _ALLOWED.fullmatch(text):
        raise DataError("the text has characters that are not plain ASCII text")
    _check_repetition(text)
    _check_said(text, facts, cause)
    rest = _check_names(text, facts)
    _check_quantities(rest, facts)
    _check_words(rest, facts, cause)
    _check_sources(text, facts)
    _check_comparisons(rest, facts)


def _whole(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9_-]){re.escape(name)}(?![A-Za-z0-9_-])")


def _check_repetition(text: str) -> None:
    """Small models that have lost the thread go round in circles."""
    said = text.lower().split()
    runs = [tuple(said[i : i + _REPEATED_WORDS]) for i in range(len(said) - _REPEATED_WORDS + 1)]
    if len(runs) != len(set(runs)):
        raise DataError("say each thing once")


def _check_said(text: str, facts: Facts, cause: Cause) -> None:
    for name in cause.must_name:
        if not _whole(name).search(text):
            raise DataError(f"{name} must be named")
    normal = {name for fact in facts.of_kind(FactKind.NORMAL) for name in fact.names}
    for name in sorted(normal):
        if _whole(name).search(text) and not re.search(r"\b(within|normal)\b", text):
            raise DataError(f"{name} is within its limits; say so or leave it out")
    subjects = "|".join(("sensors?", "readings?", *map(re.escape, sorted(normal))))
    for clause in re.split(r"[,;]|(?<!\d)\.", text):
        if re.search(r"\bwithin\b", clause) and not re.search(rf"\b(?:{subjects})\b.*within", clause):
            raise DataError("only sensors are within limits")
    for sensor in facts.abnormal:
        value = _NUMBER.search(sensor.value)
        if sensor.name in cause.must_name and value and not _whole(value.group()).search(text):
            raise DataError(f"{sensor.name} must be given with its value, {sensor.value}")


def _check_names(text: str, facts: Facts) -> str:
    """Return `text` without the names of the facts; refuse other names."""
    rest = text
    for name in sorted(facts.names, key=len, reverse=True):
        rest = _whole(name).sub(" ", rest)
    for found in _IDENTIFIER.findall(rest):
        mixed = any(sign.isdigit() for sign in found) and any(sign.isalpha() for sign in found)
        if (mixed and found not in _units(facts)) or "_" in found:
            raise DataError(f"{found} is not in the facts")
    return rest


def _units(facts: Facts) -> set[str]:
    return {quantity.unit for quantity in facts.quantities}


def _check_quantities(rest: str, facts: Facts) -> None:
    known: dict[Decimal, set[str]] = {}
    for quantity in facts.quantities:
        if _NUMBER.fullmatch(quantity.number):
            known.setdefault(Decimal(quantity.number), set()).add(quantity.unit)
    units = sorted({*_units(facts), "%"} - {""}, key=len, reverse=True)
    for match in re.finditer(r"(?<![A-Za-z0-9_])-?\d+(?:\.\d+)?", rest):
        value = Decimal(match.group())
        if value not in known:
            raise DataError(f"the number {match.group()} is not in the facts")
        after = rest[match.end() :].lstrip()
        unit = next((unit for unit in units if _begins_with(after, unit)), "")
        if unit and unit not in known[value]:
            raise DataError(f"{match.group()} {unit} is not in the facts")


def _begins_with(text: str, unit: str) -> bool:
    return text.startswith(unit) and not text[len(unit) : len(unit) + 1].isalnum()


def _check_words(rest: str, facts: Facts, cause: Cause) -> None:
    said = {word.lower() for word in _WORD.findall(rest)}
    units = {word.lower() for unit in _units(facts) for word in _WORD.findall(unit)}
    strange = said - vocabulary(facts, (cause,)) - units - NEGATIONS
    if strange:
        raise DataError(f'"{min(strange)}" is not in the facts')
    for negation, word in set(negated(rest)) - negations(facts, (cause,)):
        raise DataError(f'"{f"{negation} {word}".strip()}" is not in the facts')
    known = {word.lower() for fact in facts.facts for word in _WORD.findall(fact.text)}
    for one, other in PLACES:
        for here, there in ((one, other), (other, one)):
            if here & said and not here & known and there & known:
                raise DataError(f'"{min(here & said)}" is the opposite of what the facts say')
    for action, verb in _ACTION_VERBS.items():
        if action is not facts.verdict.action and verb in said - known:
            raise DataError(f"the action was {facts.verdict.action}, not {action}")


def _check_sources(text: str, facts: Facts) -> None:
    """Refuse a sensor that finds defects, and a number that follows another's name than its own."""
    sensors = {fact.names[0] for fact in facts.of_kind(FactKind.ABNORMAL)}
    sensors |= {name for fact in facts.of_kind(FactKind.NORMAL) for name in fact.names}
    sources = sorted(sensors | set(facts.cameras), key=len, reverse=True)
    if not sources:
        return
    scan = re.compile(
        rf"(?<![A-Za-z0-9_.-])(?:{'|'.join(map(re.escape, sources))})(?![A-Za-z0-9_-])"
        r"|(?<![A-Za-z0-9_])-?\d+(?:\.\d+)?(?![A-Za-z0-9_])"
    )
    source = ""
    for match in scan.finditer(text):
        found = match.group()
        if found in sources:
            source = found
            following = _WORD.match(text[match.end() :].lstrip())
            if found in sensors and following and following.group().lower() in FINDS:
                raise DataError(f"{found} is a sensor with a reading, it does not find defects")
        elif source and not _belongs(Decimal(found), source, facts):
            raise DataError(f"{found} is not of {source}; give each number after its own name")


def _belongs(value: Decimal, source: str, facts: Facts) -> bool:
    for fact in facts.facts:
        numbers = {Decimal(q.number) for q in fact.quantities if _NUMBER.fullmatch(q.number)}
        if value in numbers and (source in fact.names or fact.kind is FactKind.DECISION):
            return True
    return False


def _check_comparisons(rest: str, facts: Facts) -> None:
    known = {pair for fact in facts.facts for pair in compared_with(fact.text)}
    for value, sense in compared_with(rest):
        if (value, sense) not in known:
            raise DataError(f'"{sense} {value}" is not in the facts')
