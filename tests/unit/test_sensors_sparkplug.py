"""Sparkplug B edge nodes as sensors: births, aliases, order, deaths, rebirths, and malformed ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.clock import NS_PER_MS, NS_PER_S
from inspector.config import LimitRule, SensorConfig, SparkplugSource
from inspector.flat import RefusedError
from inspector.mqtt_schema import Arrival
from inspector.sensors.intake import SensorIntake
from inspector.sparkplug_b import REBIRTH, DataType, Metric, Payload, decode, encode
from inspector.topics import MqttTopics
from inspector.types import Quality, SensorEvent

OFFSET_NS = 1_763_822_831_000_000_000
NOW_MS = OFFSET_NS // NS_PER_MS + 100_000
TORQUE = SensorConfig(
    id="torque1",
    kind="torque",
    unit="Nm",
    min_value=-10,
    max_value=10,
    rule=LimitRule(warn_high=2.0, alarm_high=3.0, urgency_at_alarm=0.9),
    heartbeat_s=2.0,
    urgency_when_silent=0.7,
    sparkplug=SparkplugSource(group_id="line1", edge_node_id="weld1", device_id="tool", metric="Torque"),
)
GUARD = SensorConfig(
    id="guard",
    kind="guard_open",
    unit="",
    min_value=0,
    max_value=1,
    sparkplug=SparkplugSource(group_id="line1", edge_node_id="weld1", metric="Guard"),
)
BASE = "spBv1.0/line1"


class Line:
    """An edge node with one device, and the intake that listens to it."""

    def __init__(self) -> None:
        self.intake = SensorIntake((TORQUE, GUARD), MqttTopics("a/b"))
        self.ms = NOW_MS

    def say(
        self, where: str, seq: int | None, *metrics: Metric, at_ms: int | None = None
    ) -> list[SensorEvent]:
        self.ms += 1
        return self.bytes(where, encode(Payload(at_ms or self.ms, seq, metrics)))

    def bytes(self, where: str, payload: bytes, *, retained: bool = False) -> list[SensorEvent]:
        received_ns = self.ms * NS_PER_MS - OFFSET_NS
        return self.intake.accept(Arrival(f"{BASE}/{where}", payload, retained, received_ns, OFFSET_NS))

    def born(self, bd_seq: int = 1) -> None:
        guard = Metric("Guard", False, alias=1, datatype=DataType.BOOLEAN)
        self.say("NBIRTH/weld1", 0, Metric("bdSeq", bd_seq, datatype=DataType.INT64), guard)
        self.say("DBIRTH/weld1/tool", 1, Metric("Torque", 1.0, alias=2, datatype=DataType.DOUBLE))

    def torque(self, seq: int, value: float, at_ms: int | None = None) -> list[SensorEvent]:
        metric = Metric("", value, alias=2, datatype=DataType.DOUBLE)
        return self.say("DDATA/weld1/tool", seq, metric, at_ms=at_ms)

    def refusal(self, where: str, seq: int | None, *metrics: Metric, at_ms: int | None = None) -> str:
        with pytest.raises(RefusedError) as refused:
            self.say(where, seq, *metrics, at_ms=at_ms)
        return refused.value.reason


@pytest.fixture
def line() -> Line:
    line = Line()
    line.born()
    return line


def test_it_listens_to_its_node_and_device_only() -> None:
    topics = [
        t for t in SensorIntake((TORQUE, GUARD), MqttTopics("a/b")).subscriptions if t != "a/b/sensor/+"
    ]
    kinds = {"NBIRTH/weld1", "NDATA/weld1", "NDEATH/weld1"}
    kinds |= {"DBIRTH/weld1/tool", "DDATA/weld1/tool", "DDEATH/weld1/tool"}
    assert set(topics) == {f"{BASE}/{kind}" for kind in kinds}


def test_data_by_alias_is_judged_by_the_rules(line: Line) -> None:
    (event,) = line.torque(2, 3.5)
    assert (event.sensor_id, event.value, event.unit, event.urgency) == ("torque1", 3.5, "Nm", 0.9)
    assert event.abnormal == "torque 3.5 Nm, above its alarm limit 3 Nm"
    assert event.source_utc_ns == line.ms * NS_PER_MS


def test_seq_wraps_after_255(line: Line) -> None:
    for seq in [*range(2, 256), 0, 1]:
        assert len(line.torque(seq, 1.0)) == 1
    assert line.intake.requests(0) == []


def test_a_repeated_or_replayed_message_is_refused(line: Line) -> None:
    line.torque(2, 1.0)
    old_ms = line.ms
    torque = Metric("Torque", 3.5, datatype=DataType.DOUBLE)
    assert line.refusal("DDATA/weld1/tool", 2, torque, at_ms=old_ms) == "duplicate"
    line.torque(3, 1.0)
    assert line.refusal("DDATA/weld1/tool", 2, torque, at_ms=old_ms) == "replayed"
    birth = Metric("bdSeq", 1, datatype=DataType.INT64)
    assert line.refusal("NBIRTH/weld1", 0, birth, at_ms=old_ms) == "replayed"
    assert len(line.torque(4, 1.0)) == 1, "and it has changed nothing"
    assert line.intake.requests(0) == []


def test_a_gap_is_taken_and_asks_for_a_rebirth_once(line: Line) -> None:
    assert len(line.torque(7, 1.0)) == 1
    ((topic, payload),) = line.intake.requests(NOW_MS * NS_PER_MS)
    assert topic == "spBv1.0/line1/NCMD/weld1"
    (metric,) = decode(payload).metrics
    assert (metric.name, metric.value) == (REBIRTH, True)
    line.torque(20, 1.0)
    assert line.intake.requests(0) == [], "not with every message"


def test_a_gap_or_a_rebirth_within_one_millisecond_is_no_replay(line: Line) -> None:
    line.torque(2, 1.0)
    now_ms = line.ms
    (event,) = line.torque(7, 3.5, at_ms=now_ms)
    assert event.urgency == 0.9
    line.say("NBIRTH/weld1", 0, Metric("bdSeq", 1, datatype=DataType.INT64), at_ms=now_ms)
    torque = Metric("Torque", 1.0, datatype=DataType.DOUBLE)
    assert len(line.say("DBIRTH/weld1/tool", 1, torque, at_ms=now_ms)) == 1
    assert line.refusal("DDATA/weld1/tool", 1, torque, at_ms=now_ms) == "duplicate"


def test_data_before_a_birth_asks_for_one() -> None:
    line = Line()
    assert line.refusal("DDATA/weld1/tool", 2, Metric("Torque", 1.0, datatype=DataType.DOUBLE)) == "unborn"
    assert len(line.intake.requests(0)) == 1


def test_a_death_makes_its_sensors_overdue_at_once_and_an_old_death_nothing(line: Line) -> None:
    now_ns = line.ms * NS_PER_MS - OFFSET_NS
    assert line.intake.overdue(now_ns, 0) == []
    assert line.refusal("NDEATH/weld1", None, Metric("bdSeq", 0, datatype=DataType.INT64)) == "replayed"
    assert line.intake.overdue(now_ns, 0) == []
    line.say("NDEATH/weld1", None, Metric("bdSeq", 1, datatype=DataType.INT64))
    (event,) = line.intake.overdue(now_ns, 0)
    assert (event.sensor_id, event.kind, event.urgency) == ("torque1", "silence", 0.7)
    line.born(bd_seq=2)
    assert line.intake.overdue(now_ns + 10 * NS_PER_MS, 0) == []


def test_one_wrong_metric_does_not_hide_anothers_emergency(line: Line) -> None:
    metrics = (
        Metric("Torque", "high", datatype=DataType.STRING),
        Metric("Torque", 3.5, datatype=DataType.DOUBLE),
        Metric("Torque", 99.0, datatype=DataType.DOUBLE),
    )
    (event,) = line.say("DDATA/weld1/tool", 2, *metrics)
    assert event.urgency == 0.9
    assert line.intake.refused == {"type": 1, "value": 1}


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (Metric("Torque", None, datatype=DataType.DOUBLE), "type"),
        (Metric("Torque", float("nan"), datatype=DataType.DOUBLE), "type"),
        (Metric("Torque", float("-inf"), datatype=DataType.DOUBLE), "type"),
        (Metric("Torque", "1.0", datatype=DataType.STRING), "type"),
        (Metric("Torque", 11.0, datatype=DataType.DOUBLE), "value"),
        (Metric("Torque", 1.0, timestamp_ms=NOW_MS - 60_000, datatype=DataType.DOUBLE), "replayed"),
        (Metric("Torque", 1.0, timestamp_ms=2**63, datatype=DataType.DOUBLE), "range"),
    ],
)
def test_malformed_metrics_are_refused(line: Line, metric: Metric, reason: str) -> None:
    assert line.refusal("DDATA/weld1/tool", 2, metric) == reason
    assert line.intake.refused == {reason: 1}


def test_retained_stale_and_headless_messages_are_refused(line: Line) -> None:
    with pytest.raises(RefusedError, match="not retained"):
        line.bytes("DDATA/weld1/tool", encode(Payload(line.ms, 2, ())), retained=True)
    torque = Metric("Torque", 1.0, datatype=DataType.DOUBLE)
    assert line.refusal("DDATA/weld1/tool", None, torque) == "keys"
    assert line.refusal("NDATA/weld1", 256, torque) == "range"
    late = Line()
    late.ms += 60_000
    birth = Metric("Guard", True, timestamp_ms=NOW_MS, datatype=DataType.BOOLEAN)
    assert late.refusal("NBIRTH/weld1", 0, birth) == "stale"


def test_a_clock_ahead_is_uncertain_and_does_not_shut_the_node_out(line: Line) -> None:
    hour_ms = 3_600_000
    (event,) = line.torque(2, 3.5, at_ms=line.ms + hour_ms)
    assert (event.quality, event.urgency) == (Quality.UNCERTAIN, 0.9)
    line.ms += 2000
    assert len(line.torque(3, 1.0)) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["NBIRTH/weld1", "NDATA/weld1", "NDEATH/weld1"]), st.binary(max_size=80))
    )
)
def test_rubbish_is_counted_and_changes_nothing(storm: list[tuple[str, bytes]]) -> None:
    line = Line()
    line.born()
    refused = []
    for where, payload in storm:
        try:
            assert line.bytes(where, payload) == []
        except RefusedError as error:
            refused.append(str(error))
    assert all(text.isprintable() for text in refused)
    assert line.intake.refused.total() == len(refused)
    line.ms += NS_PER_S // NS_PER_MS
    line.born(bd_seq=9)
    assert len(line.torque(2, 3.5)) == 1


def test_text_that_is_not_utf_8_is_refused_and_hides_no_other_metric(line: Line) -> None:
    line.born()
    text = Metric("Torque", "zz", datatype=DataType.STRING)
    line.ms += 1
    payload = encode(Payload(line.ms, 2, (text,))).replace(b"zz", b"\xff\xfe")
    with pytest.raises(RefusedError, match="not a finite number"):
        line.bytes("DDATA/weld1/tool", payload)
    name = Metric("zz", 1.0, datatype=DataType.DOUBLE)
    line.ms += 1
    torque = Metric("Torque", 3.5, datatype=DataType.DOUBLE)
    payload = encode(Payload(line.ms, 3, (name, torque))).replace(b"zz", b"\xff\xfe")
    assert [event.value for event in line.bytes("DDATA/weld1/tool", payload)] == [3.5]
    assert [metric.name for metric in decode(payload).metrics] == ["", "Torque"]


values = st.one_of(
    st.none(),
    st.floats(),
    st.booleans(),
    st.text(max_size=5),
    st.just("zz"),
    st.integers(-(2**63), 2**64 - 1),
)
metrics = st.builds(
    Metric,
    name=st.sampled_from(["Torque", "Guard", "bdSeq", "", "x"]),
    value=values,
    alias=st.one_of(st.none(), st.integers(0, 2**64 - 1)),
    timestamp_ms=st.one_of(st.none(), st.integers(0, 2**64 - 1)),
    datatype=st.sampled_from(DataType),
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["NBIRTH/weld1", "DBIRTH/weld1/tool", "DDATA/weld1/tool"]),
            st.one_of(st.none(), st.integers(0, 300)),
            st.lists(metrics, max_size=3),
            st.integers(1, 2**64 - 1),
        ),
        max_size=12,
    )
)
def test_whatever_a_node_says_events_are_within_bounds(
    said: list[tuple[str, int | None, list[Metric], int]],
) -> None:
    line = Line()
    line.born()
    for where, seq, some, at_ms in said:
        fitting = [m for m in some if not (isinstance(m.value, str) and m.datatype != DataType.STRING)]
        fitting = [m for m in fitting if not (isinstance(m.value, float) and m.datatype != DataType.DOUBLE)]
        try:
            line.ms += 1
            said_bytes = encode(Payload(at_ms, seq, tuple(fitting)))
            events = line.bytes(where, said_bytes.replace(b"zz", b"\xff\xfe"))  # no UTF-8 then
        except RefusedError:
            continue
        for event in events:
            assert -10 <= event.value <= 10
            assert event.observed_ns <= event.received_ns
            assert event.source_utc_ns is not None
            assert event.source_utc_ns < 2**63
