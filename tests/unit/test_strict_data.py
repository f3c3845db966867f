"""Data from outside becomes what its class says, or one line that says where it does not, and why."""

import math
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from inspector.config_load import load_yaml
from inspector.errors import ConfigError
from inspector.strict_data import Strict, check, check_json, to_json, to_json_lines, to_plain
from inspector.wrong_value import WrongValueError


class Colour(StrEnum):
    RED = "RED"
    BLUE = "BLUE"


class Leaf(Strict, frozen=True, kw_only=True):
    name: Annotated[str, Meta(pattern=r"^[a-z]{1,8}\Z")] = "leaf"
    mode: Literal["fast", "slow"] = "fast"
    bits: Literal[8, 16] = 8
    colour: Colour | None = None
    level: Annotated[int, Meta(ge=0, le=9)] = 0
    ratio: Annotated[float, Meta(gt=0.0)] | None = None
    file: Path | None = None
    high: bool = False

    def __post_init__(self) -> None:
        if self.level > 5 and not self.high:
            raise ValueError("a level over 5 needs high")


class Branch(Strict, frozen=True, kw_only=True):
    leaf: Leaf
    leaves: tuple[Leaf, ...] = ()
    named: dict[str, Leaf] = {}  # noqa: RUF012  # msgspec copies it
    values: dict[str, bool | int | float | str | tuple[str, ...]] = {}  # noqa: RUF012  # see above


class Tree(Strict, frozen=True, kw_only=True):
    branches: Annotated[tuple[Branch, ...], Meta(min_length=1)]
    first: str = ""

    def __post_init__(self) -> None:
        for index, branch in enumerate(self.branches):
            if branch.leaf.name == "twice":
                raise WrongValueError("is there twice", "branches", index, "leaf", "name")


GOOD = """\
branches:
  - leaf: {name: a}
    leaves:
      - name: b
        level: 7
        high: true
      - file: some/where
        ratio: 2
    named:
      first one:
        mode: slow
      b.c: {colour: RED, bits: 16}
    values:
      gain: 1
      words: [x, y]
first: yes please
"""


def wrong(text: str) -> WrongValueError:
    with pytest.raises(WrongValueError) as caught:
        check(yaml.safe_load(text), Tree)
    assert "\n" not in str(caught.value)
    return caught.value


def test_lists_become_tuples_text_becomes_paths_and_integers_floats() -> None:
    tree = check(yaml.safe_load(GOOD), Tree)
    leaf = tree.branches[0].leaves[1]
    assert (leaf.file, leaf.ratio, type(leaf.ratio)) == (Path("some/where"), 2.0, float)
    assert tree.branches[0].values == {"gain": 1, "words": ("x", "y")}
    assert tree.branches[0].named["b.c"].colour is Colour.RED
    with pytest.raises(AttributeError):
        tree.first = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("was", "now", "line", "message"),
    [
        ("name: a", "nam: a", 2, "branches.0.leaf.nam: there is no such key"),
        ("name: a", 'name: "a\\n"', 2, "branches.0.leaf.name: Expected text matching regex"),
        ("name: a", "name: twice", 2, "branches.0.leaf.name: is there twice"),
        ("leaf: {name: a}", "values: {}", 2, "branches.0.leaf: this key is needed"),
        ("level: 7", "level: -1", 5, "branches.0.leaves.0.level: Expected a whole number >= 0"),
        ("level: 7", "level: 7.0", 5, "branches.0.leaves.0.level: Expected a whole number, got a number"),
        ("level: 7", "level: true", 5, "level: Expected a whole number, got true or false"),
        ("level: 7", 'level: "7"', 5, "level: Expected a whole number, got text"),
        ("high: true", "high: 1", 6, "high: Expected true or false, got a whole number"),
        ("high: true", "high: false", 4, "branches.0.leaves.0: a level over 5 needs high"),
        ("some/where", "5", 7, "branches.0.leaves.1.file: Expected text, got a whole number"),
        ("ratio: 2", "ratio: 0", 8, "branches.0.leaves.1.ratio: Expected a number > 0.0"),
        ("ratio: 2", "ratio: .nan", 8, "branches.0.leaves.1.ratio: must be a finite number"),
        ("ratio: 2", "ratio: [2]", 8, "ratio: Expected a number or nothing, got a list"),
        ("mode: slow", "mode: hunter2", 11, "branches.0.named.first one.mode: must be one of: fast, slow"),
        ("mode: slow", "mode: 5", 11, "branches.0.named.first one.mode: must be one of: fast, slow"),
        ("mode: slow", "", 10, "branches.0.named.first one: Expected a mapping of keys, got nothing"),
        ("bits: 16", "bits: 12", 12, "branches.0.named.b.c.bits: must be one of: 8, 16"),
        ("colour: RED", "colour: red", 12, "branches.0.named.b.c.colour: must be one of: RED, BLUE"),
        ("gain: 1", "gain: null", 14, "branches.0.values.gain: Expected true or false or a whole number or"),
        ("gain: 1", "gain: -.inf", 14, "branches.0.values.gain: must be a finite number"),
        ("gain: 1", "gain: 2020-01-01", 14, "gain: must not be a date or time; quote it"),
        ("gain: 1", "gain: !!binary aGk=", 14, "branches.0.values.gain: must be text, a number, a list"),
        ("gain: 1", "1: 1", 13, "branches.0.values: the key 1 must be text; quote it"),
        ("[x, y]", "[x, 5]", 15, "branches.0.values.words.1: Expected text, got a whole number"),
        ("first: yes please", "first: yes", 16, "first: Expected text, got true or false"),
        ("first: yes please", "second: [1]", 16, "second: there is no such key"),
        (GOOD, "branches: []", 1, "branches: Expected a list of length >= 1"),
        (GOOD, "first: a", 1, "branches: this key is needed"),
        (GOOD, "", 1, "the file: Expected a mapping of keys, got nothing"),
        (GOOD, "- a", 1, "the file: Expected a mapping of keys, got a list"),
        (GOOD, "branches: &a [*a]", 1, "branches.0.0: lies too deep"),
    ],
)
def test_a_mistake_is_one_line_with_file_line_and_key(
    tmp_path: Path, was: str, now: str, line: int, message: str
) -> None:
    assert was in GOOD
    path = tmp_path / "tree.yaml"
    path.write_text(GOOD.replace(was, now))
    with pytest.raises(ConfigError) as caught:
        load_yaml(path, Tree)
    said = str(caught.value)
    assert said.startswith(f"{path}:{line}: ")
    assert message in said
    assert "\n" not in said
    assert "hunter2" not in said


LEAF = st.fixed_dictionaries(
    {},
    optional={
        "name": st.from_regex(r"[a-s]{1,8}", fullmatch=True),
        "mode": st.sampled_from(["fast", "slow"]),
        "colour": st.sampled_from(["RED", "BLUE", None]),
        "level": st.integers(0, 5),
        "ratio": st.none() | st.integers(1, 9) | st.floats(0.1, 9.0),
        "file": st.none() | st.from_regex(r"[a-z]{1,9}", fullmatch=True),
    },
)
KEYS = st.text(min_size=1, max_size=9)
BRANCH = st.fixed_dictionaries(
    {"leaf": LEAF},
    optional={"leaves": st.lists(LEAF, max_size=3), "named": st.dictionaries(KEYS, LEAF, max_size=3)},
)
TREE = st.fixed_dictionaries({"branches": st.lists(BRANCH, min_size=1, max_size=3)})
MISTAKES: list[tuple[str, object, str]] = [
    ("colours", "RED", "there is no such key"),
    ("name", "A", "regex"),
    ("mode", "faster", "fast, slow"),
    ("colour", "GREEN", "RED, BLUE"),
    ("level", 10, "<= 9"),
    ("level", "5", "got text"),
    ("ratio", math.nan, "finite"),
    ("ratio", date(2020, 1, 1), "quote it"),
    ("file", 5, "Expected text"),
]


def leaves(branches: list[dict[str, Any]]) -> list[tuple[list[str], dict[str, Any]]]:
    """Every leaf with the keys that lead to it."""
    found: list[tuple[list[str], dict[str, Any]]] = []
    for index, branch in enumerate(branches):
        here = ["branches", str(index)]
        found.append(([*here, "leaf"], branch["leaf"]))
        found += (([*here, "leaves", str(i)], leaf) for i, leaf in enumerate(branch.get("leaves", [])))
        found += (([*here, "named", name], leaf) for name, leaf in branch.get("named", {}).items())
    return found


@given(TREE, st.sampled_from(MISTAKES), st.data())
def test_the_keys_of_one_mistake_lead_to_it(
    tree: dict[str, Any], mistake: tuple[str, object, str], data: st.DataObject
) -> None:
    check(tree, Tree)
    keys, leaf = data.draw(st.sampled_from(leaves(tree["branches"])))
    key, value, reason = mistake
    leaf[key] = value
    with pytest.raises(WrongValueError) as caught:
        check(tree, Tree)
    assert caught.value.keys == (*keys, key)
    assert reason in caught.value.reason
    assert len(str(caught.value).splitlines()) == 1


@given(TREE)
def test_what_is_written_as_json_is_read_as_the_same(tree: dict[str, Any]) -> None:
    made = check(tree, Tree)
    assert check_json(to_json(made), Tree) == made
    assert check_json(to_json_lines(made).encode(), Tree) == made
    assert check(to_plain(made), Tree) == made


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["branches", "leaf", "leaves", "named", "values", "name", "level"]) | KEYS,
            inner,
            max_size=3,
        )
    ),
    max_leaves=9,
)


@given(ANYTHING)
def test_anything_else_is_refused_with_one_line(data: object) -> None:
    try:
        check(data, Tree)
    except WrongValueError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  # most are wrong, not all


@pytest.mark.parametrize("text", [b"", b"{", b'{"branches": NaN}', b"\xff", b'{"first": "\xff"}'])
def test_what_is_no_json_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(WrongValueError, match="is not JSON"):
        check_json(text, Tree)
