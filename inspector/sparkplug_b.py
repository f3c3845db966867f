"""Sparkplug B 3.0 payloads: what we read and write of them. Pure.

Field numbers are those of sparkplug_b.proto (Eclipse Tahu). What is not in the tables (datasets,
templates, metadata) is skipped when reading, as protobuf does with unknown fields.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from inspector.flat import RefusedError
from inspector.proto import Field, build, parse

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
BD_SEQ = "bdSeq"
MAX_BYTES = 65_536  # a birth names every metric of a device
MAX_METRICS = 2000

_VALUE_TYPES = (
    ("int_value", "uint32"),
    ("long_value", "uint64"),
    ("float_value", "float"),
    ("double_value", "double"),
    ("boolean_value", "bool"),
    ("string_value", "string"),
)
_VALUE_NAMES = tuple(name for name, _ in _VALUE_TYPES)


def _values(first: int) -> tuple[Field, ...]:
    return tuple(Field(name, first + n, kind) for n, (name, kind) in enumerate(_VALUE_TYPES))


MESSAGES = {
    "PropertyValue": (Field("type", 1, "uint32"), Field("is_null", 2, "bool"), *_values(3)),
    "PropertySet": (
        Field("keys", 1, "string", repeated=True),
        Field("values", 2, "PropertyValue", repeated=True),
    ),
    "Metric": (
        Field("name", 1, "string"),
        Field("alias", 2, "uint64"),
        Field("timestamp", 3, "uint64"),
        Field("datatype", 4, "uint32"),
        Field("is_historical", 5, "bool"),
        Field("is_null", 7, "bool"),
        Field("properties", 9, "PropertySet"),
        *_values(10),
    ),
    "Payload": (
        Field("timestamp", 1, "uint64"),
        Field("metrics", 2, "Metric", repeated=True),
        Field("seq", 3, "uint64"),
    ),
}
_CLASSES = build("inspector.sparkplug_b", MESSAGES)
_PAYLOAD = _CLASSES["Payload"]


class MessageType(StrEnum):
    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"


class DataType(IntEnum):
    """Sparkplug B 3.0, section 6.4.16; those that we use."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT32 = 7
    UINT64 = 8
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


_SIGNED = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
Value = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Metric:
    """`value` is None for a null, or for a type that we do not read. `quality` is the OPC code."""

    name: str
    value: Value | None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int = 0
    historical: bool = False
    quality: int = 192  # GOOD


@dataclass(frozen=True, slots=True)
class Payload:
    timestamp_ms: int | None
    seq: int | None
    metrics: tuple[Metric, ...]


def topic(group: str, kind: MessageType, node: str, device: str | None = None) -> str:
    """Return the topic of a message; those of a device end with its name."""
    path = f"{NAMESPACE}/{group}/{kind}/{node}"
    return path if device is None else f"{path}/{device}"


def decode(payload: bytes) -> Payload:
    """Parse one payload. Raises `RefusedError`, and nothing else."""
    message = parse(_PAYLOAD, payload, MAX_BYTES)
    if len(message.metrics) > MAX_METRICS:
        raise RefusedError("size", f"{len(message.metrics)} metrics, at most {MAX_METRICS} are taken")
    seq = int(message.seq) if message.HasField("seq") else None
    if seq is not None and seq > 255:
        raise RefusedError("range", f"seq is {seq}, it must be at most 255")
    return Payload(
        timestamp_ms=int(message.timestamp) if message.HasField("timestamp") else None,
        seq=seq,
        metrics=tuple(map(_metric, message.metrics)),
    )


def encode(payload: Payload) -> bytes:
    """Return the payload's bytes. Values go as their `datatype` says."""
    message = _PAYLOAD(timestamp=payload.timestamp_ms, seq=payload.seq)
    for metric in payload.metrics:
        out = message.metrics.add(name=metric.name, datatype=int(metric.datatype))
        at_ms = payload.timestamp_ms if metric.timestamp_ms is None else metric.timestamp_ms
        if at_ms is not None:
            out.timestamp = at_ms
        if metric.alias is not None:
            out.alias = metric.alias
        if metric.value is None:
            out.is_null = True
        else:
            name, value = _stored(DataType(metric.datatype), metric.value)
            setattr(out, name, value)
    data: bytes = message.SerializeToString()
    return data


def _metric(message: Any) -> Metric:
    name = next((n for n in _VALUE_NAMES if message.HasField(n)), None)
    value: Value | None = None
    if name is not None and not message.is_null:
        value = _value(getattr(message, name), int(message.datatype))
    return Metric(
        name=message.name if isinstance(message.name, str) else "",
        value=value,
        alias=int(message.alias) if message.HasField("alias") else None,
        timestamp_ms=int(message.timestamp) if message.HasField("timestamp") else None,
        datatype=int(message.datatype),
        historical=bool(message.is_historical),
        quality=_quality(zip(message.properties.keys, message.properties.values, strict=False)),
    )


def _value(value: Any, datatype: int) -> Value | None:
    if isinstance(value, bytes):  # protobuf's way of handing out text that is not UTF-8
        return None
    read = _signed(value, datatype)
    return None if isinstance(read, float) and not math.isfinite(read) else read


def _quality(properties: Iterable[tuple[str, Any]]) -> int:
    for key, value in properties:
        if key == "Quality" and value.HasField("int_value"):
            return int(value.int_value)
    return 192


def _signed(value: Value, datatype: int) -> Value:
    """Signed integers travel as unsigned ones in two's complement (section 6.4.16)."""
    bits = _SIGNED.get(DataType(datatype)) if datatype in set(DataType) else None
    if bits is None or isinstance(value, bool) or not isinstance(value, int):
        return value
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _stored(datatype: DataType, value: Value) -> tuple[str, Value]:
    if datatype is DataType.DOUBLE:
        return "double_value", float(value)
    if datatype is DataType.BOOLEAN:
        return "boolean_value", bool(value)
    if datatype is DataType.STRING:
        return "string_value", str(value)
    if datatype in (DataType.INT64, DataType.UINT64):
        return "long_value", int(value) & 0xFFFF_FFFF_FFFF_FFFF
    return "int_value", int(value) & 0xFFFF_FFFF
