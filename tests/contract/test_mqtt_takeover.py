"""A link's process is killed with messages in its hands: the next one gets them, and knows what was said."""

import subprocess
import sys
from pathlib import Path

import pytest
from brokers import Mosquitto
from plc_cell import CLOCK, PATIENCE_S, TOPICS, Cell, Listener, verdict, wait_until

from inspector.config import BrokerConfig
from inspector.types import PartTrigger, SensorEvent

# Polls until it has a trigger and a reading, gives a verdict, and dies at once of SIGKILL.
VICTIM = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from plc_cell import Cell, verdict
from inspector.config import BrokerConfig
cell = Cell(BrokerConfig(port=int(sys.argv[2])), Path(sys.argv[3]))
cell.link.start()
cell.until_connected()
print("connected", flush=True)
while len(cell.incoming) < int(sys.argv[4]):
    cell.incoming += cell.link.poll()
    if "taken" in sys.argv:
        cell.link.taken()
if "taken" in sys.argv:
    cell.for_s(0.3)
cell.link.note_latch(next((each for each in cell.incoming if hasattr(each, "sensor_id")), None))
if "verdict" in sys.argv:
    cell.link.send_verdict(verdict(1), -1.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def victim(port: int, outbox: Path, messages: int, *what: str) -> "subprocess.Popen[str]":
    arguments = [str(Path(__file__).parents[1]), str(port), str(outbox), str(messages), *what]
    process = subprocess.Popen([sys.executable, "-c", VICTIM, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "connected"
    return process


def died(process: "subprocess.Popen[str]") -> bool:
    """Whether it killed itself; if not, it must not poll for ever."""
    try:
        return process.wait(3 * PATIENCE_S) == -9
    finally:
        process.kill()
        process.wait()


def publish_two(plc: Listener) -> None:
    # It has subscribed before it says anything.
    wait_until(lambda: plc.leaves("heartbeat") != [], "a sign of life")
    plc.publish(TOPICS.trigger, {"part_id": "P000001", "seq": 1, "utc_ns": CLOCK.utc_ns()})
    reading = {"seq": 1, "kind": "vibration", "value": 9.0, "unit": "mm/s", "utc_ns": CLOCK.utc_ns()}
    plc.publish(TOPICS.sensor("vib1"), reading)


@pytest.mark.parametrize("taken", [False, True])
def test_what_was_not_taken_comes_again_and_what_was_taken_does_not(
    mosquitto: Mosquitto, tmp_path: Path, taken: bool
) -> None:
    plc, outbox = Listener(mosquitto.port), tmp_path / "outbox"
    dying = victim(mosquitto.port, outbox, 2, *(["taken"] if taken else []))
    publish_two(plc)
    assert died(dying)
    with Cell(BrokerConfig(port=mosquitto.port), outbox) as cell:
        assert [trigger.part_id for trigger in cell.link.left.opened] == ["P000001"]
        assert cell.link.left.latched_by is not None
        cell.until_connected()
        if taken:
            cell.for_s(0.3)
            assert cell.incoming == []
        else:
            # The trigger too, unless a poll of its own returned it: the next poll acknowledged it then.
            cell.until(lambda: SensorEvent in map(type, cell.incoming), "what the dead one had in its hands")
            assert {type(each) for each in cell.incoming} <= {PartTrigger, SensorEvent}
    plc.close()


def test_a_verdict_that_was_given_at_the_last_moment_is_known_and_reaches_the_plc(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    plc, outbox = Listener(mosquitto.port), tmp_path / "outbox"
    dying = victim(mosquitto.port, outbox, 2, "verdict")
    publish_two(plc)
    assert died(dying)
    with Cell(BrokerConfig(port=mosquitto.port), outbox) as cell:
        assert [part.part_id for part in cell.link.left.judged] == [verdict(1).part_id]
        assert cell.link.left.opened == ()
        assert cell.link.left.seq == 1
        cell.until(lambda: "boot-1" in plc.ids("verdict"), "the verdict")
        cell.for_s(0.3)
    assert set(plc.ids("verdict")) == {"boot-1"}
    plc.close()


def test_messages_that_are_not_taken_yet_do_not_hold_up_an_emergency_for_ever(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    plc = Listener(mosquitto.port)
    with Cell(BrokerConfig(port=mosquitto.port), tmp_path / "outbox") as cell:
        cell.until_connected()
        for seq in range(100):  # more than a broker sends without an acknowledgement
            plc.publish(TOPICS.trigger, {"part_id": f"P{seq}", "seq": seq, "utc_ns": CLOCK.utc_ns()})
        plc.publish(TOPICS.sensor("estop"), {"seq": 1, "kind": "emergency_stop", "value": 1, "unit": ""})
        cell.until(lambda: len(cell.incoming) == 101, "all of them, the emergency last")
        assert isinstance(cell.incoming[-1], SensorEvent)
    plc.close()
