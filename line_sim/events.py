"""What happens in the simulated world. Frozen data; times are simulated ns."""

from dataclasses import dataclass
from enum import StrEnum

from line_sim.parts import PlannedPart


class Lane(StrEnum):
    """Where the rejector sends a part."""

    PASS = "PASS"
    REJECT = "REJECT"
    HOLD = "HOLD"


@dataclass(frozen=True, slots=True)
class StartBelt:
    """From outside: run."""


@dataclass(frozen=True, slots=True)
class StopBelt:
    """From outside: stop at once."""


@dataclass(frozen=True, slots=True)
class BeltMoves:
    """The belt has started or stopped. `encoder_ticks` is how far it has come."""

    running: bool
    encoder_ticks: int


@dataclass(frozen=True, slots=True)
class PartComing:
    """A part will be at the photo-eye at `eye_ns` unless the belt stops before."""

    part: PlannedPart
    eye_ns: int


@dataclass(frozen=True, slots=True)
class PartAtEye:
    part: PlannedPart
    encoder_ticks: int


@dataclass(frozen=True, slots=True)
class PartAtRejector:
    part: PlannedPart


@dataclass(frozen=True, slots=True)
class SetLane:
    """From outside: what is to become of a part."""

    part_number: int
    lane: Lane


@dataclass(frozen=True, slots=True)
class PartLeft:
    """The rejector has sorted a part. `told` is False when nobody had said where it goes."""

    part: PlannedPart
    lane: Lane
    told: bool


@dataclass(frozen=True, slots=True)
class LineEmpty:
    """The last part has left."""


@dataclass(frozen=True, slots=True)
class ResetPressed:
    """The operator has cleared the emergency and pressed reset."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One sensor reading. `part_number` is None for a periodic one.

    `quality` and `urgency` are None where the sensor does not state them. `abnormal` is the
    ground truth: the scenario made this reading so.
    """

    sensor_id: str
    kind: str
    value: float
    unit: str
    seq: int
    part_number: int | None
    quality: str | None = None
    urgency: float | None = None
    abnormal: bool = False


Event = (
    StartBelt
    | StopBelt
    | BeltMoves
    | PartComing
    | PartAtEye
    | PartAtRejector
    | SetLane
    | PartLeft
    | LineEmpty
    | ResetPressed
    | Reading
)
