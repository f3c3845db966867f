"""What the language model reads: a constant part, whose cache is kept, and the facts. Pure.

The constant part comes first and never changes while the process lives, so that the engine
computes it once; what is new for each verdict is some hundred tokens at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from inspector.explain.causes import Cause
from inspector.explain.facts import Fact, FactKind, Facts
from inspector.explain.prompt_words import PROMPT_WORDS, PromptWords
from inspector.explain.template import matters
from inspector.explain.terms import Language

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    """`images` are PNG files; only models that see get them."""

    role: Role
    content: str
    images: tuple[bytes, ...] = ()


Prompt = tuple[Turn, ...]

CONSTANTS: Mapping[Language, Prompt] = {
    language: (
        Turn("system", words.system),
        *(turn for asked, said in words.examples for turn in (Turn("user", asked), Turn("assistant", said))),
    )
    for language, words in PROMPT_WORDS.items()
}


def build(
    facts: Facts,
    causes: tuple[Cause, ...],
    language: Language = "en",
    images: tuple[bytes, ...] = (),
) -> Prompt:
    """Return the prompt for `facts`, told in `language`. Every name in it has been through `names`.

    `images` are PNG files of `pictures`, for a model that sees.
    """
    words = PROMPT_WORDS[language]
    told = [fact for fact in facts.facts if any(matters(fact, cause) for cause in causes)]
    lines = [f"{fact.id}. {_line(fact, words)}" for fact in told]
    lines += [f"{words.cause.format(number)}{cause.brief}" for number, cause in enumerate(causes, 1)]
    if images:
        lines.insert(0, words.picture)
    return (*CONSTANTS[language], Turn("user", "\n".join(lines), images))


def _line(fact: Fact, words: PromptWords) -> str:
    # A reading within limits explains nothing, but a small model that sees it uses it.
    return words.normal if fact.kind is FactKind.NORMAL else fact.text


def retry(prompt: Prompt, problem: str) -> Prompt:
    """Return `prompt` with a warning of what was wrong with the first answer.

    The answer itself is left out: shown it, a small model writes it again.
    """
    asked = prompt[-1]
    return (*prompt[:-1], replace(asked, content=f"{asked.content}\nMind: {problem}."))
