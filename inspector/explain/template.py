"""Plain text from the facts alone: what people read when no language model is set, ready or right.

Pure.
"""

from dataclasses import dataclass, replace

from inspector.explain.causes import Cause, CauseCode
from inspector.explain.facts import Fact, FactKind, Facts

MAX_TEXT = 900
MAX_CAUSE = 400
MAX_ACTION = 400


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
    used = [fact for fact in facts.facts if matters(fact, cause)]
    return Worded(
        text=with_likely(shorten(" ".join(_with_aside(fact) for fact in used), MAX_TEXT), cause),
        cause=shorten(cause.told, MAX_CAUSE),
        recommended_action=shorten(cause.action, MAX_ACTION),
        cited=tuple(fact.id for fact in used),
    )


def with_likely(text: str, cause: Cause) -> str:
    """Return `text` with what the site's knowledge adds to it."""
    return f"{text} {cause.likely}" if cause.likely else text


def matters(fact: Fact, cause: Cause) -> bool:
    """Return whether an explanation by `cause` speaks of `fact`."""
    match cause.code:
        case CauseCode.EMERGENCY:
            return fact.kind in (FactKind.DECISION, FactKind.ABNORMAL)
        case CauseCode.LATCHED | CauseCode.TRIGGER_LATE:
            return fact.kind is FactKind.DECISION
        case CauseCode.SENSOR_AND_DEFECT | CauseCode.SENSOR_ONLY:
            return fact.kind is not FactKind.NORMAL
    return True


def _with_aside(fact: Fact) -> str:
    return f"{sentence(fact).removesuffix('.')}{fact.aside}."


def sentence(fact: Fact) -> str:
    """Return the fact as a whole sentence for people, without its aside."""
    text = fact.text
    match fact.kind:
        case FactKind.DECISION:
            text = text.replace(": defect probability", " with defect probability", 1)
        case FactKind.VISION:
            camera, _, rest = text.partition(": ")
            text = f"Camera {camera} saw {_article(rest)}" if fact.names[1:] else f"Camera {camera}: {rest}"
        case FactKind.ABNORMAL:
            text = f"Sensor {text.replace('ABNORMAL', 'abnormal')}"
        case FactKind.NORMAL:
            text = f"Sensors {text}"
        case FactKind.MISSING:
            text = f"Camera {text}" if text.startswith(f"{fact.names[0]}:") else f"There is {text}"
    return f"{text}."


def with_beside(worded: Worded, facts: Facts, stop: str = ".", space: str = " ") -> Worded:
    """Return `worded` and the sentences that code adds to it, whoever wrote it."""
    if not facts.beside:
        return worded
    return replace(
        worded,
        text=space.join((worded.text, *(f"{fact.text}{stop}" for fact in facts.beside))),
        cited=(*worded.cited, *(fact.id for fact in facts.beside)),
    )


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
