"""The cell's operational state after OPC 40100-1 (machine vision), section 8. Pure.

Automatic operation only: the cell initialises itself and starts by itself, so that a power cut at
night needs nobody. SingleExecution is not used, because every part comes by its own trigger.
"""

from enum import StrEnum

from inspector.types import Command, CommandKind


class State(StrEnum):
    """Names of OPC 40100-1. Preoperational, Halted and Error are states beside Operational."""

    PREOPERATIONAL = "Preoperational"
    HALTED = "Halted"
    ERROR = "Error"
    READY = "Ready"
    CONTINUOUS_EXECUTION = "ContinuousExecution"


# State, what happens, next state. What is not listed changes nothing.
TRANSITIONS: dict[tuple[State, str], State] = {
    (State.PREOPERATIONAL, "services up"): State.CONTINUOUS_EXECUTION,
    (State.CONTINUOUS_EXECUTION, "STOP"): State.READY,
    (State.READY, "START"): State.CONTINUOUS_EXECUTION,
}


class CellState:
    """Where the cell is. One thread.

    A service that fails later does not change the state: it is back in a second, and until then
    verdicts say what is missing. A part that comes in Ready gets its verdict all the same, because
    one that is on the belt when somebody stops the line must not pass unseen. `stopped` is whether an
    operator had stopped the line before this process began: only START ends that. A STOP that comes while
    services start holds too; START cannot hurry them. While another recipe is being prepared the cell is not
    operational, and takes neither.
    """

    def __init__(self, *, stopped: bool = False) -> None:
        self._state = State.PREOPERATIONAL
        self.stopped = stopped
        self._latched = False
        self._changing = False

    @property
    def now(self) -> State:
        """The state to publish: Error while an emergency is latched; it ends by RESET."""
        if self._latched and self._state is not State.PREOPERATIONAL:
            return State.ERROR
        return State.PREOPERATIONAL if self._changing else self._state

    def services_up(self) -> None:
        """All that the cell cannot do without is there."""
        self._take("services up")
        if self.stopped:
            self._take(CommandKind.STOP.value)

    def command(self, command: Command) -> None:
        """An operator's START or STOP; RESET is the arbiter's, which unlatches."""
        if self._changing:
            return
        if command.kind is CommandKind.STOP:
            self.stopped = True
        elif command.kind is CommandKind.START and self._state is not State.PREOPERATIONAL:
            self.stopped = False
        self._take(command.kind.value)

    def latched(self, latched: bool) -> None:
        """Whether an emergency holds the line."""
        self._latched = latched

    def changing(self, changing: bool) -> None:
        """Whether another recipe is being prepared."""
        self._changing = changing

    def _take(self, what: str) -> None:
        self._state = TRANSITIONS.get((self._state, what), self._state)
