"""The same incident again: the words that the language model found, with the new figures. Pure.

Two incidents are the same when their facts differ in nothing but numbers and the part's name. The
new text goes through the whole check again, so that nothing that is not in the new facts gets out.
"""

import re
from collections import OrderedDict

from inspector.errors import DataError
from inspector.explain.causes import Cause
from inspector.explain.check import check_text
from inspector.explain.facts import Facts
from inspector.explain.lexicon import ENGLISH, Lexicon
from inspector.explain.template import MAX_ACTION, MAX_CAUSE, Worded, shorten, with_likely

CAPACITY = 64
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.-])-?\d+(?:[.,]\d+)?(?![A-Za-z0-9_]|\.\d)")
Signature = tuple[str, ...]


class Reuse:
    """Remembers the last CAPACITY kinds of incident. For one thread."""

    def __init__(self, lexicon: Lexicon = ENGLISH) -> None:
        self._lexicon = lexicon
        self._texts: OrderedDict[Signature, tuple[str, Facts, tuple[int, ...]]] = OrderedDict()

    def learn(self, text: str, cited: tuple[int, ...], facts: Facts) -> None:
        """Remember what the model wrote of `facts`, before code added anything to it."""
        self._texts[signature(facts)] = (text, facts, cited)
        self._texts.move_to_end(signature(facts))
        while len(self._texts) > CAPACITY:
            self._texts.popitem(last=False)

    def forget(self, facts: Facts) -> None:
        """Have the model write of `facts` anew the next time."""
        self._texts.pop(signature(facts), None)

    def again(self, facts: Facts, cause: Cause) -> Worded | None:
        """Return the explanation of `facts` in words that were found before; None when there are none."""
        found = self._texts.get(signature(facts))
        if found is None:
            return None
        old, old_facts, cited = found
        text = renewed(old, old_facts, facts)
        if text is None:
            return None
        try:
            check_text(text, facts, cause, self._lexicon)
        except DataError:
            return None
        return Worded(
            text=with_likely(text, cause),
            cause=shorten(cause.told, MAX_CAUSE),
            recommended_action=shorten(cause.action, MAX_ACTION),
            cited=cited,
        )


def signature(facts: Facts) -> Signature:
    """Return what two incidents must have in common: every fact without its numbers and part."""
    return tuple(_NUMBER.sub("#", fact.text.replace(facts.opening, "")) for fact in facts.facts)


def renewed(text: str, old: Facts, new: Facts) -> str | None:
    """Return `text` with the numbers and the opening of `new`; None where a number may mean two."""
    if not text.startswith(old.opening):
        return None
    figures: dict[str, str] = {}
    for before, after in zip(old.facts, new.facts, strict=True):
        was = _NUMBER.findall(before.text.replace(old.opening, ""))
        now = _NUMBER.findall(after.text.replace(new.opening, ""))
        for one, other in zip(was, now, strict=True):
            if figures.setdefault(one, other) != other:
                figures[one] = ""
    rest = text[len(old.opening) :]
    used = _NUMBER.findall(rest)
    if any(not figures.get(number) for number in used):
        return None
    return new.opening + _NUMBER.sub(lambda found: figures[found.group()], rest)
