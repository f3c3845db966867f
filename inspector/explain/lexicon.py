"""The words that an explanation may use besides those of its facts. Data for `grammar` and `check`.

A small language model that leaves the facts does so with a word that they do not have: it judges
("slightly", "dangerous"), names a part of the machine that nobody measured ("bearing"), or tells
what somebody did ("pressed"). A closed vocabulary, which its grammar enforces, leaves no room.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from inspector.types import Action


def words(listed: str) -> frozenset[str]:
    """Return the words of a list written with spaces between them."""
    return frozenset(listed.split())


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """One language, as far as an explanation needs it. Words are as they stand within a sentence.

    `spaced`: words have spaces between them; else every run of signs that the facts have between
    names, figures and punctuation is a word, and negations stand in such runs alone. `negations` are
    allowed only where the facts have them, each before the word that it stands before there: "no
    data" and "not above" are facts, "not detected" turns one round. `reach` is how far on the number
    of a comparison may stand, in words or signs; `repeated` how long a run may not come twice.
    `places` are pairs of which one may not be said when the facts say only the other.
    """

    vocabulary: frozenset[str]
    negations: frozenset[str]
    starts: tuple[str, ...]
    above: frozenset[str]
    below: frozenset[str]
    finds: frozenset[str]
    places: tuple[tuple[frozenset[str], frozenset[str]], ...]
    done: Mapping[Action, str]
    sensors: str
    within: str
    normal: str
    signs: str
    spaced: bool = True
    capitals: bool = False
    verb_last: bool = False
    decimal: str = "."
    stop: str = "."
    pauses: str = ",;:"
    reach: int = 7
    repeated: int = 9
    min_text: int = 20

    @property
    def number(self) -> str:
        """A regular expression for a number as this language writes it."""
        return rf"-?\d+(?:{re.escape(self.decimal)}\d+)?"

    def value(self, number: str) -> Decimal:
        """Return what `number`, written in this language, stands for."""
        return Decimal(number.replace(self.decimal, "."))

    def said(self, listed: frozenset[str], text: str) -> set[str]:
        """Return those of `listed` that stand in `text`, whose case does not matter."""
        if not self.spaced:
            return {word for word in listed if word in text}
        return set(listed) & {word.lower() for word in WORD.findall(text)}


WORD = re.compile(r"[^\W\d_]+")

ENGLISH = Lexicon(
    vocabulary=words(
        """
        a an and as at because but by during due for from in into it its near of on or since so that
        the their there these this to until when where which while with both each other
        also only same was were is are be been being had has have did does
        action area axis beyond camera cameras confidence data deadline decision defect defects
        evidence failsafe fault image images limit limits line needed part parts place position
        probability reading readings reset review score sensor sensors service signal size surface
        time trigger value values
        abnormal normal required usable outside within
        arrived came detected differs found gave located measured measures measuring observed
        received recorded reported sees seen shown showed shows
        held passed rejected stopped
        above over exceeds exceeded exceeding below under
        left right upper lower middle centre top bottom
        one two three first second
        """
    ),
    negations=words("no not nor neither never none nothing without cannot"),
    starts=("The", "It", "There", "Both", "Camera", "Sensor"),
    above=words("above over exceeds exceeded exceeding beyond"),
    below=words("below under"),
    finds=words("found finds saw sees detected detects located locates showed shows"),
    places=(
        (words("left"), words("right")),
        (words("upper top"), words("lower bottom")),
    ),
    done={Action.REJECT: "rejected", Action.PASS: "passed", Action.HOLD: "held", Action.STOP: "stopped"},
    sensors="sensors?|readings?",
    within=r"\bwithin\b",
    normal=r"\b(?:within|normal)\b",
    signs=r"[A-Za-z0-9 ,.;:()%/<>=+_-]*",
)
