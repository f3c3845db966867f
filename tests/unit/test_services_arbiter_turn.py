"""One turn of the arbiter: what is taken first of all that came at once."""

from inspector.config import DecisionConfig
from inspector.plc.incoming import Incoming
from inspector.services.arbiter import urgent_first
from inspector.types import Command, CommandKind, PartTrigger, Quality, SensorEvent


def event(seq: int, urgency: float) -> SensorEvent:
    return SensorEvent(
        sensor_id="s",
        kind="level",
        value=1.0,
        unit="",
        quality=Quality.GOOD,
        urgency=urgency,
        seq=seq,
        observed_ns=seq,
        received_ns=seq,
    )


def test_an_emergency_waits_for_no_reading_trigger_or_command_of_its_turn() -> None:
    policy = DecisionConfig()
    readings = [event(seq, 0.8) for seq in range(60)]
    trigger = PartTrigger(part_id="P1", seq=1, trigger_ns=1, received_ns=1)
    reset = Command(kind=CommandKind.RESET, source="hmi", received_ns=1)
    first, second = event(100, 0.81), event(101, 1.0)
    came: list[Incoming] = [reset, trigger, *readings[:30], first, *readings[30:], second]
    assert urgent_first(came, policy) == [first, second, *readings, reset, trigger]
    assert urgent_first([], policy) == []
