"""How good probabilities are against the truth. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

_BINS = 15


@dataclass(frozen=True, slots=True)
class Score:
    """`accuracy` at 0.5, `ece` the expected calibration error, `decided` and `decided_right` as shares."""

    parts: int
    accuracy: float
    ece: float
    decided: float
    decided_right: float


def score(p_defect: Sequence[float], defective: Sequence[bool], confirm_confidence: float) -> Score:
    """Score probabilities. A part counts as decided when its confidence is over the limit."""
    parts = len(p_defect)
    if not parts:
        return Score(0, 0.0, 0.0, 0.0, 0.0)
    right = sum((p >= 0.5) == bad for p, bad in zip(p_defect, defective, strict=True))
    sure = [
        (p >= 0.5) == bad
        for p, bad in zip(p_defect, defective, strict=True)
        if max(p, 1.0 - p) > confirm_confidence
    ]
    return Score(
        parts=parts,
        accuracy=right / parts,
        ece=calibration_error(p_defect, defective),
        decided=len(sure) / parts,
        decided_right=sum(sure) / len(sure) if sure else 0.0,
    )


def calibration_error(p_defect: Sequence[float], defective: Sequence[bool]) -> float:
    """Expected calibration error over 15 bins of equal width (Guo et al. 2017)."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for p, bad in zip(p_defect, defective, strict=True):
        bins[min(_BINS - 1, int(p * _BINS))].append((p, bad))
    gaps = (abs(sum(p for p, _ in each) - sum(bad for _, bad in each)) for each in bins)
    return sum(gaps) / max(1, len(p_defect))
