"""How good the cell was, against the ground truth. Pure.

- **escape**: a defective part whose final action at the PLC was PASS.
- **overkill**: a good part whose final action was REJECT or HOLD, whoever chose it (the cell, its
  failsafe, or the PLC's failsafe because no verdict came).
- **judged**: every part but those that an emergency stopped (final action STOP), which nobody
  judged. **accuracy** is the share of the judged parts that are neither escape nor overkill.
- **late**: no verdict that the PLC could act on by the part's deadline. An undelivered notice is
  the part's verdict, and late.
- **duplicate**: a second verdict (another verdict_id) for a part. The same message once more is
  what QoS 1 allows; it is counted as redelivered.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictSeen:
    """A part's verdict as the PLC got it. `usable` is False for an undelivered notice."""

    verdict_id: str
    decision: str
    action: str
    received_ns: int
    p_defect: float | None
    stale: bool
    usable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOutcome:
    """All that became of one part. `action` is None while nobody has decided."""

    part_id: str
    defective: bool
    deadline_ns: int
    verdicts: tuple[VerdictSeen, ...]
    action: str | None

    @property
    def in_time(self) -> bool:
        return any(v.usable and not v.stale and v.received_ns <= self.deadline_ns for v in self.verdicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCounts:
    """What is not a matter of one part."""

    emergencies_raised: int = 0
    emergencies_braked: int = 0
    explanations_expected: int = 0
    explanations: int = 0
    undelivered: int = 0
    redelivered: int = 0
    violations: int = 0
    faults: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The result of a run. Shares are None when there is nothing to divide by."""

    parts: int
    parts_with_one_verdict: int
    parts_without_verdict: int
    duplicates: int
    late: int
    escapes: int
    overkill: int
    judged: int
    accuracy: float | None
    image_auroc: float | None
    defective: int
    pending: int
    stopped: int
    stale: int
    emergencies_raised: int
    emergencies_braked: int
    emergencies_missed: int
    explanations_expected: int
    explanations: int
    undelivered: int
    redelivered: int
    violations: int
    faults: int

    @property
    def complete(self) -> bool:
        """Every part got exactly one verdict."""
        return self.parts_with_one_verdict == self.parts

    def as_dict(self) -> dict[str, int | float | None]:
        return asdict(self)


def is_escape(outcome: PartOutcome) -> bool:
    return outcome.defective and outcome.action == "PASS"


def is_overkill(outcome: PartOutcome) -> bool:
    return not outcome.defective and outcome.action in {"REJECT", "HOLD"}


def auroc(scores: Sequence[tuple[bool, float]]) -> float | None:
    """Area under the ROC curve of (defective, score) pairs; None unless both classes are there.

    The Mann-Whitney statistic: the chance that a defective part scores above a good one, ties
    counting half (Hanley and McNeil, 1982).
    """
    ordered = sorted(scores, key=lambda pair: pair[1])
    positives = sum(defective for defective, _ in ordered)
    negatives = len(ordered) - positives
    if positives == 0 or negatives == 0:
        return None
    rank_sum, i = 0.0, 0
    while i < len(ordered):
        j = i
        while j < len(ordered) and ordered[j][1] == ordered[i][1]:
            j += 1
        # Ranks i+1 .. j tie: each counts as their mean.
        rank_sum += sum(defective for defective, _ in ordered[i:j]) * (i + 1 + j) / 2
        i = j
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def score_line(outcomes: Sequence[PartOutcome], counts: LineCounts) -> Score:
    """Score a run. Every part that was triggered is in `outcomes`, once."""
    judged = [o for o in outcomes if o.action != "STOP"]
    wrong = sum(is_escape(o) or is_overkill(o) or o.action is None for o in judged)
    known = [
        (o.defective, o.verdicts[0].p_defect)
        for o in outcomes
        if o.verdicts and o.verdicts[0].p_defect is not None
    ]
    return Score(
        parts=len(outcomes),
        parts_with_one_verdict=sum(len(o.verdicts) == 1 for o in outcomes),
        parts_without_verdict=sum(not o.verdicts for o in outcomes),
        duplicates=sum(max(0, len(o.verdicts) - 1) for o in outcomes),
        late=sum(not o.in_time for o in outcomes),
        escapes=sum(map(is_escape, outcomes)),
        overkill=sum(map(is_overkill, outcomes)),
        judged=len(judged),
        accuracy=(len(judged) - wrong) / len(judged) if judged else None,
        image_auroc=auroc([(d, p) for d, p in known if p is not None]),
        defective=sum(o.defective for o in outcomes),
        pending=sum(any(v.decision == "PENDING" for v in o.verdicts) for o in outcomes),
        stopped=len(outcomes) - len(judged),
        stale=sum(v.stale for o in outcomes for v in o.verdicts),
        emergencies_raised=counts.emergencies_raised,
        emergencies_braked=counts.emergencies_braked,
        emergencies_missed=max(0, counts.emergencies_raised - counts.emergencies_braked),
        explanations_expected=counts.explanations_expected,
        explanations=counts.explanations,
        undelivered=counts.undelivered,
        redelivered=counts.redelivered,
        violations=counts.violations,
        faults=counts.faults,
    )
