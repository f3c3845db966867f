"""The bridge's own part of its connection: what it acknowledges, and that it does not go on without it."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from plc_cell import CLOCK

from inspector.config import BrokerConfig, SparkplugDevice
from inspector.errors import InvariantError
from inspector.plc import sparkplug_bridge
from inspector.plc.connection import OnMessage
from inspector.plc.inbox import Token
from inspector.plc.sparkplug_bridge import SparkplugBridge

PLACE = SparkplugDevice(group_id="plant", edge_node_id="cell1", device_id="inspection")


class Wire:
    """In a connection's place: hands on what it is told to, and keeps what is acknowledged."""

    def __init__(self, *_: object, on_message: OnMessage, **__: object) -> None:
        self.hand_on = on_message
        self.acknowledged: list[Token] = []
        self.alive = True

    def acknowledge(self, tokens: Iterable[Token]) -> None:
        self.acknowledged += tokens

    def drain(self) -> list[object]:
        return []


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> list[Wire]:
    made: list[Wire] = []

    class Kept(Wire):
        def __init__(self, *_: object, on_message: OnMessage, **__: object) -> None:
            super().__init__(on_message=on_message)
            made.append(self)

    monkeypatch.setattr(sparkplug_bridge, "Connection", Kept)
    return made


def test_every_command_is_acknowledged_also_one_that_is_dropped(wire: list[Wire], tmp_path: Path) -> None:
    bridge = SparkplugBridge(BrokerConfig(), PLACE, tmp_path, CLOCK, lambda: None)
    for mid in range(1, 51):
        wire[0].hand_on("spBv1.0/plant/NCMD/cell1", b"rubbish", False, 0, (1, mid))
    assert len(wire[0].acknowledged) == 34  # 16 wait to be obeyed
    faults = bridge.poll()
    assert [fault.code for fault in faults] == ["SPARKPLUG_COMMAND_REFUSED"]
    assert wire[0].acknowledged == [(1, mid) for mid in range(1, 51)]


def test_it_does_not_go_on_when_its_network_thread_has_died(wire: list[Wire], tmp_path: Path) -> None:
    bridge = SparkplugBridge(BrokerConfig(), PLACE, tmp_path, CLOCK, lambda: None)
    wire[0].alive = False
    with pytest.raises(InvariantError, match="Sparkplug has died"):
        bridge.poll()
