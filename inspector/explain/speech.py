"""Facts and causes in the language of the site: what its model reads, its template says and its check asks.

Code gathers facts in English; here they become sentences of another language, with its names, units
and decimal sign, so that all that comes after works on facts as before, with another lexicon. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from inspector.explain.causes import Cause
from inspector.explain.facts import AbnormalSensor, Fact, FactKind, Facts, Quantity
from inspector.explain.lexicon import ENGLISH, Lexicon
from inspector.explain.lexicon_de import GERMAN
from inspector.explain.lexicon_zh import CHINESE
from inspector.explain.names import safe_name
from inspector.explain.phrasebook import BOOKS, Phrasebook
from inspector.explain.template import (
    MAX_ACTION,
    MAX_CAUSE,
    MAX_TEXT,
    Worded,
    matters,
    sentence,
    shorten,
    with_beside,
    word,
)
from inspector.explain.terms import TERMS, Language, Terms

_LIKELY = "Likely cause: "
Found = tuple[Facts, tuple[Cause, ...]]


@dataclass(frozen=True, slots=True)
class Speech:
    """One language. Without a `book` it is the one in which facts are gathered."""

    lexicon: Lexicon
    terms: Terms
    book: Phrasebook | None = None

    def localise(self, facts: Facts, causes: tuple[Cause, ...]) -> Found:
        """Return facts, as whole sentences without their last stop, and causes in this language."""
        if self.book is None:
            return facts, causes
        names = self._names(facts, causes)
        one = _Translation(self.book, self.terms, self.lexicon, names)
        return one.facts(facts), tuple(one.cause(cause) for cause in causes)

    def template(self, facts: Facts, cause: Cause) -> Worded:
        """Return the template's explanation of what `localise` gave."""
        if self.book is None:
            return word(facts, cause)
        used = [fact for fact in facts.facts if matters(fact, cause)]
        stop, space = self.lexicon.stop, " " if self.lexicon.spaced else ""
        text = shorten(space.join(f"{fact.text}{fact.aside}{stop}" for fact in used), MAX_TEXT)
        return Worded(
            text=f"{text} {cause.likely}" if cause.likely else text,
            cause=shorten(cause.told, MAX_CAUSE),
            recommended_action=shorten(cause.action, MAX_ACTION),
            cited=tuple(fact.id for fact in used),
        )

    def with_beside(self, worded: Worded, facts: Facts) -> Worded:
        """Return `worded` and the sentences that code adds, in this language, to what anyone wrote."""
        return with_beside(worded, facts, self.lexicon.stop, " " if self.lexicon.spaced else "")

    def _names(self, facts: Facts, causes: tuple[Cause, ...]) -> dict[str, str]:
        """What keeps its place in a sentence, and what it is called there.

        Labels and kinds are words; a sensor's, camera's or part's name is its own in any language.
        """
        all_names = {*facts.names, safe_name(facts.verdict.cause)}
        all_names |= {name for cause in causes for name in cause.must_name}
        kinds = {sensor.kind for sensor in facts.abnormal}
        own = {sensor.name for sensor in facts.abnormal} | set(facts.cameras) | set(facts.missing)
        own |= {name for fact in facts.of_kind(FactKind.NORMAL) for name in fact.names}
        own |= set(facts.facts[0].names)
        called = {*facts.labels, *kinds} - own
        return {name: self.terms.name(name) if name in called else name for name in all_names if name}


@dataclass(frozen=True, slots=True)
class _Translation:
    """The sentences of one verdict."""

    book: Phrasebook
    terms: Terms
    lexicon: Lexicon
    names: Mapping[str, str]

    def say(self, text: str) -> str:
        return self.book.say(text, self.names)

    def name(self, name: str) -> str:
        return self.names.get(name, name)

    def facts(self, facts: Facts) -> Facts:
        return replace(
            facts,
            opening=self.say(facts.opening),
            facts=tuple(self.fact(fact) for fact in facts.facts),
            beside=tuple(self.own_names(fact).fact(fact) for fact in facts.beside),
            labels=tuple(self.name(label) for label in facts.labels),
            abnormal=tuple(self.sensor(sensor) for sensor in facts.abnormal),
        )

    def own_names(self, fact: Fact) -> "_Translation":
        """Return this with the names of `fact` alone: a part that is called 20 is no number of parts."""
        return replace(self, names={name: self.name(name) for name in fact.names})

    def fact(self, fact: Fact) -> Fact:
        text = self.say(sentence(fact)).removesuffix(self.lexicon.stop)
        if fact.kind is FactKind.VISION and fact.names[1:]:
            label = self.name(fact.names[1])
            text = text.replace(f" {label}", f" {self.terms.with_article(label)}", 1)
        return replace(
            fact,
            text=text,
            quantities=tuple(
                Quantity(self.book.figure(each.number), self.book.units.get(each.unit, each.unit))
                for each in fact.quantities
            ),
            names=tuple(self.name(name) for name in fact.names),
            aside=self.say(fact.aside),
        )

    def sensor(self, sensor: AbnormalSensor) -> AbnormalSensor:
        return replace(
            sensor, kind=self.name(sensor.kind), value=self.say(sensor.value), limit=self.say(sensor.limit)
        )

    def cause(self, cause: Cause) -> Cause:
        likely = cause.likely
        if likely:
            label, space = self.book.say(_LIKELY.strip(), {}), " " if self.lexicon.spaced else ""
            likely = f"{label}{space}{likely.removeprefix(_LIKELY)}"
        return replace(
            cause,
            text=self.say(cause.text),
            brief=self.say(cause.brief),
            action=cause.action if cause.known else self.say(cause.action),
            must_name=tuple(self.name(name) for name in cause.must_name),
            likely=likely,
            beside=self.say(cause.beside),
        )


SPEECH: Mapping[Language, Speech] = {
    "en": Speech(ENGLISH, TERMS["en"]),
    "de": Speech(GERMAN, TERMS["de"], BOOKS["de"]),
    "zh": Speech(CHINESE, TERMS["zh"], BOOKS["zh"]),
}


def word_in(language: Language, facts: Facts, cause: Cause) -> Worded:
    """Return the template's explanation of `facts`, as gathered, by `cause` in `language`."""
    speech = SPEECH[language]
    local, (chosen,) = speech.localise(facts, (cause,))
    return speech.with_beside(speech.template(local, chosen), local)
