"""The mechanics of the line: belt with encoder and photo-eye, rejector, operator. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from line_sim.events import (
    BeltMoves,
    Event,
    Lane,
    LineEmpty,
    PartAtEye,
    PartAtRejector,
    PartComing,
    PartLeft,
    ResetPressed,
    SetLane,
    StartBelt,
    StopBelt,
)
from line_sim.parts import PlannedPart
from line_sim.scenario import MAX_LEAD_MS, Scenario
from line_sim.sensors import Sensor
from line_sim.simtime import Device, Scheduler, Update

NS_PER_S: Final = 1_000_000_000
RUN_UP_S: Final = 0.5  # the first part reaches the photo-eye so long after the belt's start
COMING_S: Final = (MAX_LEAD_MS + 5.0) / 1000


@dataclass(frozen=True, slots=True, order=True)
class _Crossing:
    """A part passes a station when the belt has travelled `travel_mm`."""

    travel_mm: float
    station: int
    index: int


_COMING, _EYE, _REJECTOR = range(3)


class Belt:
    """Carries parts past the photo-eye to the rejector, at a constant speed, or stands still.

    Its start and stop take no time. Inputs: StartBelt, StopBelt.
    """

    def __init__(
        self,
        parts: Sequence[PlannedPart],
        *,
        speed_mm_s: float,
        parts_per_s: float,
        rejector_mm: float,
        encoder_ticks_per_mm: float,
    ) -> None:
        self._parts = tuple(parts)
        self._speed = speed_mm_s
        self._ticks_per_mm = encoder_ticks_per_mm
        pitch = speed_mm_s / parts_per_s
        eye = [speed_mm_s * RUN_UP_S + i * pitch for i in range(len(self._parts))]
        self._eye_mm = eye
        self._crossings = sorted(
            [_Crossing(mm - speed_mm_s * COMING_S, _COMING, i) for i, mm in enumerate(eye)]
            + [_Crossing(mm, _EYE, i) for i, mm in enumerate(eye)]
            + [_Crossing(mm + rejector_mm, _REJECTOR, i) for i, mm in enumerate(eye)]
        )
        self._next = 0
        self._announced: set[int] = set()  # coming, and not yet at the photo-eye
        self._running = False
        self._base_ns = 0
        self._base_mm = 0.0

    def update(self, now_ns: int, inputs: Sequence[Event]) -> Update[Event]:
        outputs = self._pass_stations(now_ns)
        for event in inputs:
            match event:
                case StartBelt() if not self._running:
                    self._running, self._base_ns = True, now_ns
                    outputs.append(BeltMoves(True, self._ticks()))
                    outputs.extend(self._coming(index) for index in sorted(self._announced))
                case StopBelt() if self._running:
                    self._base_mm, self._base_ns = self._travel_mm(now_ns), now_ns
                    self._running = False
                    outputs.append(BeltMoves(False, self._ticks()))
                case _:
                    pass
        return Update(tuple(outputs), self._wake_ns())

    def _pass_stations(self, now_ns: int) -> list[Event]:
        outputs: list[Event] = []
        while (due := self._wake_ns()) is not None and due <= now_ns:
            crossing = self._crossings[self._next]
            self._next += 1
            part = self._parts[crossing.index]
            if crossing.station == _COMING:
                self._announced.add(crossing.index)
                outputs.append(self._coming(crossing.index))
            elif crossing.station == _EYE:
                self._announced.discard(crossing.index)
                outputs.append(PartAtEye(part, round(crossing.travel_mm * self._ticks_per_mm)))
            else:
                outputs.append(PartAtRejector(part))
                if self._next == len(self._crossings):
                    outputs.append(LineEmpty())
        return outputs

    def _coming(self, index: int) -> PartComing:
        return PartComing(self._parts[index], self._time_of(self._eye_mm[index]))

    def _time_of(self, travel_mm: float) -> int:
        return self._base_ns + round((travel_mm - self._base_mm) / self._speed * NS_PER_S)

    def _travel_mm(self, now_ns: int) -> float:
        moved = (now_ns - self._base_ns) * self._speed / NS_PER_S if self._running else 0.0
        return self._base_mm + moved

    def _ticks(self) -> int:
        return round(self._base_mm * self._ticks_per_mm)

    def _wake_ns(self) -> int | None:
        if not self._running or self._next == len(self._crossings):
            return None
        return self._time_of(self._crossings[self._next].travel_mm)


class Rejector:
    """Sorts parts as it was told. Inputs: SetLane, PartAtRejector.

    A part of which nothing was said passes, as on a real line without interlock.
    """

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {}

    def update(self, now_ns: int, inputs: Sequence[Event]) -> Update[Event]:  # noqa: ARG002 - the protocol's
        outputs: list[Event] = []
        for event in inputs:
            if isinstance(event, SetLane):
                self._lanes[event.part_number] = event.lane
            elif isinstance(event, PartAtRejector):
                lane = self._lanes.pop(event.part.number, None)
                outputs.append(PartLeft(event.part, lane or Lane.PASS, told=lane is not None))
        return Update(tuple(outputs))


class Operator:
    """Clears an emergency: presses reset `reset_after_s` after the belt has stopped."""

    def __init__(self, reset_after_s: float) -> None:
        self._delay_ns = round(reset_after_s * NS_PER_S)
        self._reset_ns: int | None = None

    def update(self, now_ns: int, inputs: Sequence[Event]) -> Update[Event]:
        outputs: tuple[Event, ...] = ()
        if self._reset_ns is not None and now_ns >= self._reset_ns:
            self._reset_ns, outputs = None, (ResetPressed(),)
        for event in inputs:
            if isinstance(event, BeltMoves):
                self._reset_ns = None if event.running else now_ns + self._delay_ns
        return Update(outputs, self._reset_ns)


BELT: Final = "belt"
REJECTOR: Final = "rejector"
OPERATOR: Final = "operator"


def build_world(scenario: Scenario, seed: int, parts: Sequence[PlannedPart]) -> Scheduler[Event]:
    """Wire the whole line. The belt stands until it is given StartBelt."""
    belt = Belt(
        parts,
        speed_mm_s=scenario.belt.speed_mm_s,
        parts_per_s=scenario.parts_per_s,
        rejector_mm=scenario.belt.rejector_mm,
        encoder_ticks_per_mm=scenario.belt.encoder_ticks_per_mm,
    )
    sensors = {
        f"sensor.{model.id}": Sensor(
            model, [a for a in scenario.anomalies if a.sensor == model.id], seed=seed, index=index
        )
        for index, model in enumerate(scenario.sensors)
    }
    devices: dict[str, Device[Event]] = {
        BELT: belt,
        REJECTOR: Rejector(),
        OPERATOR: Operator(scenario.reset_after_s),
        **sensors,
    }
    return Scheduler(devices, {BELT: [REJECTOR, OPERATOR, *sensors], OPERATOR: list(sensors)})
