"""The cell as a Sparkplug B edge node: its messages by the standard's own rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparkplug_rules import StrictHost, read_payload

from inspector.config import SparkplugDevice
from inspector.flat import RefusedError
from inspector.plc.sparkplug_node import METRICS, SparkplugNode
from inspector.sparkplug_b import DataType, Metric, Payload, Value, encode

UTC_NS = 1_763_822_831_000_000_000
PLACE = SparkplugDevice(group_id="plant", edge_node_id="cell1", device_id="inspection")
NODE_ONLY = SparkplugDevice(group_id="plant", edge_node_id="cell1")
VALUES = {
    DataType.STRING: st.text(max_size=60),
    DataType.BOOLEAN: st.booleans(),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.INT64: st.integers(0, 2**63 - 1),
}
CHANGES = st.fixed_dictionaries({}, optional={n: VALUES[t] | st.none() for n, t in METRICS.items()})
STEPS = st.lists(st.one_of(CHANGES, st.sampled_from(["rebirth", "reconnect"])), max_size=30)


@given(STEPS, st.sampled_from([PLACE, NODE_ONLY]), st.integers(-1, 255))
def test_a_strict_host_takes_all_of_it_and_knows_every_value(
    steps: list[dict[str, Value | None] | str], place: SparkplugDevice, bd_seq: int
) -> None:
    node = SparkplugNode(place, bd_seq)
    host = StrictHost("plant", "cell1", place.device_id)
    said: dict[str, object] = dict.fromkeys(METRICS)
    will = node.death()
    for topic, payload in node.births(UTC_NS):
        host.hear(topic, payload)
    for step in steps:
        if step == "rebirth":
            messages = node.births(UTC_NS)
        elif step == "reconnect":
            host.hear(*will, qos=1)
            will = node.death()
            messages = node.births(UTC_NS)
        else:
            assert isinstance(step, dict)
            said |= step
            changed = node.note(step)
            messages = [node.data(changed, UTC_NS)] if changed else []
        for topic, payload in messages:
            host.hear(topic, payload)
        assert {name: host.values[name] for name in METRICS} == said
    host.hear(*node.farewell(), qos=1)
    assert not host.born


def test_seq_goes_round_at_256() -> None:
    node = SparkplugNode(PLACE)
    node.death()
    host = StrictHost("plant", "cell1", "inspection")
    for topic, payload in node.births(UTC_NS):
        host.hear(topic, payload)
    for n in range(600):
        host.hear(*node.data(node.note({"Verdict/Sequence": n}), UTC_NS))
    assert host.values["Verdict/Sequence"] == 599


def test_only_what_changed_is_said() -> None:
    node = SparkplugNode(PLACE)
    assert node.note({"State": "Ready", "Emergency Latched": False}) == {
        "State": "Ready",
        "Emergency Latched": False,
    }
    assert node.note({"State": "Ready", "Emergency Latched": True}) == {"Emergency Latched": True}
    _, payload = node.data({"Emergency Latched": True}, UTC_NS)
    assert list(read_payload(payload).metrics) == ["Emergency Latched"]


def command(name: str, value: bool) -> bytes:
    return encode(Payload(1, None, (Metric(name, value, datatype=DataType.BOOLEAN),)))


def test_a_rebirth_is_asked_for_by_true_alone_and_nothing_else_can_be_written() -> None:
    node = SparkplugNode(PLACE)
    assert node.asks_for_rebirth(command("Node Control/Rebirth", True))
    assert not node.asks_for_rebirth(command("Node Control/Rebirth", False))
    for payload in (command("Node Control/Reboot", True), b"", b"\x07", b"x" * 5000):
        with pytest.raises(RefusedError):
            node.asks_for_rebirth(payload)
