"""When a recipe may be selected: the cell stopped, no emergency, no part open, nothing in hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.clock import NS_PER_S
from inspector.plc.changeover import Changeover

NAMES = ("a", "b", "c")
QUIET = {"stopped": True, "latched": False, "parts_open": False}


def changeover() -> Changeover:
    return Changeover(NAMES, "a")


def test_another_recipe_is_taken_in_hand_while_the_cell_is_stopped() -> None:
    cell = changeover()
    assert cell.select("b", **QUIET) == ""
    assert cell.pending == "b"


@pytest.mark.parametrize(
    ("recipe", "change", "expected"),
    [
        ("d", {}, "there is no recipe d; there are a, b, c"),
        ("", {}, "there is no recipe ; there are a, b, c"),
        ("b", {"stopped": False}, "send STOP"),
        ("b", {"latched": True}, "RESET it first"),
        ("b", {"parts_open": True}, "send it again"),
    ],
)
def test_a_refusal_says_what_to_do(recipe: str, change: dict[str, bool], expected: str) -> None:
    cell = changeover()
    assert expected in cell.select(recipe, **(QUIET | change))
    assert cell.pending == ""


def test_without_recipes_it_says_where_to_list_them() -> None:
    assert "under recipes" in Changeover((), "").select("a", **QUIET)


def test_a_repeated_command_changes_nothing_and_is_no_mistake() -> None:
    cell = changeover()
    assert cell.select("a", stopped=False, latched=True, parts_open=True) == ""
    assert cell.pending == ""
    cell.select("b", **QUIET)
    assert cell.select("b", **QUIET) == ""
    assert cell.pending == "b"


def test_while_one_is_in_hand_every_other_is_refused_also_the_one_in_use() -> None:
    cell = changeover()
    cell.select("b", **QUIET)
    for other in ("a", "c"):
        assert "b is being prepared" in cell.select(other, **QUIET)
    cell.pending = ""  # the supervisor has refused it
    assert cell.select("c", **QUIET) == ""


@given(
    st.lists(st.tuples(st.sampled_from([*NAMES, "d", ""]), st.booleans(), st.booleans(), st.booleans())),
)
def test_nothing_is_taken_in_hand_on_a_line_that_may_be_running(
    asked: list[tuple[str, bool, bool, bool]],
) -> None:
    cell = changeover()
    for recipe, stopped, latched, parts_open in asked:
        before = cell.pending
        refused = cell.select(recipe, stopped=stopped, latched=latched, parts_open=parts_open)
        if cell.pending != before:
            assert (before, cell.pending, refused) == ("", recipe, "")
            assert recipe in {"b", "c"}
            assert (stopped, latched, parts_open) == (True, False, False)
        elif not refused:
            assert recipe == (before or "a")


def test_a_program_that_asks_in_every_cycle_is_answered_now_and_then() -> None:
    cell = changeover()
    told = [cell.is_news("not stopped", NS_PER_S + step * NS_PER_S // 100) for step in range(2500)]
    assert [step for step, news in enumerate(told) if news] == [0, 1000, 2000]
    assert cell.is_news("another reason", 26 * NS_PER_S)
