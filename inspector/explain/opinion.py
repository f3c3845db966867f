"""The language model's second opinion: the probability of "yes" against that of "no" as its answer. Pure.

What a model says of itself is no confidence; what its tokens' probabilities are worth is measured on
labelled parts (`opinion_fit`), and an opinion that has earned nothing is never asked for.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import msgspec

from inspector.explain.facts import FactKind, Facts
from inspector.explain.prompt import CONSTANTS, Prompt, Turn
from inspector.explain.prompt_words import PROMPT_WORDS
from inspector.explain.terms import Language

CHOICES = ("no", "yes")
"""One token each in the vocabularies of the usual models. The last means defective."""
_QUESTION = "Question: judging by these facts alone, is the part defective? Answer with one word, yes or no."
_P_LEAST = 1e-4
_MOST_LOG_ODDS = math.log((1.0 - _P_LEAST) / _P_LEAST)


@dataclass(frozen=True, slots=True)
class OpinionFit:
    """How a raw probability becomes a calibrated one, and what it weighs beside the other modalities.

    `weight` in [0, 1] is 0 where held-out parts showed no gain; `gain_nats` is that of the mean log
    loss on held-out parts, `parts` how many were labelled, `language` that of the prompt.
    """

    model_sha256: str
    slope: float
    offset: float
    weight: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
    gain_nats: float
    parts: int
    language: Language = "en"

    def p_defect(self, raw: float) -> float:
        """Return the calibrated probability, as strong as it has earned: 0.5 says nothing."""
        log_odds = self.weight * (self.slope * log_odds_of(raw) + self.offset)
        bounded = min(max(log_odds, -_MOST_LOG_ODDS), _MOST_LOG_ODDS)
        return 1.0 / (1.0 + math.exp(-bounded))


def log_odds_of(probability: float) -> float:
    """Return the log-odds, bounded: no model is certain."""
    bounded = min(max(probability, _P_LEAST), 1.0 - _P_LEAST)
    return math.log(bounded / (1.0 - bounded))


def question(facts: Facts, language: Language = "en", images: tuple[bytes, ...] = ()) -> Prompt:
    """Return what to ask. It begins as every explanation's prompt in `language` does, so the cache serves
    both; the facts are those that were gathered, in English.

    What was decided is left out: an opinion that has read the verdict is none.
    """
    seen = [fact for fact in facts.facts if fact.kind is not FactKind.DECISION]
    lines = [f"{fact.id}. {fact.text}" for fact in seen] or ["nothing was seen or measured"]
    if images:
        lines.insert(0, PROMPT_WORDS["en"].picture)
    return (*CONSTANTS[language], Turn("user", "\n".join([*lines, _QUESTION]), images))
