"""How much one turn of the link takes on, whatever comes in."""

import json
import sys
import threading
from pathlib import Path

from plc_cell import CLOCK, SENSORS, TOPICS

from inspector.config import BrokerConfig
from inspector.plc.inbox import Inbox
from inspector.plc.link import TURN, PlcLink
from inspector.sensors.intake import SensorIntake
from inspector.types import PartTrigger, SensorEvent


def test_a_turn_is_bounded_keeps_the_order_and_asks_for_the_next_one(tmp_path: Path) -> None:
    woken = threading.Event()
    nobody = BrokerConfig(port=1)
    intake = SensorIntake(SENSORS, TOPICS)
    link = PlcLink(nobody, TOPICS, tmp_path, CLOCK, woken.set, sensors=intake)
    link.start()
    readings = [("vib1", "vibration", "mm/s", seq) for seq in range(TURN)]
    readings += [("estop", "emergency_stop", "", seq) for seq in range(TURN + 10)]
    for sensor, kind, unit, seq in readings:
        payload = json.dumps({"seq": seq, "kind": kind, "value": 1.0, "unit": unit})
        link._inbox.put(TOPICS.sensor(sensor), payload.encode(), False, CLOCK.now_ns())
    came: list[tuple[str, int]] = []
    for expected in (TURN, TURN, 10):
        woken.clear()
        events = [event for event in link.poll() if isinstance(event, SensorEvent)]
        assert len(events) == expected
        came += [(event.sensor_id, event.seq) for event in events]
        if expected == TURN:
            assert woken.is_set()
    link.close()
    assert came == [(sensor, seq) for sensor, _, _, seq in readings]


def test_a_part_that_is_too_large_for_the_ledger_is_counted_and_told_once(tmp_path: Path) -> None:
    link = PlcLink(
        BrokerConfig(port=1), TOPICS, tmp_path, CLOCK, lambda: None, sensors=SensorIntake(SENSORS, TOPICS)
    )
    link.start()
    link.note_opened(PartTrigger(part_id="P" * 2000, seq=1, trigger_ns=1, received_ns=2))
    for _ in range(3):
        link.poll()
    told = [fault.code for fault in link.faults() if fault.code == "LEDGER_TOO_LARGE"]
    count = link.counters["ledger_too_large"]
    link.close()
    assert (told, count) == (["LEDGER_TOO_LARGE"], 1)


def test_what_comes_while_the_inbox_is_emptied_stays_in_order() -> None:
    names = [f"topic{n}" for n in range(12)]
    inbox = Inbox(dict.fromkeys(names, 10))
    count = 8_000
    seen: list[int] = []

    def fill() -> None:
        for n in range(count):
            while n - len(seen) > 100:  # nothing is to be dropped here
                pass
            inbox.put(names[-(n % 12) - 1], b"", False, n)

    filling = threading.Thread(target=fill)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    filling.start()
    while filling.is_alive() or len(seen) < count:
        seen += [received.received_ns for received in inbox.take_all()]
    sys.setswitchinterval(before)
    filling.join()
    assert seen == list(range(count))
