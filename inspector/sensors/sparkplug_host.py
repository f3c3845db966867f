"""Sparkplug B edge nodes as sensors: what a primary host keeps of them, as far as we need it. Pure.

Sparkplug B 3.0, sections 6.4 (payload) and 5 (session): a birth names the metrics and gives them
aliases, `seq` counts a node's messages modulo 256, a death names the birth that it ends (bdSeq).
A gap in `seq`, or data of a node whose birth we did not hear, asks the node for a rebirth.
"""

from dataclasses import dataclass, field

from inspector.clock import NS_PER_MS, NS_PER_S
from inspector.config import SensorConfig, SparkplugSource
from inspector.flat import MAX_INT, RefusedError
from inspector.mqtt_schema import Arrival
from inspector.sensors.reading import Reading
from inspector.sparkplug_b import (
    BD_SEQ,
    REBIRTH,
    DataType,
    MessageType,
    Metric,
    Payload,
    decode,
    encode,
    topic,
)
from inspector.types import Quality

REBIRTH_EVERY_NS = 5 * NS_PER_S
MAX_AHEAD_MS = 1000  # a clock that is further ahead must not make everything after it a replay
_NODE = (MessageType.NBIRTH, MessageType.NDATA, MessageType.NDEATH)
_DEVICE = (MessageType.DBIRTH, MessageType.DDATA, MessageType.DDEATH)
_QUALITIES = {192: Quality.GOOD, 0: Quality.BAD, 500: Quality.BAD}  # 500: stale


@dataclass(slots=True)
class _Node:
    """`aliases` maps a device ("" is the node itself) and an alias to a metric's name."""

    born: bool = False
    bd_seq: int | None = None
    seq: int = -1
    newest_ms: int = -1
    aliases: dict[tuple[str, int], str] = field(default_factory=dict)
    asked_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What a message says: readings, sensors that are declared dead, metrics that are refused."""

    readings: list[Reading] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    refused: list[RefusedError] = field(default_factory=list)


class SparkplugHost:
    """Readings of the sensors that have a `sparkplug` source. One thread."""

    def __init__(self, sensors: tuple[SensorConfig, ...]) -> None:
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._of: dict[tuple[str, str, str, str], str] = {}  # group, node, device, metric: sensor
        self._routes: dict[str, tuple[MessageType, str, str, str]] = {}
        self._newest_ms: dict[str, int] = {}  # of each sensor
        self._requests: list[tuple[str, str]] = []
        for sensor in sensors:
            if sensor.sparkplug is not None:
                self._listen(sensor.id, sensor.sparkplug)

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics that are listened to."""
        return tuple(self._routes)

    def take(self, arrival: Arrival) -> Taken:
        """Return what one message says. Raises RefusedError when the whole of it is refused."""
        kind, group, name, device = self._routes[arrival.topic]
        if arrival.retained:
            raise RefusedError("retained", "Sparkplug messages are not retained")
        payload = decode(arrival.payload)
        node = self._nodes[group, name]
        if kind is MessageType.NDEATH:
            return Taken(gone=self._die(node, payload, group, name))
        if kind is MessageType.NBIRTH:
            self._birth(node, payload)
        else:
            self._follow(node, payload, (group, name), arrival.received_ns)
        latest_ms = (arrival.received_ns + arrival.utc_offset_ns) // NS_PER_MS + MAX_AHEAD_MS
        node.newest_ms = max(node.newest_ms, min(payload.timestamp_ms or -1, latest_ms))
        if kind is MessageType.DDEATH:
            return Taken(gone=self._sensors_of(group, name, device))
        if kind in (MessageType.NBIRTH, MessageType.DBIRTH):
            for metric in payload.metrics:
                if metric.alias is not None:
                    node.aliases[device, metric.alias] = metric.name
        taken = Taken()
        for metric in payload.metrics:
            label = metric.name
            if not label and metric.alias is not None:
                label = node.aliases.get((device, metric.alias), "")
            sensor_id = self._of.get((group, name, device, label))
            if sensor_id is None:
                continue  # a metric that nobody asked for
            try:
                taken.readings.append(self._reading(metric, payload, sensor_id, latest_ms))
            except RefusedError as refused:
                # One metric that is wrong must not hide another one's emergency.
                taken.refused.append(refused)
        return taken

    def requests(self, utc_ns: int) -> list[tuple[str, bytes]]:
        """Return the rebirth commands that are due, topic and payload."""
        if not self._requests:
            return []
        asked, self._requests = self._requests, []
        rebirth = Metric(REBIRTH, True, datatype=DataType.BOOLEAN)
        payload = encode(Payload(utc_ns // NS_PER_MS, None, (rebirth,)))
        return [(topic(group, MessageType.NCMD, name), payload) for group, name in asked]

    def _listen(self, sensor_id: str, source: SparkplugSource) -> None:
        group, name, device = source.group_id, source.edge_node_id, source.device_id or ""
        self._nodes.setdefault((group, name), _Node())
        self._of[group, name, device, source.metric] = sensor_id
        for kind in _NODE:
            self._routes[topic(group, kind, name)] = (kind, group, name, "")
        if device:
            for kind in _DEVICE:
                self._routes[topic(group, kind, name, device)] = (kind, group, name, device)

    def _sensors_of(self, group: str, name: str, device: str | None = None) -> list[str]:
        return [s for (g, n, d, _), s in self._of.items() if (g, n) == (group, name) and device in (None, d)]

    def _die(self, node: _Node, payload: Payload, group: str, name: str) -> list[str]:
        bd_seq = _bd_seq(payload)
        if not node.born or bd_seq != node.bd_seq:
            raise RefusedError("replayed", "a death of an earlier birth")
        node.born = False
        return self._sensors_of(group, name)

    def _birth(self, node: _Node, payload: Payload) -> None:
        if payload.seq is None or payload.timestamp_ms is None:
            raise RefusedError("keys", "a birth needs seq and timestamp")
        if payload.timestamp_ms < node.newest_ms:
            raise RefusedError("replayed", "a birth that is older than what came before")
        node.born, node.bd_seq, node.seq = True, _bd_seq(payload), payload.seq
        node.aliases.clear()
        node.asked_ns = None

    def _follow(self, node: _Node, payload: Payload, name: tuple[str, str], now_ns: int) -> None:
        """Check the place of a message in its node's row."""
        if payload.seq is None or payload.timestamp_ms is None:
            raise RefusedError("keys", "seq or timestamp is missing")
        if not node.born:
            self._ask(node, name, now_ns)
            raise RefusedError("unborn", "no birth of its node was heard; it was asked for one")
        if payload.seq == (node.seq + 1) % 256:
            node.seq = payload.seq
            return
        # Many messages fit into a millisecond; within one, seq says which came first.
        behind = (node.seq - payload.seq) % 256 < 128
        if payload.timestamp_ms < node.newest_ms or (payload.timestamp_ms == node.newest_ms and behind):
            text = f"seq {payload.seq} was here before"
            raise RefusedError("duplicate" if payload.seq == node.seq else "replayed", text)
        node.seq = payload.seq  # something was lost on the way; this message itself is new
        self._ask(node, name, now_ns)

    def _ask(self, node: _Node, name: tuple[str, str], now_ns: int) -> None:
        if node.asked_ns is None or now_ns - node.asked_ns >= REBIRTH_EVERY_NS:
            node.asked_ns = now_ns
            self._requests.append(name)

    def _reading(self, metric: Metric, payload: Payload, sensor_id: str, latest_ms: int) -> Reading:
        what = f"sensor {sensor_id}"
        if metric.historical:
            raise RefusedError("stale", f"{what}: a historical value")
        if not isinstance(metric.value, int | float):
            raise RefusedError("type", f"{what}: not a finite number")
        at_ms = (metric.timestamp_ms if metric.timestamp_ms is not None else payload.timestamp_ms) or 0
        if at_ms > MAX_INT // NS_PER_MS:
            raise RefusedError("range", f"{what}: its timestamp is beyond the year 2262")
        if at_ms < self._newest_ms.get(sensor_id, -1):
            raise RefusedError("replayed", f"{what}: older than the reading before")
        self._newest_ms[sensor_id] = min(at_ms, latest_ms)
        return Reading(
            sensor_id=sensor_id,
            value=float(metric.value),
            quality=_QUALITIES.get(metric.quality, Quality.UNCERTAIN),
            seq=payload.seq or 0,
            utc_ns=at_ms * NS_PER_MS,
        )


def _bd_seq(payload: Payload) -> int | None:
    value = next((metric.value for metric in payload.metrics if metric.name == BD_SEQ), None)
    return value if isinstance(value, int) else None
