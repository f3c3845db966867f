"""Faults on the line's side: what is really published for one reading or trigger."""

import json

import pytest

from line_sim.events import Reading
from line_sim.faults import FaultPlan, Outgoing, reading_payload
from line_sim.scenario import Fault

UTC = 1_763_822_831_000_000_000


def _reading(part: int | None, sensor: str = "vib") -> Reading:
    return Reading(sensor, "vibration", 1.5, "mm/s", 7, part)


def test_a_reading_is_as_documented() -> None:
    assert json.loads(reading_payload(_reading(1), UTC)) == {
        "seq": 7,
        "kind": "vibration",
        "value": 1.5,
        "unit": "mm/s",
        "utc_ns": UTC,
    }
    stated = Reading("vib", "vibration", 24.0, "mm/s", 8, 1, quality="BAD", urgency=0.95)
    data = json.loads(reading_payload(stated, UTC))
    assert (data["quality"], data["urgency"]) == ("BAD", 0.95)


def test_faults_strike_their_parts_and_their_sensor_only() -> None:
    plan = FaultPlan([Fault(kind="drop_reading", sensor="vib", part=4, count=2)])
    sent = {n: plan.reading(_reading(n), b"x") for n in (3, 4, 5, 6)}
    assert sent == {3: [Outgoing(b"x")], 4: [], 5: [], 6: [Outgoing(b"x")]}
    assert plan.reading(_reading(4, "other"), b"x") == [Outgoing(b"x")]
    assert plan.reading(_reading(None), b"x") == [Outgoing(b"x")]
    assert plan.trigger(4, b"t") == [Outgoing(b"t")]


def test_each_kind_does_what_it_says() -> None:
    plan = FaultPlan(
        [
            Fault(kind="malformed_reading", sensor="vib", part=1),
            Fault(kind="late_reading", sensor="vib", part=2, delay_ms=400),
            Fault(kind="duplicate_trigger", part=3),
            Fault(kind="late_trigger", part=4, delay_ms=300),
            Fault(kind="malformed_trigger", part=5),
            Fault(kind="no_frame", part=6),
            Fault(kind="no_ack", part=7),
        ]
    )
    [cut] = plan.reading(_reading(1), b"{}")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(cut.payload)
    assert plan.reading(_reading(2), b"x") == [Outgoing(b"x", 400_000_000)]
    assert plan.trigger(3, b"t") == [Outgoing(b"t"), Outgoing(b"t")]
    assert plan.trigger(4, b"t") == [Outgoing(b"t", 300_000_000)]
    wrong, right = plan.trigger(5, b"t")
    assert "part_id" not in json.loads(wrong.payload)
    assert right == Outgoing(b"t")
    assert plan.has("no_frame", 6)
    assert not plan.has("no_frame", 7)
    assert plan.has("no_ack", 7)
