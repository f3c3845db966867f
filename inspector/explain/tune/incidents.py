"""What a model is tuned on: prompts about made-up incidents, each with the answer that it should give. Pure.

The prompts are those of `prompt.build`, examples and all, so that what is learned is what is asked at
run time. A part of the incidents is richer than those of `inspector explain eval`: several defects and
cameras, marks without a name, frames of unknown size, verdicts at the deadline.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from inspector.errors import DataError
from inspector.explain.causes import rank_causes
from inspector.explain.check import check
from inspector.explain.eval_cases import Case, cases
from inspector.explain.eval_words import Words
from inspector.explain.facts import LineContext
from inspector.explain.gather import gather
from inspector.explain.prompt import Prompt, build
from inspector.explain.tune.answer import answer
from inspector.types import (
    Action,
    Decision,
    Detection,
    FrameResult,
    Heatmap,
    ReasonCode,
    ResultStatus,
    VerdictRecord,
)

_RICHER = 0.35
"""Share of the incidents that get more than `cases` gives them."""
_HELD_OUT = 4
"""One combination of label and sensor in so many is kept from tuning."""
_CELLS = 8


@dataclass(frozen=True, slots=True)
class Example:
    """What is asked, and the JSON text that should come."""

    prompt: Prompt
    answer: str


def examples(found: Iterable[tuple[VerdictRecord, LineContext]]) -> list[Example]:
    """Return an example for each incident that has a right answer; one that the check refuses is left out."""
    made: list[Example] = []
    for record, context in found:
        facts = gather(record, context)
        causes = rank_causes(facts)
        said = answer(facts, causes)
        try:
            check(said, facts, causes)
        except DataError:
            continue
        made.append(Example(build(facts, causes), said))
    return made


def incidents(seed: int, count: int, words: Words) -> list[tuple[VerdictRecord, LineContext]]:
    """Return `count` made-up incidents of `words`; the same for the same seed."""
    rng = random.Random(f"tune/{seed}")
    return [
        (richer(case.record, words, rng) if rng.random() < _RICHER else case.record, _context(case, rng))
        for case in cases(seed, count, words)
    ]


def combinations(record: VerdictRecord) -> frozenset[tuple[str, str]]:
    """Return each label with the kind of each sensor beyond a limit ("" where there is none)."""
    evidence = record.evidence
    kinds = {event.kind for event in evidence.events if event.abnormal is not None} or {""}
    labels = {found.label for result in evidence.results for found in result.detections} or {""}
    return frozenset((label, kind) for label in labels for kind in kinds)


def is_held_out(combination: tuple[str, str]) -> bool:
    """Return whether `combination` is kept for measuring. The same in every run and process."""
    return combination != ("", "") and random.Random("/".join(combination)).randrange(_HELD_OUT) == 0


def richer(record: VerdictRecord, words: Words, rng: random.Random) -> VerdictRecord:
    """Return `record` with one more thing that happens on lines."""
    results, verdict = record.evidence.results, record.verdict
    if not results or results[0].status is not ResultStatus.OK or verdict.p_defect is None:
        return record
    first = results[0]
    match rng.choice(("two defects", "two cameras", "a mark", "nothing located", "at the deadline")):
        case "two defects":
            more = _detection(rng, rng.choice(words.labels))
            results = (msgspec.structs.replace(first, detections=(*first.detections, more)),)
        case "two cameras":
            other = rng.choice([camera for camera in words.cameras if camera != first.camera_id] or ["cam9"])
            results = (first, msgspec.structs.replace(_bare(first, rng), camera_id=other))
        case "a mark":
            results = (_marked(first, rng),)
        case "nothing located":
            results = (_bare(first, rng),)
        case "at the deadline":
            p_defect = round(rng.uniform(0.3, 0.74), 2)
            results = (msgspec.structs.replace(first, p_defect=p_defect),)
            verdict = msgspec.structs.replace(
                verdict,
                decision=Decision.PENDING,
                action=rng.choice((Action.HOLD, Action.REJECT)),
                reason_code=ReasonCode.LOW_CONFIDENCE,
                failsafe=True,
                p_defect=p_defect,
                confidence=max(p_defect, round(1.0 - p_defect, 2)),
            )
    evidence = msgspec.structs.replace(record.evidence, results=results)
    return VerdictRecord(verdict=verdict, evidence=evidence)


def _context(case: Case, rng: random.Random) -> LineContext:
    """One site in five does not say how large its frames are."""
    return LineContext() if rng.random() < 0.2 else case.context


def _detection(rng: random.Random, label: str) -> Detection:
    x, y = rng.randint(0, 1400), rng.randint(0, 1000)
    box = (x, y, x + rng.randint(12, 180), y + rng.randint(9, 150))
    return Detection(label=label, score=round(rng.uniform(0.52, 0.79), 2), box_px=box)


def _bare(result: FrameResult, rng: random.Random) -> FrameResult:
    return msgspec.structs.replace(result, detections=(), p_defect=round(rng.uniform(0.05, 0.97), 2))


def _marked(result: FrameResult, rng: random.Random) -> FrameResult:
    """An anomaly map that is hot in one patch."""
    cells = bytearray(_CELLS * _CELLS)
    x, y = rng.randrange(_CELLS - 2), rng.randrange(_CELLS - 2)
    for row in range(y, y + rng.randint(1, 3)):
        for column in range(x, x + rng.randint(1, 3)):
            cells[min(row, _CELLS - 1) * _CELLS + min(column, _CELLS - 1)] = rng.randint(140, 255)
    return msgspec.structs.replace(
        _bare(result, rng), heatmap=Heatmap(width=_CELLS, height=_CELLS, data=bytes(cells))
    )
