"""What the PLC's program wants done. Frozen data; the line's loop does it."""

from dataclasses import dataclass

JsonValue = str | int | float | bool | None
Fields = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Act:
    """Do this with a part: PASS, REJECT, HOLD or STOP."""

    part_number: int
    action: str


@dataclass(frozen=True, slots=True)
class Brake:
    """Stop the belt."""

    cause: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Tell the cell what was done."""

    verdict_id: str
    part_id: str
    part_number: int | None
    action: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something notable, one line of the event log."""

    event: str
    fields: Fields


PlcOutput = Act | Brake | Acknowledge | Note
