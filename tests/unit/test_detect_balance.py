"""What made-up defects tell of a map's halves: which counts how much, and at which scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.detect.model.manifest import InputLayout
from inspector.detect.teaching.balance import Balance, Rehearsal, find_balance
from inspector.detect.teaching.features import compile_bytes
from inspector.detect.teaching.graph import F32, IMAGE, SCORE_MAP, GraphBuilder, finish

GOOD, MADE_UP, ROWS, COLUMNS = 12, 16, 16, 20
GOOD_SCORES, MADE_UP_SCORES = np.full(GOOD, 1.5), np.full(MADE_UP, 4.0)


def rehearsed(*, shows_in_detail: bool, shows_in_coarse: bool, seed: int = 0) -> tuple[Rehearsal, F32, F32]:
    """Both halves are noise, but for a square of a defect in those that it shows in."""
    rng = np.random.default_rng(seed)
    shape = (GOOD + MADE_UP, ROWS, COLUMNS)
    detail, coarse = (rng.lognormal(0, 0.3, shape).astype(np.float32) for _ in range(2))
    change = np.zeros((MADE_UP, ROWS, COLUMNS), dtype=np.float32)
    for index in range(MADE_UP):
        row, column = rng.integers(1, ROWS - 5), rng.integers(1, COLUMNS - 5)
        place = (slice(row, row + 4), slice(column, column + 4))
        change[index][place] = 40.0
        for half, shows in ((detail, shows_in_detail), (coarse, shows_in_coarse)):
            if shows:
                half[GOOD + index][place] *= 3.0
    f16 = detail.astype(np.float16)
    rehearsal = Rehearsal(f16[:GOOD], f16[GOOD:], change.astype(np.float16))
    return rehearsal, coarse[:GOOD], coarse[GOOD:]


def found(rehearsal: Rehearsal, good: F32, made_up: F32) -> Balance:
    return find_balance(rehearsal, list(good), list(made_up), GOOD_SCORES, MADE_UP_SCORES)


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_the_half_that_shows_defects_counts(seed: int) -> None:
    detail = found(*rehearsed(shows_in_detail=True, shows_in_coarse=False, seed=seed))
    assert detail.detail_power >= 4 * detail.coarse_power
    coarse = found(*rehearsed(shows_in_detail=False, shows_in_coarse=True, seed=seed))
    assert coarse.coarse_power >= 4 * coarse.detail_power
    both = found(*rehearsed(shows_in_detail=True, shows_in_coarse=True, seed=seed))
    assert 0.2 < both.detail_power / both.coarse_power < 5


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_the_maps_peaks_lie_where_the_scores_lie(seed: int) -> None:
    """Of made-up defects at least as high: else what the score rejects would show nowhere."""
    rehearsal, good, made_up = rehearsed(shows_in_detail=True, shows_in_coarse=True, seed=seed)
    for made_up_score in (1.7, 10.0):
        scores = np.full(MADE_UP, made_up_score)
        balance = find_balance(rehearsal, list(good), list(made_up), GOOD_SCORES, scores)
        of_good, of_made_up = (
            float(
                np.median(
                    [balance.of(*one).max() for one in zip(detail.astype(np.float32), other, strict=True)]
                )
            )
            for detail, other in ((rehearsal.good, good), (rehearsal.made_up, made_up))
        )
        assert of_good == pytest.approx(1.5, rel=0.05)
        assert of_made_up >= 0.95 * made_up_score
    assert of_made_up == pytest.approx(10.0, rel=0.05)


def test_defects_that_nobody_can_see_give_a_map_all_the_same() -> None:
    """Too faint to count as changed, or a picture of nothing."""
    rehearsal, good, made_up = rehearsed(shows_in_detail=True, shows_in_coarse=True)
    faint = Rehearsal(rehearsal.good, rehearsal.made_up, 0 * rehearsal.change)
    blank = Rehearsal(0 * rehearsal.good, 0 * rehearsal.made_up, rehearsal.change)
    for one, balance in (
        (rehearsal, found(faint, good, made_up)),
        (blank, found(blank, 0 * good, 0 * made_up)),
    ):
        assert np.isfinite(balance.of(one.made_up[0].astype(np.float32), made_up[0])).all()
        assert balance.detail_power + balance.coarse_power > 0


@settings(max_examples=10)
@given(
    st.sampled_from([(0.5, 0.5), (0.2, 1.1), (0.0, 1.7), (0.6, 0.0)]),
    st.sampled_from([1.0, 0.3, 2.5]),
    st.integers(0, 99),
)
def test_the_graph_gives_the_same_map(powers: tuple[float, float], scale: float, seed: int) -> None:
    balance = Balance(*powers, scale)
    detail, coarse = np.random.default_rng(seed).lognormal(size=(2, 4, 5)).astype(np.float32)
    graph = GraphBuilder()
    graph.add("Cast", IMAGE, to=1)  # the graph must read its input
    halves = [
        graph.constant(half) if power else None for half, power in zip((detail, coarse), powers, strict=True)
    ]
    graph.add("Identity", balance.add_to(graph, *halves), name=SCORE_MAP)
    layout = InputLayout(width_px=8, height_px=8, pixel_format="Mono8")
    model = finish(graph, layout, {SCORE_MAP: (4, 5)}, "map")
    got = compile_bytes(model.SerializeToString(), 1)({IMAGE: np.zeros((1, 8, 8, 1), np.uint8)})[SCORE_MAP]
    np.testing.assert_allclose(got, balance.of(detail, coarse), rtol=1e-3)
