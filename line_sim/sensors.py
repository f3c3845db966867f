"""Sensors of the line: normal readings with scatter, anomalies where the scenario says so. Pure.

The value of a reading depends on the seed, the sensor and the part (or the count of the periodic
reading) only, never on when the belt stood still.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from line_sim.events import BeltMoves, Event, PartComing, Reading, ResetPressed
from line_sim.parts import PlannedPart, Stream, stream_rng
from line_sim.scenario import Anomaly, SensorModel
from line_sim.simtime import Update

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
_PERIODIC, _OF_PART, _CHANCE = range(3)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A reading that belongs to a part: at `at_ns`, if the part is at the photo-eye at `eye_ns`."""

    at_ns: int
    eye_ns: int
    part_number: int
    anomaly: Anomaly | None


class Sensor:
    """One sensor. Inputs: PartComing, BeltMoves, ResetPressed. Outputs: Reading, `seq` from 1."""

    def __init__(self, model: SensorModel, anomalies: Sequence[Anomaly], *, seed: int, index: int) -> None:
        self._model = model
        self._anomalies = tuple(anomalies)
        self._seed, self._index = seed, index
        self._planned: dict[tuple[int, int], _Planned] = {}
        self._period_ns = round(model.period_s * NS_PER_S)
        self._periodic_ns = self._period_ns
        self._periodic_count = 0
        self._seq = 0
        self._held = False
        self._alarmed: set[tuple[int, Anomaly]] = set()

    def update(self, now_ns: int, inputs: Sequence[Event]) -> Update[Event]:
        outputs: list[Event] = []
        for event in inputs:
            match event:
                case PartComing(part=part, eye_ns=eye_ns):
                    self._plan(part, eye_ns)
                case BeltMoves(running=False):
                    # These parts come later: the belt announces them again when it starts.
                    self._planned = {k: p for k, p in self._planned.items() if p.eye_ns <= now_ns}
                case ResetPressed() if self._held:
                    self._held = False
                    outputs.append(self._reading(None, None))
                case _:
                    pass
        due = sorted((p.at_ns, key) for key, p in self._planned.items() if p.at_ns <= now_ns)
        for _, key in due:
            planned = self._planned.pop(key)
            if not self._held:
                outputs.append(self._reading(planned.part_number, planned.anomaly))
            if planned.anomaly is not None:
                self._held |= self._model.holds
                self._alarmed.add((planned.part_number, planned.anomaly))
        while self._periodic_ns <= now_ns:
            self._periodic_ns += self._period_ns
            self._periodic_count += 1
            if not self._held:
                outputs.append(self._reading(None, None))
        return Update(tuple(outputs), min([self._periodic_ns, *(p.at_ns for p in self._planned.values())]))

    def _plan(self, part: PlannedPart, eye_ns: int) -> None:
        own = eye_ns - round(self._model.lead_ms * NS_PER_MS)
        self._planned[part.number, -1] = _Planned(own, eye_ns, part.number, None)
        for i, anomaly in enumerate(self._anomalies):
            if not self._strikes(i, anomaly, part):
                continue
            if anomaly.after_ms is None:
                self._planned[part.number, -1] = _Planned(own, eye_ns, part.number, anomaly)
            else:
                at = eye_ns + round(anomaly.after_ms * NS_PER_MS)
                self._planned[part.number, i] = _Planned(at, eye_ns, part.number, anomaly)

    def _strikes(self, i: int, anomaly: Anomaly, part: PlannedPart) -> bool:
        if anomaly.urgency is not None and (part.number, anomaly) in self._alarmed:
            # The stop that it caused may have come before the part: the operator has seen to it.
            return False
        if anomaly.part is not None:
            return anomaly.part <= part.number < anomaly.part + anomaly.count
        if part.defect is None or (anomaly.kinds and part.defect not in anomaly.kinds):
            return False
        rng = stream_rng(self._seed, Stream.SENSOR, self._index, _CHANCE, i, part.number)
        return bool(rng.random() < (anomaly.share_of_defects or 0.0))

    def _reading(self, part_number: int | None, anomaly: Anomaly | None) -> Reading:
        key = (_PERIODIC, self._periodic_count) if part_number is None else (_OF_PART, part_number)
        noise = stream_rng(self._seed, Stream.SENSOR, self._index, *key).standard_normal()
        centre = self._model.mean if anomaly is None else anomaly.value
        self._seq += 1
        return Reading(
            sensor_id=self._model.id,
            kind=self._model.kind,
            value=round(centre + self._model.sigma * float(noise), 3),
            unit=self._model.unit,
            seq=self._seq,
            part_number=part_number,
            quality=None if anomaly is None else anomaly.quality,
            urgency=None if anomaly is None else anomaly.urgency,
            abnormal=anomaly is not None,
        )
