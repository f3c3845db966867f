"""What a language model's answer must satisfy before anyone reads it.

The schema of `grammar` goes to the engine, which can then write only words, names and numbers of
the facts. `check` looks at all of that again, since an engine may not honour patterns, and at
what a pattern cannot say: that everything abnormal is named with its value, that a number follows
the sensor or camera that it belongs to, that a comparison is the right way round. Pure.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from inspector.errors import DataError
from inspector.explain.causes import Cause
from inspector.explain.compared import compared_with
from inspector.explain.facts import FactKind, Facts
from inspector.explain.grammar import MAX_TEXT, negated, negations, vocabulary
from inspector.explain.lexicon import ENGLISH, WORD, Lexicon
from inspector.explain.phrasebook import closed_up
from inspector.explain.template import MAX_ACTION, MAX_CAUSE, Worded, shorten, with_likely

_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)?")
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:[_.-][A-Za-z0-9]+)*")
_CLAUSE_END = re.compile(r"[;，；。、]|,(?!\d)|(?<!\d)\.")
_RUN = re.compile(r"[\u3400-\u9fff]+")


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    cause: int
    text: str
    cited: list[int]


def check(answer: str, facts: Facts, causes: tuple[Cause, ...], lexicon: Lexicon = ENGLISH) -> Worded:
    """Return the explanation in `answer`, which is faithful to `facts`.

    Facts and causes are in the language of `lexicon`. Raises DataError with what is wrong, in words
    that the model can use to correct itself.
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
    text = closed_up(" ".join(parsed.text.split()))
    check_text(text, facts, cause, lexicon)
    return Worded(
        text=with_likely(text, cause),
        cause=shorten(cause.told, MAX_CAUSE),
        recommended_action=shorten(cause.action, MAX_ACTION),
        cited=cited,
    )


def check_text(text: str, facts: Facts, cause: Cause, lexicon: Lexicon = ENGLISH) -> None:
    """Raise DataError unless everything that `text` says is in `facts`, and what must be is said."""
    if not lexicon.min_text <= len(text) <= MAX_TEXT or not text.endswith(lexicon.stop):
        raise DataError(f"the text must be {lexicon.min_text} to {MAX_TEXT} characters of whole sentences")
    if not text.startswith(facts.opening):
        raise DataError(f'the text must begin with "{facts.opening}"')
    _Checked(text, facts, cause, lexicon).check()


def _whole(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9_-]){re.escape(name)}(?![A-Za-z0-9_-])")


@dataclass(frozen=True, slots=True)
class _Checked:
    """One text against its facts."""

    text: str
    facts: Facts
    cause: Cause
    lexicon: Lexicon

    def check(self) -> None:
        rest = self.text
        for name in sorted(self.facts.names, key=len, reverse=True):
            rest = _whole(name).sub(" ", rest)
        if not re.fullmatch(self.lexicon.signs, rest):
            raise DataError("the text has characters beside letters, digits and plain signs")
        self._repetition()
        self._what_must_be_said()
        self._names(rest)
        self._quantities(rest)
        self._words(rest)
        self._sources()
        self._comparisons(rest)

    def _repetition(self) -> None:
        """Small models that have lost the thread go round in circles."""
        text, length = self.text.lower(), self.lexicon.repeated
        said = text.split() if self.lexicon.spaced else list(text)
        runs = [tuple(said[i : i + length]) for i in range(len(said) - length + 1)]
        if len(runs) != len(set(runs)):
            raise DataError("say each thing once")

    def _what_must_be_said(self) -> None:
        text, facts = self.text, self.facts
        for name in self.cause.must_name:
            if not _whole(name).search(text):
                raise DataError(f"{name} must be named")
        normal = {name for fact in facts.of_kind(FactKind.NORMAL) for name in fact.names}
        for name in sorted(normal):
            if _whole(name).search(text) and not re.search(self.lexicon.normal, text):
                raise DataError(f"{name} is within its limits; say so or leave it out")
        subjects = "|".join((self.lexicon.sensors, *map(re.escape, sorted(normal))))
        edge = r"\b" if self.lexicon.spaced else ""
        within = self.lexicon.within
        for clause in _CLAUSE_END.split(text):
            if re.search(within, clause) and not re.search(rf"{edge}(?:{subjects}){edge}.*{within}", clause):
                raise DataError("only sensors are within limits")
        for sensor in facts.abnormal:
            value = _NUMBER.search(sensor.value)
            if sensor.name in self.cause.must_name and value and not _whole(value.group()).search(text):
                raise DataError(f"{sensor.name} must be given with its value, {sensor.value}")

    def _names(self, rest: str) -> None:
        """Refuse names that are not of the facts."""
        units = {piece for unit in self._units() for piece in _IDENTIFIER.findall(unit)}  # "m3" of "g/m3"
        for found in _IDENTIFIER.findall(rest):
            mixed = any(sign.isdigit() for sign in found) and any(sign.isalpha() for sign in found)
            if (mixed and found not in units) or "_" in found:
                raise DataError(f"{found} is not in the facts")

    def _units(self) -> set[str]:
        return {quantity.unit for quantity in self.facts.quantities}

    def _quantities(self, rest: str) -> None:
        number, value = re.compile(self.lexicon.number), self.lexicon.value
        known: dict[Decimal, set[str]] = {}
        for quantity in self.facts.quantities:
            if number.fullmatch(quantity.number):
                known.setdefault(value(quantity.number), set()).add(quantity.unit)
        units = sorted({*self._units(), "%"} - {""}, key=len, reverse=True)
        for match in re.finditer(rf"(?<![A-Za-z0-9_]){self.lexicon.number}", rest):
            if value(match.group()) not in known:
                raise DataError(f"the number {match.group()} is not in the facts")
            after = rest[match.end() :].lstrip()
            unit = next((unit for unit in units if _begins_with(after, unit)), "")
            if unit and unit not in known[value(match.group())]:
                raise DataError(f"{match.group()} {unit} is not in the facts")

    def _words(self, rest: str) -> None:
        facts, causes, lexicon = self.facts, (self.cause,), self.lexicon
        allowed = {word.lower() for word in vocabulary(facts, causes, lexicon)}
        allowed |= {word.lower() for unit in self._units() for word in WORD.findall(unit)}
        allowed |= lexicon.negations
        strange = (
            {word.lower() for word in WORD.findall(rest)} - allowed
            if lexicon.spaced
            else _strange_runs(rest, allowed)
        )
        if strange:
            raise DataError(f'"{min(strange)}" is not in the facts')
        for negation, word in set(negated(rest, lexicon)) - negations(facts, causes, lexicon):
            raise DataError(f'"{f"{negation} {word}".strip()}" is not in the facts')
        told = " ".join(fact.text for fact in facts.facts)
        for one, other in lexicon.places:
            for here, there in ((one, other), (other, one)):
                said = lexicon.said(here, rest)
                if said and not lexicon.said(here, told) and lexicon.said(there, told):
                    raise DataError(f'"{min(said)}" is the opposite of what the facts say')
        for action, verb in lexicon.done.items():
            only = frozenset((verb,))
            if (
                action is not facts.verdict.action
                and lexicon.said(only, rest)
                and not lexicon.said(only, told)
            ):
                raise DataError(f"the action was {facts.verdict.action}, not {action}")

    def _sources(self) -> None:
        """Refuse a sensor that finds defects, and a number that follows another's name than its own."""
        facts, lexicon = self.facts, self.lexicon
        sensors = {fact.names[0] for fact in facts.of_kind(FactKind.ABNORMAL)}
        sensors |= {name for fact in facts.of_kind(FactKind.NORMAL) for name in fact.names}
        sources = sorted(sensors | set(facts.cameras), key=len, reverse=True)
        if not sources:
            return
        finds = "|".join(sorted(lexicon.finds, key=len, reverse=True)) if lexicon.verb_last else r"(?!)"
        scan = re.compile(
            rf"(?<![A-Za-z0-9_.-])(?:{'|'.join(map(re.escape, sources))})(?![A-Za-z0-9_-])"
            rf"|(?<![A-Za-z0-9_]){lexicon.number}(?![A-Za-z0-9_])|\b(?:{finds})\b"
        )
        source = ""
        for match in scan.finditer(self.text):
            found = match.group()
            if found in sources:
                source = found
                following = WORD.match(self.text[match.end() :].lstrip())
                finding = following and self._finds(following.group().lower())
                if found in sensors and finding:
                    raise DataError(f"{found} is a sensor with a reading, it does not find defects")
            elif found in lexicon.finds:
                if source in sensors:
                    raise DataError(f"{source} is a sensor with a reading, it does not find defects")
            elif source and not self._belongs(lexicon.value(found), source):
                raise DataError(f"{found} is not of {source}; give each number after its own name")

    def _finds(self, following: str) -> bool:
        if self.lexicon.spaced:
            return following in self.lexicon.finds
        return following.startswith(tuple(self.lexicon.finds))

    def _belongs(self, value: Decimal, source: str) -> bool:
        for fact in self.facts.facts:
            numbers = {
                self.lexicon.value(q.number)
                for q in fact.quantities
                if re.fullmatch(self.lexicon.number, q.number)
            }
            if value in numbers and (source in fact.names or fact.kind is FactKind.DECISION):
                return True
        return False

    def _comparisons(self, rest: str) -> None:
        known = {pair for fact in self.facts.facts for pair in compared_with(fact.text, self.lexicon)}
        for value, sense in compared_with(rest, self.lexicon):
            if (value, sense) not in known:
                raise DataError(f'"{sense} {value}" is not in the facts')


def _begins_with(text: str, unit: str) -> bool:
    return text.startswith(unit) and not text[len(unit) : len(unit) + 1].isalnum()


def _strange_runs(rest: str, allowed: set[str]) -> set[str]:
    """Return what in a language without spaces cannot be cut into allowed words."""
    strange = {word.lower() for word in re.findall(r"[A-Za-z]+", rest)} - allowed
    for run in _RUN.findall(rest):
        ends = {0}
        for at in range(1, len(run) + 1):
            if any(run[begin:at] in allowed for begin in ends):
                ends.add(at)
        if len(run) not in ends:
            strange.add(run[max(ends) :])
    return strange
