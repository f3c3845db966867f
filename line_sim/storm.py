"""A sensor that has gone mad: thousands of readings a second, from a thread and client of its own."""

import threading
import uuid

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from inspector.clock import NS_PER_S, SystemClock
from inspector.topics import MqttTopics
from line_sim.faults import encode
from line_sim.mqtt_link import Broker
from line_sim.scenario import Disturbance, SensorModel

_BURST_S = 0.01


class SensorStorm:
    """Publishes valid, normal readings of the sensor at QoS 0, in bursts of 10 ms.

    The sensor must be one that no part depends on: its numbering is that of the storm.
    """

    def __init__(self, broker: Broker, base: str, sensors: tuple[SensorModel, ...]) -> None:
        self._broker, self._topics = broker, MqttTopics(base)
        self._sensors = {sensor.id: sensor for sensor in sensors}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.sent = 0

    def begin(self, disturbance: Disturbance) -> None:
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._blow, args=(disturbance,), name="storm", daemon=True)
            self._thread.start()

    def end(self, disturbance: Disturbance) -> None:
        del disturbance
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _blow(self, disturbance: Disturbance) -> None:
        sensor = self._sensors[disturbance.sensor or ""]
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"storm-{uuid.uuid4().hex[:8]}", protocol=mqtt.MQTTv5
        )
        try:
            client.connect(self._broker.host, self._broker.port)
        except OSError:
            return  # the broker is away as well: then there is no storm
        client.loop_start()
        clock = SystemClock()
        begin_ns, topic = clock.now_ns(), self._topics.sensor(sensor.id)
        sent = 0
        while not self._stop.wait(_BURST_S):
            due = int((clock.now_ns() - begin_ns) * disturbance.rate_hz / NS_PER_S)
            # What could not be sent in time is not made up for: a storm has a rate, not a total.
            first = max(sent, due - int(disturbance.rate_hz * 10 * _BURST_S))
            for number in range(first, due):
                reading: dict[str, str | int | float | bool] = {
                    "seq": number + 1,
                    "kind": sensor.kind,
                    "value": sensor.mean,
                    "unit": sensor.unit,
                    "utc_ns": clock.utc_ns(),
                }
                client.publish(topic, encode(reading), qos=0)
                self.sent += 1
            sent = due
        client.disconnect()
        client.loop_stop()
