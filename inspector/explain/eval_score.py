"""What an explanation is worth against the case that it explains. Pure.

Faithfulness is measured by other means than `check` uses: every number must be one that the record
holds, as it is rounded in the text, and every identifier one of the case's.
"""

import json
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from inspector.explain.causes import rank_causes
from inspector.explain.eval_cases import Case
from inspector.explain.gather import gather
from inspector.explain.speech import SPEECH
from inspector.explain.terms import TERMS, Language
from inspector.types import Explanation, ExplanationSource

_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])-?\d+(?:\.\d+)?(?![A-Za-z0-9_]|\.\d)")
_NAME = re.compile(r"[A-Za-z0-9]+(?:[_.-][A-Za-z0-9]+)+|[A-Za-z]+\d+[A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case. `raw_*` are of the model's first answer, before any check."""

    raw_valid: bool
    raw_faithful: bool
    raw_cause: bool
    model_wrote: bool
    faithful: bool
    cause: bool
    action: bool
    seconds: float
    tokens_per_s: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """Shares in [0, 1] over all cases of one model."""

    model: str
    cases: int
    raw_valid: float
    raw_faithful: float
    raw_cause: float
    template: float
    faithful: float
    cause: float
    action: float
    median_s: float
    p95_s: float
    tokens_per_s: float


def outcome(
    case: Case,
    published: Explanation,
    raw: str | None,
    *,
    seconds: float,
    tokens_per_s: float,
    problem: str = "",
    language: Language = "en",
) -> Outcome:
    """Judge what was published for `case`, and `raw`, the first answer of the model (None: none)."""
    said = f"{published.text} {published.cause} {published.recommended_action}"
    text = _raw_text(raw)
    wanted = expected(case, language)
    return Outcome(
        raw_valid=text is not None,
        raw_faithful=text is not None and is_faithful(text, case, language),
        raw_cause=text is not None and all(_stands(name, text) for name in wanted.named),
        model_wrote=published.source is ExplanationSource.LLM,
        faithful=is_faithful(said, case, language),
        cause=published.cause.startswith(wanted.cause)
        and all(_stands(n, published.text) for n in wanted.named),
        action=wanted.action in published.recommended_action,
        seconds=seconds,
        tokens_per_s=tokens_per_s,
        problem=problem,
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be said of a case, in a language."""

    cause: str
    action: str
    named: tuple[str, ...]


def expected(case: Case, language: Language) -> Expected:
    """Return what a case wants: a row of its FMEA to the letter, or the words of code in `language`.

    Whether these words are right ones of that language is what the tests of the phrasebook are for.
    """
    if language == "en":
        return Expected(case.cause, case.action, case.named)
    terms, facts = TERMS[language], gather(case.record, case.context)
    named = tuple(terms.name(name) if name in facts.labels else name for name in case.named)
    plain = rank_causes(facts)
    known = [cause for cause in plain if cause.text.startswith(case.cause) and case.action in cause.action]
    if not known:
        return Expected(case.cause, case.action, named)
    _, (chosen,) = SPEECH[language].localise(facts, (known[0],))
    return Expected(chosen.text, chosen.action, named)


def is_faithful(said: str, case: Case, language: Language = "en") -> bool:
    """Return whether every number and identifier in `said` is one of the case's."""
    if language == "de":
        said = re.sub(r"(?<=\d),(?=\d)", ".", said)
    for row in case.known:
        said = said.replace(row.source, " ")
    # What code itself writes of pixels of an unknown scale is a name, not a claim.
    names = {str(value) for value in _leaves(msgspec.to_builtins(case.record)) if isinstance(value, str)}
    known = " ".join(sorted(names | {row.cause for row in case.known}, key=len))
    for name in _NAME.findall(said):
        if any(sign.isalpha() for sign in name) and name.rstrip(".") not in known:
            return False
    truths = [float(value) for value in _leaves(msgspec.to_builtins(case.record)) if _is_number(value)]
    truths += [float(number) for number in _NUMBER.findall(known)]
    truths += [case.context.confirm_confidence, case.context.emergency_urgency]
    truths += case.context.thresholds.values()
    boxes = [found.box_px for result in case.record.evidence.results for found in result.detections]
    sides = [float(side) for x0, y0, x1, y1 in boxes for side in (x1 - x0, y1 - y0)]
    scales = [view.mm_per_px for view in case.context.cameras.values() if view.mm_per_px]
    truths += sides + [side * scale for side in sides for scale in scales]
    for name in sorted(names, key=len, reverse=True):
        if any(sign.isdigit() for sign in name):
            said = said.replace(name, " ")
    return all(_is_one_of(number, truths) for number in _NUMBER.findall(said))


def score(model: str, outcomes: Sequence[Outcome]) -> Score:
    """Return the shares over `outcomes`, at least one."""

    def share(name: str) -> float:
        return sum(bool(getattr(each, name)) for each in outcomes) / len(outcomes)

    seconds = sorted(each.seconds for each in outcomes)
    speeds = [each.tokens_per_s for each in outcomes if each.tokens_per_s]
    return Score(
        model=model,
        cases=len(outcomes),
        raw_valid=share("raw_valid"),
        raw_faithful=share("raw_faithful"),
        raw_cause=share("raw_cause"),
        template=1.0 - share("model_wrote"),
        faithful=share("faithful"),
        cause=share("cause"),
        action=share("action"),
        median_s=statistics.median(seconds),
        p95_s=seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))],
        tokens_per_s=statistics.median(speeds) if speeds else 0.0,
    )


def as_json(scores: Iterable[Score], seed: int) -> str:
    """Return the table for machines."""
    return json.dumps({"seed": seed, "models": [asdict(each) for each in scores]}, indent=2)


def _raw_text(raw: str | None) -> str | None:
    if raw is None:
        return None
    try:
        parsed = json.loads(raw)
    except ValueError:
        return None
    text = parsed.get("text") if isinstance(parsed, dict) else None
    return text if isinstance(text, str) else None


def _stands(name: str, text: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9_-]){re.escape(name)}(?![A-Za-z0-9_-])", text) is not None


def _is_one_of(number: str, truths: Iterable[float]) -> bool:
    if number.lstrip("-").isdigit() and len(number.lstrip("-")) == 1:
        return True  # "1" of a list, "one of 2": no reading here is a single digit alone
    value = float(number)
    digits = len(number.partition(".")[2])
    step = 0.5 * 10.0**-digits * 1.001
    if not digits:  # 12300 stands for 12345.6: three digits are kept
        step = max(step, 0.005 * abs(value))
    return any(abs(value - truth) <= step for truth in truths)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _leaves(each)
    else:
        yield value
