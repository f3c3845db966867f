"""What Sparkplug B 3.0 asks of an edge node, checked by a host that shares no code with ours.

The names in brackets are the standard's own of its statements (tck-id-...). The payload is read by a small
reader of protobuf's wire format, with the field numbers of Eclipse Tahu's sparkplug_b.proto.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

INT64, DOUBLE, BOOLEAN, STRING = 4, 10, 11, 12
FIELD_OF_TYPE = {INT64: 11, DOUBLE: 13, BOOLEAN: 14, STRING: 15}
Value = int | float | bool | str | None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            number, at = _varint(data, at)
            yield tag >> 3, number
            continue
        if wire == 2:
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}[wire]
        yield tag >> 3, data[at : at + size]
        at += size
    assert at == len(data)


@dataclass(frozen=True)
class Metric:
    name: str
    value: Value
    datatype: int
    timestamp_ms: int | None


@dataclass(frozen=True)
class Payload:
    timestamp_ms: int | None
    seq: int | None
    metrics: dict[str, Metric]


def read_payload(data: bytes) -> Payload:
    numbers: dict[int, int] = {}
    metrics: dict[str, Metric] = {}
    for number, value in _fields(data):
        if number == 2:
            assert isinstance(value, bytes)
            metric = _metric(value)
            assert metric.name not in metrics
            metrics[metric.name] = metric
        else:
            assert number in (1, 3), f"field {number} of a payload"
            assert isinstance(value, int)
            numbers[number] = value
    return Payload(numbers.get(1), numbers.get(3), metrics)


def _metric(data: bytes) -> Metric:
    fields = dict(_fields(data))
    name, datatype, timestamp = fields[1], fields[4], fields.get(3)
    assert isinstance(name, bytes)  # tck-id-payloads-name-requirement
    assert isinstance(datatype, int)  # tck-id-payloads-metric-datatype-req
    assert timestamp is None or isinstance(timestamp, int)
    value: Value = None
    if not fields.get(7):  # is_null
        raw = fields[FIELD_OF_TYPE[datatype]]
        if isinstance(raw, bytes):
            value = struct.unpack("<d", raw)[0] if datatype == DOUBLE else raw.decode()
        elif datatype == BOOLEAN:
            assert raw in (0, 1)
            value = bool(raw)
        else:
            value = raw
    return Metric(name.decode(), value, datatype, timestamp)


@dataclass
class StrictHost:
    """A host application that takes nothing which the standard does not allow."""

    group: str
    node: str
    device: str | None
    seq: int | None = None
    bd_seq: int | None = None
    born: bool = False
    kinds: list[str] = field(default_factory=list)
    types: dict[str, int] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)

    def hear(self, topic: str, data: bytes, *, qos: int = 0, retained: bool = False) -> None:
        namespace, group, kind, node, *rest = topic.split("/")
        assert (namespace, group, node) == ("spBv1.0", self.group, self.node)
        assert not retained  # tck-id-topics-nbirth-mqtt, -ndeath-mqtt, -ddata-mqtt: retain is false
        payload = read_payload(data)
        self.kinds.append(kind)
        if kind == "NDEATH":
            assert rest == []
            self._death(payload)
            return
        assert qos == 0
        assert payload.timestamp_ms is not None  # tck-id-payloads-timestamp-in-UTC, in each of these
        assert payload.seq is not None  # tck-id-payloads-sequence-num-always-included
        for metric in payload.metrics.values():
            assert metric.timestamp_ms is not None  # tck-id-payloads-name-birth-data-requirement
        if kind == "NBIRTH":
            self._node_birth(payload)
        else:
            assert self.born, "nothing may come before a birth"
            assert self.seq is not None
            assert payload.seq == (self.seq + 1) % 256  # tck-id-payloads-sequence-num-incrementing
        self.seq = payload.seq
        own = kind[0] == "D"
        assert rest == ([self.device] if own else [])
        if kind in ("NBIRTH", "DBIRTH"):
            self.types |= {metric.name: metric.datatype for metric in payload.metrics.values()}
        for metric in payload.metrics.values():
            assert self.types[metric.name] == metric.datatype, "data of what no birth has named"
            self.values[metric.name] = metric.value

    def _node_birth(self, payload: Payload) -> None:
        assert payload.seq == 0  # tck-id-payloads-nbirth-seq
        bd_seq = payload.metrics["bdSeq"].value  # tck-id-payloads-nbirth-bdseq
        assert isinstance(bd_seq, int)
        assert 0 <= bd_seq <= 255
        if self.born:  # tck-id-operational-behavior-data-commands-rebirth-action-3
            assert bd_seq == self.bd_seq
        elif self.bd_seq is not None:
            # tck-id-topics-nbirth-bdseq-increment: by each CONNECT, so also by one that failed
            assert 1 <= (bd_seq - self.bd_seq) % 256 < 128
        rebirth = payload.metrics["Node Control/Rebirth"]  # tck-id-topics-nbirth-rebirth-metric
        assert (rebirth.datatype, rebirth.value) == (BOOLEAN, False)
        self.bd_seq, self.born = bd_seq, True
        self.types.clear()

    def _death(self, payload: Payload) -> None:
        assert payload.seq is None  # tck-id-topics-ndeath-seq
        assert list(payload.metrics) == ["bdSeq"]  # tck-id-topics-ndeath-payload
        bd_seq = payload.metrics["bdSeq"].value
        if not self.born and bd_seq != self.bd_seq:
            return  # of a connection that was lost before its birth
        assert bd_seq == self.bd_seq  # tck-id-payloads-ndeath-bdseq
        self.born = False
