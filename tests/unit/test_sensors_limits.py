"""Rates, silence and curves: rules beside the plain limits."""

import json

import pytest

from inspector.clock import NS_PER_MS, NS_PER_S
from inspector.config import LimitRule, SensorConfig
from inspector.flat import RefusedError
from inspector.mqtt_schema import Arrival
from inspector.sensors.curve_model import CurveScorer, teach
from inspector.sensors.intake import SensorIntake
from inspector.topics import MqttTopics
from inspector.types import SensorEvent

TOPICS = MqttTopics("a/b")
PRESSURE = SensorConfig(
    id="pressure",
    kind="pressure",
    unit="bar",
    min_value=0,
    max_value=10,
    rule=LimitRule(warn_rate=1.0, alarm_rate=5.0, urgency_at_alarm=0.9),
    heartbeat_s=1.0,
    urgency_when_silent=0.95,
)
SCREW = SensorConfig(
    id="screw",
    kind="curve",
    unit="",
    min_value=0,
    max_value=1000,
    rule=LimitRule(warn_high=1.0, alarm_high=1.5, p_defect_at_alarm=0.95),
)


def curve(wave: float, lift: float = 0.0) -> tuple[list[float], list[float]]:
    x = [float(n) for n in range(40)]
    return x, [lift * (n > 20) + 0.01 * ((n * 7919 * (1 + wave)) % 13) for n in x]


def intake() -> SensorIntake:
    scorer = CurveScorer(teach([curve(n / 10) for n in range(80)]))
    return SensorIntake((PRESSURE, SCREW), TOPICS, curves={"screw": scorer})


def read(by: SensorIntake, ms: int, seq: int, value: float, utc_ms: int | None = None) -> SensorEvent:
    message = {"seq": seq, "kind": "pressure", "value": value, "unit": "bar"}
    message |= {"utc_ns": (ms if utc_ms is None else utc_ms) * NS_PER_MS}
    arrival = Arrival(TOPICS.sensor("pressure"), json.dumps(message).encode(), False, ms * NS_PER_MS, 0)
    (event,) = by.accept(arrival)
    return event


def test_a_pressure_that_falls_too_fast_is_urgent_whatever_its_value() -> None:
    by = intake()
    assert read(by, 1000, 1, 6.0).urgency == 0.0, "the first says nothing of a rate"
    assert read(by, 1100, 2, 5.95).urgency == 0.0
    event = read(by, 1200, 3, 5.0)
    assert event.urgency == 0.9
    assert event.abnormal == "pressure changes by -9.5 bar/s, alarm limit 5 bar/s"
    warned = read(by, 2200, 4, 3.0)
    assert (warned.urgency, warned.abnormal) == (
        0.0,
        "pressure changes by -2 bar/s, warn limit 1 bar/s",
    )


def test_a_late_reading_is_no_jump() -> None:
    by = intake()
    read(by, 1000, 1, 6.0)
    read(by, 1500, 3, 6.1)
    assert read(by, 1501, 2, 1.0, utc_ms=1200).urgency == 0.0


def test_silence_is_told_once_in_each_heartbeat_until_it_ends() -> None:
    by = intake()
    start = 100 * NS_PER_S
    assert by.overdue(start + NS_PER_S, start) == []
    (event,) = by.overdue(start + NS_PER_S + 1, start)
    assert (event.sensor_id, event.kind, event.urgency, event.p_defect) == ("pressure", "silence", 0.95, None)
    assert event.abnormal == "no reading for 1.0 s, at least one in 1 s is due"
    assert by.overdue(start + NS_PER_S + 100, start) == []
    assert len(by.overdue(start + 2 * NS_PER_S + 1, start)) == 1
    read(by, 103_000, 1, 6.0)
    assert by.overdue(start + int(3.5 * NS_PER_S), start) == []
    assert len(by.overdue(start + int(4.1 * NS_PER_S), start)) == 1


def test_what_was_not_heard_while_the_broker_was_away_is_no_silence() -> None:
    by = intake()
    read(by, 1000, 1, 6.0)
    back_ns = 60 * NS_PER_S
    assert by.overdue(back_ns + NS_PER_S // 2, back_ns) == []
    assert len(by.overdue(back_ns + 2 * NS_PER_S, back_ns)) == 1


def test_a_refused_reading_does_not_end_a_silence() -> None:
    by = intake()
    with pytest.raises(RefusedError):
        read(by, 1900, 1, 99.0)
    assert len(by.overdue(2 * NS_PER_S, 0)) == 1


def send_curve(by: SensorIntake, payload: bytes, topic: str | None = None) -> list[SensorEvent]:
    return by.accept(Arrival(topic or TOPICS.curve("screw"), payload, False, NS_PER_S, 0))


def test_a_bad_curve_becomes_an_abnormal_reading() -> None:
    by = intake()
    x, y = curve(0.33)
    (good,) = send_curve(by, json.dumps({"seq": 1, "x": x, "y": y}).encode())
    assert good.abnormal is None
    x, y = curve(0.33, lift=3.0)
    (bad,) = send_curve(by, json.dumps({"seq": 2, "x": x, "y": y}).encode())
    assert bad.p_defect == pytest.approx(0.95)
    assert bad.abnormal is not None
    assert "above its alarm limit 1.5" in bad.abnormal


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "json"),
        (b"[" * 2000, "type"),
        (b'{"seq":1,"x":[],"y":[]}', "type"),
        (b'{"seq":1,"x":[1,2,3,4,5,6,7,NaN],"y":[1,2,3,4,5,6,7,8]}', "json"),
        (b'{"seq":1,"x":[1,2,3,4,5,6,7,"8"],"y":[1,2,3,4,5,6,7,8]}', "type"),
        (b'{"seq":1,"x":[1,1,1,1,1,1,1,1],"y":[1,2,3,4,5,6,7,8]}', "value"),
        (b'{"seq":1,"x":[1,2,3,4,5,6,7,8],"y":[1,2,3,4,5,6,7,1e300]}', "value"),
        (b'{"seq":1,"x":[1,2,3,4,5,6,7,8],"y":[1,2,3,4,5,6,7,8],"z":1}', "type"),
        (b" " * 65_001, "size"),
    ],
)
def test_malformed_curves_are_refused_by_reason(payload: bytes, reason: str) -> None:
    by = intake()
    with pytest.raises(RefusedError) as refused:
        send_curve(by, payload)
    assert refused.value.reason == reason
    assert by.refused == {reason: 1}


def test_a_curve_sensor_takes_no_plain_readings() -> None:
    by = intake()
    with pytest.raises(RefusedError, match="not listed in the site file on this topic"):
        send_curve(by, b"{}", TOPICS.sensor("screw"))
