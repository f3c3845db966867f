"""Sensor messages: what becomes an event, and what is refused, and why."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inspector.clock import NS_PER_MS, NS_PER_S
from inspector.config import LimitRule, SensorConfig
from inspector.errors import DataError
from inspector.flat import RefusedError
from inspector.mqtt_schema import Arrival
from inspector.sensors.intake import SensorIntake
from inspector.topics import MqttTopics
from inspector.types import Quality, SensorEvent

TOPICS = MqttTopics("acme/site/area/line/cell")
UTC_OFFSET_NS = 1_763_822_831_000_000_000
NOW_NS = 100 * NS_PER_S
VIBRATION = SensorConfig(
    id="vib1",
    kind="vibration",
    unit="mm/s",
    min_value=0.0,
    max_value=50.0,
    rule=LimitRule(warn_high=4.5, alarm_high=7.1, urgency_at_alarm=0.5),
)
STOP_BUTTON = SensorConfig(id="estop", kind="emergency_stop", unit="", min_value=0, max_value=1)
HEARSAY = replace(VIBRATION, id="vib2", trust_urgency=False)


def message(ago_ms: float | None = 1.0, **changes: object) -> bytes:
    values: dict[str, object] = {"seq": 1, "kind": "vibration", "value": 1.25, "unit": "mm/s"}
    if ago_ms is not None:
        values["utc_ns"] = NOW_NS + UTC_OFFSET_NS - int(ago_ms * NS_PER_MS)
    return json.dumps(values | changes).encode()


def intake() -> SensorIntake:
    return SensorIntake((VIBRATION, STOP_BUTTON, HEARSAY), TOPICS)


def accept(
    payload: bytes, sensor_id: str = "vib1", *, retained: bool = False, by: SensorIntake | None = None
) -> SensorEvent:
    arrival = Arrival(TOPICS.sensor(sensor_id), payload, retained, NOW_NS, UTC_OFFSET_NS)
    (event,) = (by or intake()).accept(arrival)
    return event


def test_a_normal_reading() -> None:
    assert accept(message(ago_ms=4)) == SensorEvent(
        sensor_id="vib1",
        kind="vibration",
        value=1.25,
        unit="mm/s",
        quality=Quality.GOOD,
        urgency=0.0,
        p_defect=0.5,
        abnormal=None,
        seq=1,
        source_utc_ns=NOW_NS + UTC_OFFSET_NS - 4 * NS_PER_MS,
        observed_ns=NOW_NS - 4 * NS_PER_MS,
        received_ns=NOW_NS,
    )


def test_an_abnormal_reading_says_so_in_words() -> None:
    event = accept(message(value=7.9))
    assert event.abnormal == "vibration 7.9 mm/s, above its alarm limit 7.1 mm/s"
    assert event.urgency == 0.5
    assert event.p_defect == pytest.approx(0.9)


def test_an_emergency_button_says_nothing_about_a_part() -> None:
    event = accept(message(kind="emergency_stop", unit="", value=1, urgency=1.0), "estop")
    assert (event.urgency, event.p_defect) == (1.0, None)


def test_the_higher_of_rule_and_message_is_the_urgency() -> None:
    assert accept(message(value=7.9, urgency=0.9)).urgency == 0.9
    assert accept(message(value=7.9, urgency=0.1)).urgency == 0.5
    assert accept(message(value=1.0, urgency=0.95), "vib2").urgency == 0.0, "not trusted"


def test_a_bad_reading_is_kept_but_counts_for_nothing() -> None:
    event = accept(message(value=7.9, urgency=1.0, quality="BAD"))
    assert (event.quality, event.urgency, event.p_defect) == (Quality.BAD, 0.0, None)
    assert event.abnormal is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (message(unit="m/s"), "unit"),
        (message(kind="force"), "kind"),
        (message(value=50.1), "value"),
        (message(value=-0.1), "value"),
        (message(ago_ms=10_001), "stale"),
        (message(value="high"), "type"),
        (b"{", "json"),
        (message(note="x" * 1024), "size"),
    ],
)
def test_refused_by_reason(payload: bytes, reason: str) -> None:
    by = intake()
    with pytest.raises(DataError, match="sensor vib1: "):
        accept(payload, by=by)
    assert by.refused == {reason: 1}
    assert not by.accepted


def test_unlisted_and_retained() -> None:
    by = intake()
    with pytest.raises(RefusedError, match="sensor nobody: not listed in the site file"):
        accept(message(), "nobody", by=by)
    with pytest.raises(RefusedError, match="publish without retain"):
        accept(message(), retained=True, by=by)
    assert by.refused == {"unlisted": 1, "retained": 1}


def test_duplicates_are_refused_and_restarts_taken() -> None:
    by = intake()
    accept(message(ago_ms=50, seq=900), by=by)
    with pytest.raises(RefusedError, match="seq 900 was here before"):
        accept(message(ago_ms=50, seq=900), by=by)
    with pytest.raises(RefusedError, match="far behind"):
        accept(message(ago_ms=60, seq=3), by=by)
    assert accept(message(ago_ms=20, seq=0), by=by).seq == 0
    assert by.accepted == {"vib1": 2}


def test_one_sensor_cannot_hide_anothers_reading() -> None:
    by = intake()
    accept(message(seq=900), by=by)
    assert accept(message(seq=1), "vib2", by=by).seq == 1


def test_a_refused_reading_does_not_move_the_window() -> None:
    by = intake()
    with pytest.raises(RefusedError):
        accept(message(seq=10**6, value=99.0), by=by)
    assert accept(message(seq=5), by=by).seq == 5


def test_without_a_time_it_is_as_of_now() -> None:
    event = accept(message(ago_ms=None))
    assert (event.observed_ns, event.source_utc_ns) == (NOW_NS, None)


def test_a_clock_slightly_ahead_is_as_of_now() -> None:
    event = accept(message(ago_ms=-3))
    assert (event.observed_ns, event.quality) == (NOW_NS, Quality.GOOD)


def test_a_clock_far_ahead_makes_it_uncertain_but_not_unheard() -> None:
    by = intake()
    event = accept(message(ago_ms=-3_600_000, seq=800, urgency=1.0), by=by)
    assert (event.observed_ns, event.quality) == (NOW_NS, Quality.UNCERTAIN)
    assert event.urgency == 1.0
    # Set right and restarted, it is not taken for a replay of its own future.
    assert accept(message(ago_ms=1, seq=0), by=by).quality is Quality.GOOD


@given(st.lists(st.binary(max_size=1200), max_size=20))
def test_a_storm_of_rubbish_is_counted_and_harms_nobody(storm: list[bytes]) -> None:
    by = intake()
    for payload in storm:
        with pytest.raises(RefusedError):
            accept(payload, by=by)
    assert by.refused.total() == len(storm)
    assert accept(message(), by=by).seq == 1


@given(
    value=st.floats(0, 50),
    urgency=st.floats(0, 1),
    ago_ms=st.floats(-1e7, 9_999),
    quality=st.sampled_from(Quality),
)
def test_every_valid_reading_is_taken(value: float, urgency: float, ago_ms: float, quality: Quality) -> None:
    event = accept(message(ago_ms, value=value, urgency=urgency, quality=quality.value))
    assert 0 <= event.urgency <= 1
    assert event.observed_ns <= event.received_ns
