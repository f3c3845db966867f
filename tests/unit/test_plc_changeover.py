"""When a recipe may be selected: the cell stopped, no emergency, no part open, nothing in hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.clock import NS_PER_S
from inspector.plc.changeover import Changeover

NAMES = ("a", "b", "c")
QUIET = {"stopped": True, "latched": False, "parts_open": False}


@pytest.mark.parametrize(
    ("recipe", "change", "expected"),
    [
        ("d", {}, "there is no recipe d; there are a, b, c"),
        ("b", {"stopped": False}, "send STOP"),
        ("b", {"latched": True}, "RESET it first"),
        ("b", {"parts_open": True}, "send it again"),
    ],
)
def test_a_refusal_says_what_to_do(recipe: str, change: dict[str, bool], expected: str) -> None:
    assert expected in Changeover(NAMES, "a").why_not(recipe, **(QUIET | change))


def test_without_recipes_it_says_where_to_list_them() -> None:
    assert "under recipes" in Changeover((), "").why_not("a", **QUIET)


def test_while_one_is_in_hand_every_other_is_refused_also_the_one_in_use() -> None:
    cell = Changeover(NAMES, "a")
    assert (cell.target, cell.why_not("b", **QUIET)) == ("a", "")
    cell.pending = "b"
    assert cell.target == "b"
    for other in ("a", "c"):
        assert "b is being prepared" in cell.why_not(other, **QUIET)
    cell.pending = ""  # the supervisor has refused it
    assert (cell.target, cell.why_not("c", **QUIET)) == ("a", "")


@given(st.sampled_from([*NAMES, "d", ""]), st.sampled_from(["", "b"]), *[st.booleans()] * 3)
def test_nothing_is_taken_in_hand_on_a_line_that_may_be_running(
    recipe: str, pending: str, stopped: bool, latched: bool, parts_open: bool
) -> None:
    cell = Changeover(NAMES, "a")
    cell.pending = pending
    may_be = not cell.why_not(recipe, stopped=stopped, latched=latched, parts_open=parts_open)
    assert may_be == (recipe in NAMES and not pending and stopped and not latched and not parts_open)


def test_a_program_that_asks_in_every_cycle_is_answered_now_and_then() -> None:
    cell = Changeover(NAMES, "a")
    told = [cell.is_news("not stopped", NS_PER_S + step * NS_PER_S // 100) for step in range(2500)]
    assert [step for step, news in enumerate(told) if news] == [0, 1000, 2000]
    assert cell.is_news("another reason", 26 * NS_PER_S)
