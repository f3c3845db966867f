"""Malformed messages on every subscribed topic: each is counted, none gets in, the next good one does.

`python tests/bench/fuzz_mqtt.py --runs 100000` does the same at length.
"""

from pathlib import Path

from brokers import Mosquitto
from mqtt_rubbish import TOPICS_TO_FUZZ, Fuzzed
from plc_cell import TOPICS


def test_rubbish_on_every_topic_is_counted_and_changes_nothing(mosquitto: Mosquitto, tmp_path: Path) -> None:
    fuzzed = Fuzzed(mosquitto.port, tmp_path / "outbox")
    try:
        fuzzed.run(60 * len(TOPICS_TO_FUZZ), seed=1)
        assert fuzzed.incoming == []
        assert set(fuzzed.faults) == {"MESSAGE_REFUSED"}
        assert any(topic in text for text in fuzzed.fault_texts for topic in TOPICS_TO_FUZZ)
        stop = {"seq": 1, "kind": "emergency_stop", "value": 1, "unit": "", "urgency": 1.0}
        fuzzed.publish(TOPICS.sensor("estop"), stop)
        while not fuzzed.incoming:
            fuzzed.poll()
    finally:
        fuzzed.close()
