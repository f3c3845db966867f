"""Protocol buffers from tables in the code: message classes, and the .proto text for others. Pure.

No generated file and no protoc: the table is the one source, as `flat` is for JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from inspector.flat import RefusedError

_SCALARS = {
    "double": 1,
    "float": 2,
    "uint64": 4,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "uint32": 13,
}  # FieldDescriptorProto.Type
_MESSAGE = 11
_OPTIONAL, _REPEATED = 1, 3


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its type is a scalar's name, or that of a message of the same table."""

    name: str
    number: int
    type: str
    repeated: bool = False


Messages = Mapping[str, tuple[Field, ...]]


def build(package: str, messages: Messages) -> dict[str, Any]:
    """Return the class of each message (proto2), by name. They have the API of google.protobuf."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field in fields:
            label = _REPEATED if field.repeated else _OPTIONAL
            added = message.field.add(name=field.name, number=field.number)
            added.label = label  # type: ignore[assignment]
            added.type = _SCALARS.get(field.type, _MESSAGE)  # type: ignore[assignment]
            if added.type == _MESSAGE:
                added.type_name = f".{package}.{field.type}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


def proto_text(package: str, about: str, messages: Messages) -> str:
    """Return the table as the text of a .proto file."""
    lines = [f"// {about}", 'syntax = "proto2";', f"package {package};"]
    for name, fields in messages.items():
        lines += ["", f"message {name} {{"]
        for field in fields:
            label = "repeated" if field.repeated else "optional"
            lines.append(f"  {label} {field.type} {field.name} = {field.number};")
        lines.append("}")
    return "\n".join(lines) + "\n"


def parse(message_class: Any, payload: bytes, max_bytes: int) -> Any:
    """Return the parsed message. Raises `RefusedError`, and nothing else."""
    if len(payload) > max_bytes:
        raise RefusedError("size", f"{len(payload)} bytes, at most {max_bytes} are taken")
    message = message_class()
    try:
        message.ParseFromString(payload)
    except (DecodeError, ValueError) as error:
        raise RefusedError("protobuf", "not a protobuf message of the expected type") from error
    return message
