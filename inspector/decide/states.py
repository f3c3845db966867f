"""The states of a part and what moves it from one to the next: the arbiter's only table of these.

docs/arbiter.md is drawn from it.
"""

from dataclasses import dataclass
from enum import StrEnum

from inspector.errors import InvariantError


class PartState(StrEnum):
    """Where a part stands."""

    UNKNOWN = "unknown"
    OPEN = "open"
    UNSURE = "unsure"
    ASKED = "asked"
    JUDGED = "judged"


class Why(StrEnum):
    """What moves a part."""

    TRIGGER = "trigger"
    LATE_TRIGGER = "trigger after its deadline"
    LATCHED_TRIGGER = "trigger while an emergency is latched"
    SURE = "evidence complete, confident"
    USELESS = "evidence complete, some of no use"
    DOUBT = "evidence complete, not confident"
    ASK = "not confident, an opinion can still come"
    OPINION = "opinion"
    WINDOW_CLOSED = "no more readings can come"
    DUE = "due"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class Transition:
    """`says` is what the PLC hears of it, "" for nothing."""

    before: PartState
    why: Why
    after: PartState
    says: str = ""


_STATED = "CONFIRMED_ACTION or PENDING"
_HELD = "PENDING: failsafe action"

TRANSITIONS = (
    Transition(PartState.UNKNOWN, Why.TRIGGER, PartState.OPEN),
    Transition(PartState.UNKNOWN, Why.LATCHED_TRIGGER, PartState.JUDGED, "EMERGENCY_BRAKE"),
    Transition(PartState.UNKNOWN, Why.LATE_TRIGGER, PartState.JUDGED, _HELD),
    Transition(PartState.OPEN, Why.SURE, PartState.JUDGED, "CONFIRMED_ACTION"),
    Transition(PartState.OPEN, Why.USELESS, PartState.JUDGED, _HELD),
    Transition(PartState.OPEN, Why.DOUBT, PartState.UNSURE),
    Transition(PartState.OPEN, Why.ASK, PartState.ASKED),
    Transition(PartState.OPEN, Why.WINDOW_CLOSED, PartState.JUDGED, _HELD),
    Transition(PartState.OPEN, Why.DUE, PartState.JUDGED, _STATED),
    Transition(PartState.UNSURE, Why.SURE, PartState.JUDGED, "CONFIRMED_ACTION"),
    Transition(PartState.UNSURE, Why.ASK, PartState.ASKED),
    Transition(PartState.UNSURE, Why.WINDOW_CLOSED, PartState.JUDGED, _HELD),
    Transition(PartState.UNSURE, Why.DUE, PartState.JUDGED, _STATED),
    Transition(PartState.ASKED, Why.SURE, PartState.JUDGED, "CONFIRMED_ACTION"),
    Transition(PartState.ASKED, Why.OPINION, PartState.JUDGED, _STATED),
    Transition(PartState.ASKED, Why.DUE, PartState.JUDGED, _STATED),
    Transition(PartState.OPEN, Why.EMERGENCY, PartState.JUDGED, "EMERGENCY_BRAKE"),
    Transition(PartState.UNSURE, Why.EMERGENCY, PartState.JUDGED, "EMERGENCY_BRAKE"),
    Transition(PartState.ASKED, Why.EMERGENCY, PartState.JUDGED, "EMERGENCY_BRAKE"),
)

_AFTER = {(each.before, each.why): each.after for each in TRANSITIONS}


def after(before: PartState, why: Why) -> PartState:
    """Return the state that follows. Raises InvariantError for a move that the table does not have."""
    try:
        return _AFTER[before, why]
    except KeyError:
        raise InvariantError(f"a part that is {before} cannot be moved by: {why}") from None
