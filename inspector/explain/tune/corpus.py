"""Which incidents are learned and which are measured with; none of the second is among the first. Pure."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from inspector.explain.eval_cases import Case, cases
from inspector.explain.eval_words import EVAL_WORDS, Words
from inspector.explain.facts import LineContext
from inspector.explain.knowledge import Known
from inspector.explain.tune.incidents import combinations, incidents, is_held_out
from inspector.explain.tune.site_words import confirmed
from inspector.explain.tune.words import TUNE_WORDS
from inspector.types import VerdictRecord

_MEASURE_SEED = 2026
"""Far from the seeds that people give: the same incidents measure every tuning."""
_TRIES = 40
"""So many times what is wanted is drawn to find enough incidents of held-out combinations."""

Incident = tuple[VerdictRecord, LineContext]


@dataclass(frozen=True, slots=True)
class SiteNames:
    """What a site is made of."""

    words: Words
    known: Sequence[Known]
    context: LineContext


@dataclass(frozen=True, slots=True)
class Corpus:
    learn: tuple[Incident, ...]
    measure: tuple[Case, ...]

    @property
    def digest(self) -> str:
        """Return what differs as soon as one incident does."""
        encoded = msgspec.json.encode([record for record, _ in self.learn])
        return hashlib.sha256(encoded + repr(self.measure).encode()).hexdigest()


def corpus(count: int, measure: int, seed: int, site: SiteNames | None) -> Corpus:
    """Return `count` incidents to learn and up to `measure` cases to measure with.

    Without a site the two share no sensor, label or camera. With one, half of each are the site's: a
    quarter of its combinations of label and sensor is kept from learning, and only these are measured;
    incidents with a confirmed cause are learned besides.
    """
    if site is None:
        learned = incidents(seed, count, TUNE_WORDS)
        return Corpus(tuple(learned), tuple(cases(_MEASURE_SEED, measure, EVAL_WORDS)))
    own = confirmed(site.known, site.words, site.context, seed)
    known = {each for record, _ in own for each in combinations(record)}
    drawn = incidents(seed, 2 * count, site.words)
    learned = [each for each in drawn if not any(map(is_held_out, combinations(each[0])))][: count // 2]
    general = incidents(seed + 1, count - len(learned), TUNE_WORDS)
    half = measure // 2
    asked = _held_out(cases(_MEASURE_SEED, _TRIES * measure, site.words), known)[: measure - half]
    return Corpus((*general, *learned, *own), (*cases(_MEASURE_SEED, half, EVAL_WORDS), *asked))


def _held_out(found: Iterable[Case], known: set[tuple[str, str]]) -> list[Case]:
    """Return the cases of combinations that were never learned."""
    return [
        case
        for case in found
        if all(is_held_out(each) and each not in known for each in combinations(case.record))
    ]
