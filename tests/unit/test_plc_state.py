"""The state that the PLC sees: it starts by itself, stops and starts by command, and an emergency shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.plc.state import TRANSITIONS, CellState, State
from inspector.types import Command, CommandKind


def tell(state: CellState, *kinds: CommandKind) -> State:
    for kind in kinds:
        state.command(Command(kind=kind, source="hmi", received_ns=1))
    return state.now


def running() -> CellState:
    state = CellState()
    state.services_up()
    return state


def test_it_starts_by_itself_when_all_services_are_there() -> None:
    state = CellState()
    assert tell(state) is State.PREOPERATIONAL
    assert tell(state, CommandKind.START) is State.PREOPERATIONAL, "nobody can hurry it"
    state.services_up()
    assert tell(state) is State.CONTINUOUS_EXECUTION


def test_stop_holds_until_start() -> None:
    state = running()
    assert tell(state, CommandKind.STOP) is State.READY
    state.services_up()
    assert state.now is State.READY, "a service that comes back does not start the line"
    assert tell(state, CommandKind.RESET) is State.READY
    assert tell(state, CommandKind.START) is State.CONTINUOUS_EXECUTION


@pytest.mark.parametrize("stopped", [False, True])
def test_an_emergency_is_an_error_and_ends_where_it_began(stopped: bool) -> None:
    state = running()
    if stopped:
        tell(state, CommandKind.STOP)
    before = state.now
    state.latched(True)
    assert state.now is State.ERROR
    assert tell(state, CommandKind.RESET) is State.ERROR, "until the arbiter has unlatched"
    state.latched(False)
    assert state.now is before


@given(st.lists(st.one_of(st.sampled_from(CommandKind), st.booleans())))
def test_while_latched_it_never_looks_operational(happenings: list[CommandKind | bool]) -> None:
    state = running()
    for happening in happenings:
        if isinstance(happening, bool):
            state.latched(happening)
        else:
            tell(state, happening)
        assert state.now in State
    state.latched(True)
    assert state.now is State.ERROR


def test_every_transition_is_between_states_that_are_published() -> None:
    assert {state for pair in TRANSITIONS.items() for state in (pair[0][0], pair[1])} <= set(State)


def test_a_line_that_was_stopped_before_a_restart_waits_for_start() -> None:
    state = CellState(stopped=True)
    states = []
    for act in (
        state.services_up,
        state.services_up,
        lambda: tell(state, CommandKind.START),
        state.services_up,
    ):
        act()
        states.append(state.now)
    assert states == [State.READY, State.READY, State.CONTINUOUS_EXECUTION, State.CONTINUOUS_EXECUTION]
    assert not state.stopped


def test_a_stop_holds_that_comes_while_services_start() -> None:
    # After a crash it has waited in the broker; where a model cannot be loaded another one can be selected.
    state = CellState()
    assert tell(state, CommandKind.STOP) is State.PREOPERATIONAL
    assert tell(state, CommandKind.START) is State.PREOPERATIONAL
    assert state.stopped
    state.services_up()
    assert state.now is State.READY
    assert tell(state, CommandKind.START) is State.CONTINUOUS_EXECUTION


def test_while_a_recipe_is_prepared_it_is_not_operational_and_takes_no_start() -> None:
    state = running()
    tell(state, CommandKind.STOP)
    state.changing(True)
    state.services_up()
    assert tell(state) is State.PREOPERATIONAL
    assert tell(state, CommandKind.START) is State.PREOPERATIONAL
    assert state.stopped, "which is what the arbiter after it begins with"
    state.latched(True)
    assert tell(state) is State.ERROR, "an emergency shows first"
    state.latched(False)
    state.changing(False)  # it could not be used
    assert tell(state) is State.READY


def test_a_recipe_is_selected_by_others_than_the_state() -> None:
    state = running()
    assert tell(state, CommandKind.SELECT_RECIPE) is State.CONTINUOUS_EXECUTION
