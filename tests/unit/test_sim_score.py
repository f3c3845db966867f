"""The score against the ground truth: definitions that a quality engineer would check by hand."""

from hypothesis import given
from hypothesis import strategies as st

from line_sim.score import LineCounts, PartOutcome, VerdictSeen, auroc, score_line

ACTIONS = ("PASS", "REJECT", "HOLD", "STOP")
DECISIONS = {"PASS": "CONFIRMED_ACTION", "REJECT": "CONFIRMED_ACTION", "HOLD": "PENDING"}


def _verdict(name: str, action: str, received_ns: int = 50, **changes: object) -> VerdictSeen:
    fields: dict[str, object] = {
        "verdict_id": name,
        "decision": DECISIONS.get(action, "EMERGENCY_BRAKE"),
        "action": action,
        "received_ns": received_ns,
        "p_defect": 0.5,
        "stale": False,
        **changes,
    }
    return VerdictSeen(**fields)  # type: ignore[arg-type]


def _part(name: str, defective: bool, *verdicts: VerdictSeen, action: str | None = "") -> PartOutcome:
    chosen = verdicts[0].action if action == "" else action
    return PartOutcome(part_id=name, defective=defective, deadline_ns=100, verdicts=verdicts, action=chosen)


def test_by_hand() -> None:
    parts = [
        _part("right-pass", False, _verdict("1", "PASS", p_defect=0.1)),
        _part("right-reject", True, _verdict("2", "REJECT", p_defect=0.9)),
        _part("right-hold", True, _verdict("3", "HOLD", p_defect=0.6)),
        _part("escape", True, _verdict("4", "PASS", p_defect=0.2)),
        _part("overkill-reject", False, _verdict("5", "REJECT", p_defect=0.8)),
        _part("overkill-hold", False, _verdict("6", "HOLD", p_defect=None)),
        _part("stopped", True, _verdict("7", "STOP", p_defect=None)),
        _part("late", False, _verdict("8", "PASS", received_ns=101), action="HOLD"),
        _part("undelivered", True, _verdict("9", "HOLD", usable=False), action="HOLD"),
        _part("stale", False, _verdict("10", "PASS", stale=True), action="HOLD"),
        _part("none", False, action="HOLD"),
        _part("twice", False, _verdict("11", "PASS"), _verdict("12", "REJECT")),
    ]
    score = score_line(parts, LineCounts(emergencies_raised=2, emergencies_braked=1))
    assert (score.parts, score.parts_with_one_verdict, score.parts_without_verdict) == (12, 10, 1)
    assert score.duplicates == 1
    assert score.late == 4
    assert (score.escapes, score.overkill) == (1, 5)
    assert (score.judged, score.stopped) == (11, 1)
    assert score.accuracy == 5 / 11
    assert (score.stale, score.pending) == (1, 3)
    assert score.emergencies_missed == 1
    assert not score.complete


def test_nothing_at_all() -> None:
    score = score_line([], LineCounts())
    assert score.complete
    assert score.accuracy is None
    assert score.image_auroc is None


verdicts = st.builds(
    _verdict,
    st.uuids().map(str),
    st.sampled_from(ACTIONS),
    st.integers(0, 200),
    stale=st.booleans(),
    p_defect=st.none() | st.floats(0, 1),
)
outcomes = st.lists(
    st.builds(
        lambda name, defective, seen, action: _part(name, defective, *seen, action=action),
        st.uuids().map(str),
        st.booleans(),
        st.lists(verdicts, max_size=3),
        st.sampled_from([*ACTIONS, None]),
    ),
    max_size=30,
)


@given(outcomes)
def test_every_part_is_counted_once(parts: list[PartOutcome]) -> None:
    score = score_line(parts, LineCounts())
    assert score.judged + score.stopped == len(parts)
    several = sum(len(p.verdicts) > 1 for p in parts)
    assert score.parts_with_one_verdict + score.parts_without_verdict + several == len(parts)
    assert score.complete == all(len(p.verdicts) == 1 for p in parts)
    undecided = sum(p.action is None for p in parts)
    if score.judged:
        assert score.accuracy is not None
        right = round(score.accuracy * score.judged)
        assert right == score.judged - score.escapes - score.overkill - undecided
    assert score_line(list(reversed(parts)), LineCounts()).escapes == score.escapes


pairs = st.lists(st.tuples(st.booleans(), st.integers(0, 8).map(lambda n: n / 8)), max_size=40)


@given(pairs)
def test_auroc_is_the_share_of_pairs_in_the_right_order(scores: list[tuple[bool, float]]) -> None:
    bad = [s for defective, s in scores if defective]
    good = [s for defective, s in scores if not defective]
    if not bad or not good:
        assert auroc(scores) is None
        return
    wins = sum((b > g) + 0.5 * (b == g) for b in bad for g in good)
    value = auroc(scores)
    assert value is not None
    assert abs(value - wins / (len(bad) * len(good))) < 1e-12
