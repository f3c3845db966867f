"""Messages of all topics to what the arbiter takes; what is refused is told with its topic and reason."""

from inspector.flat import RefusedError
from inspector.mqtt_schema import Arrival
from inspector.plc.dispatch import Dispatcher
from inspector.plc.fault_log import FaultLog
from inspector.plc.inbox import Received
from inspector.plc.intake import Acknowledgement, PlcIntake
from inspector.plc.ledger import Ledger
from inspector.plc.sensor_decoder import SensorDecoder
from inspector.topics import MqttTopics
from inspector.types import Command, PartTrigger, SensorEvent

Incoming = PartTrigger | SensorEvent | Command | Acknowledgement


class Decoder:
    """See the module. One thread."""

    def __init__(
        self,
        *,
        topics: MqttTopics,
        sensors: SensorDecoder,
        dispatcher: Dispatcher,
        ledger: Ledger,
        faults: FaultLog,
    ) -> None:
        self._trigger_topic, self._command_topic, self._ack_topic = topics.trigger, topics.command, topics.ack
        self._sensors = sensors
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._faults = faults
        self.intake = PlcIntake()

    def decode(self, received: Received, utc_offset_ns: int) -> list[Incoming]:
        """Return what a message means; nothing when it is refused.

        `utc_offset_ns` is UTC minus CLOCK_MONOTONIC.
        """
        try:
            return self._decode(received, utc_offset_ns)
        except RefusedError as refused:
            if refused.reason != "duplicate":  # QoS 1 may repeat; that is no fault
                text = f"{received.topic[:100]}: {refused} ({refused.reason})"
                self._faults.add("MESSAGE_REFUSED", text)
            return []

    def _decode(self, received: Received, utc_offset_ns: int) -> list[Incoming]:
        topic, payload = received.topic, received.payload
        at_ns, retained = received.received_ns, received.retained
        if topic == self._trigger_topic:
            return [self._trigger(received, utc_offset_ns)]
        if topic == self._command_topic:
            return [self.intake.command(payload, retained=retained, received_ns=at_ns)]
        if topic == self._ack_topic:
            ack = self.intake.acknowledgement(payload, retained=retained, received_ns=at_ns)
            self._dispatcher.on_plc_ack(ack.verdict_id)
            return [ack]
        arrival = Arrival(topic, payload, retained, at_ns, utc_offset_ns)
        return [*self._sensors.accept(arrival)]

    def _trigger(self, received: Received, utc_offset_ns: int) -> PartTrigger:
        ahead = self.intake.clock_ahead
        trigger = self.intake.trigger(
            received.payload,
            retained=received.retained,
            received_ns=received.received_ns,
            utc_offset_ns=utc_offset_ns,
        )
        self._ledger.opened(trigger, utc_offset_ns)
        if self.intake.clock_ahead > ahead:
            self._faults.add(
                "PLC_CLOCK_AHEAD", "utc_ns of a trigger lies in the future; set both clocks by NTP"
            )
        return trigger
