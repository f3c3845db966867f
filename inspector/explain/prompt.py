"""What the language model reads: a constant part, whose cache is kept, and the facts. Pure.

The constant part comes first and never changes while the process lives, so that the engine
computes it once; what is new for each verdict is some hundred tokens at the end.
"""

from dataclasses import dataclass
from typing import Literal

from inspector.explain.causes import Cause
from inspector.explain.facts import Fact, FactKind, Facts
from inspector.explain.template import matters

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    """`images` are PNG files; only models that see get them."""

    role: Role
    content: str
    images: tuple[bytes, ...] = ()


Prompt = tuple[Turn, ...]

_SYSTEM = (
    "You explain decisions of an inspection line to an operator. Write one short plain sentence, "
    "two at most, from the numbered facts and the given cause. Begin with the decision as it "
    "stands in fact 1. Then say why: name every ABNORMAL sensor with its value, every defect and "
    "where it is, and everything that is missing. Copy names, numbers and units exactly. "
    "Add nothing that the facts do not say. "
    'Answer as JSON: {"cause":number,"text":"...","cited":[fact numbers]}.'
)

# Names and numbers of the examples differ from what lines use, so that one that leaks is caught.
_EXAMPLES = (
    (
        "1. Part A17 was rejected: defect probability 0.88, above the 0.75 needed\n"
        "2. cam_top: burr, score 0.86, lower left of the image, 31 x 12 px\n"
        "3. spindle_load (load): 91 %, ABNORMAL, above its warn limit 85 %\n"
        "Cause 1: spindle_load abnormal at the same time as burr",
        '{"cause":1,"text":"Part A17 was rejected because cam_top found a burr at the lower left '
        'of the image while spindle_load was at 91 %, above its warn limit of 85 %.",'
        '"cited":[1,2,3]}',
    ),
    (
        "1. Part A21 was rejected: defect probability 0.9, above the 0.75 needed\n"
        "2. cam_top: bent_pin, score 0.79, centre of the image, 12 x 9 px\n"
        "3. air_inlet (pressure): 3.9 bar, ABNORMAL, below its warn limit 4.2 bar\n"
        "4. spindle_load (load): 93 %, ABNORMAL, above its warn limit 85 %\n"
        "Cause 1: air_inlet and spindle_load abnormal at the same time as bent_pin",
        '{"cause":1,"text":"Part A21 was rejected because cam_top found bent_pin at the centre of '
        "the image while air_inlet was at 3.9 bar, below its warn limit of 4.2 bar, and "
        'spindle_load was at 93 %, above its warn limit of 85 %.","cited":[1,2,3,4]}',
    ),
    (
        "1. Part A18 was held for review as the failsafe action: nothing is known of a defect\n"
        "2. sensors within limits\n"
        "3. no data from vision.cam_top\n"
        "Cause 1: no usable data came from vision.cam_top in time",
        '{"cause":1,"text":"Part A18 was held for review because no usable data came from '
        'vision.cam_top in time.","cited":[1,3]}',
    ),
)

CONSTANT: Prompt = (
    Turn("system", _SYSTEM),
    *(turn for asked, answered in _EXAMPLES for turn in (Turn("user", asked), Turn("assistant", answered))),
)


def build(facts: Facts, causes: tuple[Cause, ...]) -> Prompt:
    """Return the prompt for `facts`. Every name in it has been through `names`."""
    told = [fact for fact in facts.facts if any(matters(fact, cause) for cause in causes)]
    lines = [f"{fact.id}. {_line(fact)}" for fact in told]
    lines += [f"Cause {number}: {cause.brief}" for number, cause in enumerate(causes, 1)]
    return (*CONSTANT, Turn("user", "\n".join(lines)))


def _line(fact: Fact) -> str:
    # A reading within limits explains nothing, but a small model that sees it uses it.
    return "sensors within limits" if fact.kind is FactKind.NORMAL else fact.text


def retry(prompt: Prompt, problem: str) -> Prompt:
    """Return `prompt` with a warning of what was wrong with the first answer.

    The answer itself is left out: shown it, a small model writes it again.
    """
    return (*prompt[:-1], Turn("user", f"{prompt[-1].content}\nMind: {problem}."))
