"""The cell as an edge node of Sparkplug B 3.0: what it says when. Pure.

A birth names every metric with its value now; data names what has changed; `seq` counts all of it modulo
256 from each birth on (6.4.8). A death is left with the broker at each CONNECT as the Will, and carries the
number of the birth that it ends (`bdSeq`, 0 to 255, one more at each CONNECT).
"""

from collections.abc import Mapping

from inspector.clock import NS_PER_MS
from inspector.config import SparkplugDevice
from inspector.flat import RefusedError
from inspector.sparkplug_b import (
    BD_SEQ,
    REBIRTH,
    DataType,
    MessageType,
    Metric,
    Payload,
    Value,
    decode,
    encode,
    topic,
)

METRICS = {
    "State": DataType.STRING,
    "Emergency Latched": DataType.BOOLEAN,
    "Recipe": DataType.STRING,
    "Verdict/Id": DataType.STRING,
    "Verdict/Part Id": DataType.STRING,
    "Verdict/Sequence": DataType.INT64,
    "Verdict/Decision": DataType.STRING,
    "Verdict/Action": DataType.STRING,
    "Verdict/Reason": DataType.STRING,
    "Verdict/Cause": DataType.STRING,
    "Verdict/Confidence": DataType.DOUBLE,
    "Verdict/Defect Probability": DataType.DOUBLE,
    "Verdict/Failsafe": DataType.BOOLEAN,
    "Counters/PASS": DataType.INT64,
    "Counters/REJECT": DataType.INT64,
    "Counters/HOLD": DataType.INT64,
    "Counters/STOP": DataType.INT64,
    "Fault/Service": DataType.STRING,
    "Fault/Code": DataType.STRING,
    "Fault/Text": DataType.STRING,
}
Message = tuple[str, bytes]
"""Topic and payload."""


class SparkplugNode:
    """See the module. `bd_seq` is the last one that was used, -1 for none.

    `death` is for the thread that connects, all else for the other one.
    """

    def __init__(self, place: SparkplugDevice, bd_seq: int = -1) -> None:
        self._place = place
        self.bd_seq = bd_seq
        self._seq = 0
        self._values: dict[str, Value | None] = dict.fromkeys(METRICS)
        self.command_topic = self._topic(MessageType.NCMD)

    def death(self) -> Message:
        """Return the Will of the CONNECT that is about to be sent."""
        self.bd_seq = (self.bd_seq + 1) % 256
        return self.farewell()

    def farewell(self) -> Message:
        """Return the death of the present birth, for an end in order."""
        # Nothing but bdSeq, and no seq (6.4.19).
        return self._topic(MessageType.NDEATH), encode(Payload(None, None, (self._bd_metric(),)))

    def births(self, utc_ns: int) -> list[Message]:
        """Return what is said after each CONNECT, and on command: everything."""
        utc_ms = utc_ns // NS_PER_MS
        own = tuple(Metric(name, self._values[name], datatype=kind) for name, kind in METRICS.items())
        node = (self._bd_metric(), Metric(REBIRTH, False, datatype=DataType.BOOLEAN))
        self._seq = 0
        if self._place.device_id is None:
            return [(self._topic(MessageType.NBIRTH), encode(Payload(utc_ms, 0, (*node, *own))))]
        return [
            (self._topic(MessageType.NBIRTH), encode(Payload(utc_ms, 0, node))),
            (self._topic(MessageType.DBIRTH), encode(Payload(utc_ms, self._next_seq(), own))),
        ]

    def note(self, values: Mapping[str, Value | None]) -> dict[str, Value | None]:
        """Take new values; return those that have changed."""
        changed = {name: value for name, value in values.items() if self._values[name] != value}
        self._values.update(changed)
        return changed

    def data(self, changed: Mapping[str, Value | None], utc_ns: int) -> Message:
        """Return the message about values that were noted."""
        kind = MessageType.NDATA if self._place.device_id is None else MessageType.DDATA
        metrics = tuple(Metric(name, value, datatype=METRICS[name]) for name, value in changed.items())
        return self._topic(kind), encode(Payload(utc_ns // NS_PER_MS, self._next_seq(), metrics))

    def asks_for_rebirth(self, payload: bytes) -> bool:
        """Read an NCMD. Raises RefusedError."""
        metrics = decode(payload).metrics
        if not metrics:
            raise RefusedError("keys", "a command without a metric")
        for metric in metrics:
            if metric.name != REBIRTH:
                raise RefusedError("keys", f"{metric.name[:64]!r} is not to be written")
        return any(metric.value is True for metric in metrics)

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) % 256
        return self._seq

    def _bd_metric(self) -> Metric:
        return Metric(BD_SEQ, self.bd_seq, datatype=DataType.INT64)

    def _topic(self, kind: MessageType) -> str:
        device = self._place.device_id if kind in (MessageType.DBIRTH, MessageType.DDATA) else None
        return topic(self._place.group_id, kind, self._place.edge_node_id, device)
