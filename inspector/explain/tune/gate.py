"""Whether an adapter earns its place: measured on incidents that it was not tuned on."""

import json
import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from inspector.explain.eval_score import Outcome, Score

_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """One model over the incidents, each outcome in its place."""

    score: Score
    outcomes: tuple[Outcome, ...]


def is_right(found: Outcome) -> bool:
    """Return whether the model's first answer says all that it must, nothing else, and was published."""
    return found.raw_valid and found.raw_faithful and found.raw_cause and found.model_wrote


def refusal(before: Measured, after: Measured) -> str:
    """Return why the adapter is not to be used, or "" when it is better.

    Better: of the incidents where one was right and the other was not, the adapter has won more than a
    toss of a coin would give in one of twenty tries (sign test), and nothing that operators read is worse.
    """
    won = lost = 0
    for old, new in zip(before.outcomes, after.outcomes, strict=True):
        won += is_right(new) and not is_right(old)
        lost += is_right(old) and not is_right(new)
    for name, old_share, new_share in (
        ("faithful texts", before.score.faithful, after.score.faithful),
        ("right causes", before.score.cause, after.score.cause),
        ("right actions", before.score.action, after.score.action),
    ):
        if new_share < old_share:
            return f"published {name} fell from {old_share:.1%} to {new_share:.1%}"
    if chance_of(won, won + lost) > _CHANCE:
        return f"it is right where the model alone is not {won} times, and the other way round {lost} times"
    return ""


def chance_of(won: int, of: int) -> float:
    """Return how likely a fair coin shows heads `won` times or more `of` times; 1.0 for no throw."""
    ways: int = sum(math.comb(of, heads) for heads in range(won, of + 1))
    return float(Fraction(ways, 2**of))


def save_measured(path: Path, about: str, measured: Measured) -> None:
    """Keep what was measured, so that a tuning that was stopped does not measure twice. Atomic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"about": about, "measured": asdict(measured)}), "utf-8")
    partial.replace(path)


def load_measured(path: Path, about: str) -> Measured | None:
    """Return what was kept of the same tuning; None when there is nothing, or nothing whole."""
    try:
        kept = json.loads(path.read_text("utf-8"))
        if kept["about"] != about:
            return None
        found = kept["measured"]
        outcomes = tuple(Outcome(**each) for each in found["outcomes"])
        return Measured(Score(**found["score"]), outcomes)
    except (OSError, ValueError, KeyError, TypeError):
        return None
