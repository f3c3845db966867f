"""Every short history of a line, one after the other: the promises hold, and the table is the truth."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from decide_line import (
    POLICY,
    Line,
    assert_all_judged_and_replayable,
    assert_promises,
    opinions_offered,
    reading,
    result,
    setup_for,
    trigger,
)
from msgspec.structs import replace

from inspector.decide import arbiter as arbiter_module
from inspector.decide.diagram import drawing
from inspector.decide.states import TRANSITIONS, PartState, Why, after
from inspector.errors import InvariantError
from inspector.types import Command, CommandKind, Opinion, PartTrigger, ResultStatus

PAGE = Path(__file__).parents[2] / "docs" / "arbiter.md"
DEPTH = 4
SETUP = replace(setup_for(), decision=replace(POLICY, deadline_ms=100, max_skew_ms=20, opinion_budget_ms=30))


class History:
    """One line and what can happen to it next. All happens near the newest part."""

    def __init__(self) -> None:
        self.line, self.now_ms, self.seq = Line(SETUP), 1000.0, 0
        self.parts: list[PartTrigger] = []

    @property
    def part_ms(self) -> float:
        return self.parts[-1].trigger_ns / 1e6 if self.parts else self.now_ms

    def next(self) -> int:
        self.seq += 1
        return self.seq

    def arrives(self, late_ms: float = 0.0) -> None:
        part = trigger(len(self.parts) + 1, self.now_ms - late_ms, self.now_ms)
        self.parts.append(part)
        self.line.at(self.now_ms, trigger=part)

    def repeats(self) -> None:
        if self.parts:
            self.line.at(self.now_ms, trigger=self.parts[-1])

    def seen(self, p: float | None) -> None:
        status = ResultStatus.OK if p is not None else ResultStatus.INVALID_FRAME
        self.line.at(self.now_ms, result=result(self.next(), self.part_ms + 1, p, status=status))

    def read(self, urgency: float, p: float) -> None:
        self.line.at(self.now_ms, event=reading(self.next(), self.part_ms + 2, urgency, p, self.now_ms))

    def reset(self) -> None:
        at_ns = round(self.now_ms * 1e6)
        self.line.at(self.now_ms, command=Command(kind=CommandKind.RESET, source="hmi", received_ns=at_ns))

    def opined(self, p: float) -> None:
        opinion = Opinion(part_id=f"P{len(self.parts)}", p_defect=p, latency_ms=1, model_sha256="")
        self.line.at(self.now_ms, opinion=opinion)

    def wait(self) -> None:
        self.now_ms += 30
        self.line.at(self.now_ms)

    def stall(self) -> None:
        self.now_ms += 90
        self.line.stall(self.now_ms)


THINGS: tuple[Callable[[History], object], ...] = (
    History.arrives,
    lambda line: line.arrives(late_ms=200),
    History.repeats,
    lambda line: line.seen(0.99),
    lambda line: line.seen(0.6),
    lambda line: line.seen(None),
    lambda line: line.read(0.0, 0.95),
    lambda line: line.read(0.95, 0.5),
    History.reset,
    lambda line: line.line.at(line.now_ms, health=opinions_offered(line.now_ms)),
    lambda line: line.opined(0.99),
    lambda line: line.opined(0.5),
    History.wait,
    History.stall,
)


def test_every_history_of_four_things_keeps_the_promises_by_the_moves_of_the_table_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved: set[tuple[PartState, Why]] = set()

    def watched(before: PartState, why: Why) -> PartState:
        moved.add((before, why))
        return after(before, why)

    monkeypatch.setattr(arbiter_module, "after", watched)
    for things in itertools.product(THINGS, repeat=DEPTH):
        history = History()
        for thing in things:
            thing(history)
        history.line.at(history.now_ms + 500)
        assert_promises(history.line, SETUP)
        judged = {verdict.part_id for verdict in history.line.verdicts} - {""}
        assert judged == {part.part_id for part in history.parts}
    assert moved == {(each.before, each.why) for each in TRANSITIONS}


def test_histories_replay() -> None:
    for things in itertools.product(THINGS[::2], repeat=3):
        history = History()
        for thing in things:
            thing(history)
        history.line.at(history.now_ms + 500)
        assert_all_judged_and_replayable(history.line, SETUP, history.parts)


def test_a_move_that_the_table_does_not_have_is_a_defect_of_ours() -> None:
    with pytest.raises(InvariantError, match="judged cannot be moved by: due"):
        after(PartState.JUDGED, Why.DUE)


def test_the_drawing_in_the_docs_is_the_table() -> None:
    assert drawing() in PAGE.read_text(encoding="utf-8"), (
        "put what inspector.decide.diagram.redrawn gives into docs/arbiter.md"
    )
