"""What goes wrong on the line's side, from the scenario: pure, message in, messages out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from line_sim.events import Reading
from line_sim.scenario import Fault

NS_PER_MS: Final = 1_000_000

# Cut off in the middle, as after a sensor's restart: not JSON.
_CUT_READING: Final = b'{"seq":12,"kind":"vibration","value":'
# Right JSON, wrong contents: no part_id, and a number that is text.
_WRONG_TRIGGER: Final = b'{"seq":"next","utc_ns":"now"}'


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A payload to publish `delay_ns` from now."""

    payload: bytes
    delay_ns: int = 0


def encode(fields: dict[str, str | int | float | bool]) -> bytes:
    """Flat ASCII JSON without spaces."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def reading_payload(reading: Reading, utc_ns: int) -> bytes:
    """Payload of BASE/sensor/<id>. Quality and urgency are left out where not stated."""
    fields: dict[str, str | int | float | bool] = {
        "seq": reading.seq,
        "kind": reading.kind,
        "value": reading.value,
        "unit": reading.unit,
    }
    if reading.quality is not None:
        fields["quality"] = reading.quality
    if reading.urgency is not None:
        fields["urgency"] = reading.urgency
    fields["utc_ns"] = utc_ns
    return encode(fields)


class FaultPlan:
    """Looks up the scenario's faults of one part."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = tuple(faults)

    def of_part(self, number: int, sensor: str | None = None) -> list[Fault]:
        """Faults of a part's readings from one sensor, or (None) of the part itself."""
        return [
            fault
            for fault in self._faults
            if fault.sensor == sensor and fault.part <= number < fault.part + fault.count
        ]

    def has(self, kind: str, number: int) -> bool:
        return any(fault.kind == kind for fault in self.of_part(number))

    def reading(self, reading: Reading, payload: bytes) -> list[Outgoing]:
        """What is really published for one reading. Periodic readings have no faults."""
        if reading.part_number is None:
            return [Outgoing(payload)]
        delay_ns = 0
        for fault in self.of_part(reading.part_number, reading.sensor_id):
            if fault.kind == "drop_reading":
                return []
            if fault.kind == "malformed_reading":
                payload = _CUT_READING
            if fault.delay_ms is not None:
                delay_ns = round(fault.delay_ms * NS_PER_MS)
        return [Outgoing(payload, delay_ns)]

    def trigger(self, number: int, payload: bytes) -> list[Outgoing]:
        """What is really published when a part is at the photo-eye."""
        out = [Outgoing(payload)]
        for fault in self.of_part(number):
            if fault.kind == "malformed_trigger":
                out.insert(0, Outgoing(_WRONG_TRIGGER))
            elif fault.kind == "duplicate_trigger":
                out.append(out[-1])
            elif fault.kind == "late_trigger" and fault.delay_ms is not None:
                out = [Outgoing(o.payload, round(fault.delay_ms * NS_PER_MS)) for o in out]
        return out
