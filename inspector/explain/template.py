"""Plain text from the facts alone: what people read when no language model is set, ready or right.

Pure.
"""

from dataclasses import dataclass

from inspector.explain.causes import Cause, CauseCode
from inspector.explain.facts import Fact, Facts
from inspector.types import Action, ReasonCode

MAX_TEXT = 600
MAX_CAUSE = 300
MAX_ACTION = 300

_ACTION_WORDS = {
    Action.STOP: "The line was stopped",
    Action.REJECT: "rejected",
    Action.PASS: "passed",
    Action.HOLD: "held for review",
}


@dataclass(frozen=True, slots=True)
class Worded:
    """An explanation in words, with the ids of the facts that it rests on."""

    text: str
    cause: str
    recommended_action: str
    cited: tuple[int, ...]


def shorten(text: str, limit: int) -> str:
    """Return `text`, cut at a word's end with ``...`` when it is longer than `limit`."""
    if len(text) <= limit:
        return text
    return text[: limit - 3].rsplit(" ", 1)[0].rstrip(" ,.;:") + "..."


def word(facts: Facts, cause: Cause) -> Worded:
    """Return the template's explanation of `facts` by `cause`."""
    used = [fact for fact in facts.facts if _matters(fact, cause)]
    sentences = [_opening(facts)]
    sentences += [_sentence(fact) for fact in used if fact.kind != "decision"]
    return Worded(
        text=shorten(" ".join(sentences), MAX_TEXT),
        cause=shorten(cause.text, MAX_CAUSE),
        recommended_action=shorten(cause.action, MAX_ACTION),
        cited=tuple(fact.id for fact in used),
    )


def _matters(fact: Fact, cause: Cause) -> bool:
    if fact.kind == "normal":
        return cause.code in (CauseCode.DEFECT_ONLY, CauseCode.SURFACE)
    if cause.code is CauseCode.EMERGENCY:
        return fact.kind in ("decision", "sensor")
    if cause.code in (CauseCode.LATCHED, CauseCode.TRIGGER_LATE):
        return fact.kind == "decision"
    return True


def _sentence(fact: Fact) -> str:
    return f"{fact.text[0].upper()}{fact.text[1:]}." if fact.kind == "normal" else f"{fact.text}."


def _opening(facts: Facts) -> str:
    verdict = facts.verdict
    decision = facts.facts[0]
    part = f"Part {decision.names[0]}" if decision.names else "The part"
    done = _ACTION_WORDS[verdict.action]
    if verdict.action is Action.STOP:
        where = f" at part {decision.names[0]}" if decision.names else ""
        why = {
            ReasonCode.EMERGENCY: "because of an emergency",
            ReasonCode.LATCHED: "because an earlier emergency has not been reset",
        }.get(verdict.reason_code, "")
        return f"{done}{where} {why}".rstrip() + "."
    if verdict.reason_code is ReasonCode.TRIGGER_LATE:
        return f"{part} was {done} because its trigger came after the deadline."
    measured = decision.text.partition(", ")[2]
    measured = f": {measured}" if measured else ""
    if verdict.reason_code is ReasonCode.EVIDENCE_MISSING:
        return f"{part} was {done} because evidence is missing{measured}."
    if verdict.reason_code is ReasonCode.LOW_CONFIDENCE:
        return f"{part} was {done} because the evidence is not clear{measured}."
    return f"{part} was {done}{measured}."
