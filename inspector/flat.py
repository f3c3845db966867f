"""Flat JSON objects, the one shape that every MQTT payload of the cell has. Pure.

PLC libraries parse into fixed structures and small buffers: so no arrays, no nesting, ASCII on
the wire, bounded strings, a bound on the whole. A `Schema` is a table of keys; it checks what
comes in, checks what goes out, and writes itself down as JSON Schema (draft 2020-12).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

import msgspec

from inspector.errors import DataError

Scalar = str | int | float | bool
MAX_INT = 2**63 - 1  # LINT of IEC 61131-3; beyond it a PLC cannot hold the number


class RefusedError(DataError):
    """A payload that we do not take. `reason` is a stable word to count by; the text says why."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a flat object. Bounds are inclusive; `max_length` counts characters.

    `only_with` is another key and a value of it: with that value this key is needed, else it is refused.
    """

    name: str
    type: Literal["string", "integer", "number", "boolean"]
    about: str
    required: bool = True
    max_length: int = 64
    min_length: int = 0
    minimum: float | None = None
    maximum: float | None = None
    one_of: tuple[str, ...] = ()
    always: bool | None = None
    only_with: tuple[str, str] | None = None

    @property
    def needed(self) -> bool:
        """Whether it stands in every object."""
        return self.required and self.only_with is None

    def check(self, value: object) -> None:
        """Raise `RefusedError` unless the value is of this key's type and within its bounds."""
        if self.type == "string":
            self._check_string(value)
        elif self.type == "boolean":
            if type(value) is not bool:
                raise RefusedError("type", f"{self.name} is not true or false")
            if self.always is not None and value is not self.always:
                raise RefusedError("range", f"{self.name} must be {str(self.always).lower()}")
        else:
            self._check_number(value)

    def _check_string(self, value: object) -> None:
        if not isinstance(value, str):
            raise RefusedError("type", f"{self.name} is not a string")
        if not self.min_length <= len(value) <= self.max_length:
            raise RefusedError(
                "range",
                f"{self.name} has {len(value)} characters,"
                f" it must have {self.min_length} to {self.max_length}",
            )
        if not value.isprintable():  # a control character, or half of a surrogate pair
            raise RefusedError("encoding", f"{self.name} holds characters that cannot be printed")
        if self.one_of and value not in self.one_of:
            raise RefusedError("range", f"{self.name} must be one of {', '.join(self.one_of)}")

    def _check_number(self, value: object) -> None:
        # bool is an int to Python, never to a PLC.
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RefusedError("type", f"{self.name} is not a number")
        if self.type == "integer" and not isinstance(value, int):
            raise RefusedError("type", f"{self.name} is not a whole number")
        if isinstance(value, int) and abs(value) > MAX_INT:
            raise RefusedError("range", f"{self.name} does not fit into 64 bits")
        if not math.isfinite(value):
            raise RefusedError("range", f"{self.name} is not finite")
        if self.minimum is not None and value < self.minimum:
            raise RefusedError("range", f"{self.name} is below {self.minimum:g}")
        if self.maximum is not None and value > self.maximum:
            raise RefusedError("range", f"{self.name} is above {self.maximum:g}")

    def annotation(self) -> Any:
        """Return this key as a msgspec type that accepts nothing that `check` would refuse."""
        if self.one_of:
            return Literal[tuple(str(value) for value in self.one_of)]
        if self.type == "string":
            return Annotated[str, msgspec.Meta(min_length=self.min_length, max_length=self.max_length)]
        if self.type == "boolean":
            return bool if self.always is None else Literal[self.always]
        lowest = -MAX_INT if self.minimum is None else self.minimum
        highest = MAX_INT if self.maximum is None else self.maximum
        if self.type == "integer":
            return Annotated[int, msgspec.Meta(ge=int(lowest), le=int(highest))]
        # NaN and infinity fail both comparisons.
        return Annotated[float, msgspec.Meta(ge=float(lowest), le=float(highest))]

    def json_schema(self) -> dict[str, object]:
        """Return this key as a JSON Schema property."""
        out: dict[str, object] = {"type": self.type, "description": self.about}
        if self.type == "string":
            out["maxLength"] = self.max_length
            if self.min_length:
                out["minLength"] = self.min_length
        if self.minimum is not None:
            out["minimum"] = self.minimum
        if self.maximum is not None:
            out["maximum"] = self.maximum
        if self.one_of:
            out["enum"] = list(self.one_of)
        if self.always is not None:
            out["const"] = self.always
        return out


class Schema:
    """A flat object: its keys in the order in which they are sent, and its largest size in bytes."""

    def __init__(self, name: str, about: str, max_bytes: int, keys: tuple[Key, ...]) -> None:
        self.name = name
        self.about = about
        self.max_bytes = max_bytes
        self.keys = keys
        self._by_name = {key.name: key for key in keys}
        self._required = frozenset(key.name for key in keys if key.needed)
        self._dependent = tuple((key.name, *key.only_with) for key in keys if key.only_with is not None)
        self._struct = msgspec.defstruct(
            name, [(key.name, key.annotation()) for key in keys], forbid_unknown_fields=True
        )
        self._reader = _Reader(name, keys)

    def check(self, values: Mapping[str, object]) -> None:
        """Raise `RefusedError` for a key too many, a key missing, a wrong type or a value out of bounds.

        An unknown key is refused and not skipped: a misspelt `urgency` must be noticed when the
        sensor is commissioned, not on the day of the emergency.
        """
        missing = self._required - values.keys()
        if missing:
            raise RefusedError("keys", f"{min(missing)} is missing")
        for name, value in values.items():
            key = self._by_name.get(name)
            if key is None:
                raise RefusedError("keys", f"{name[:32]!r} is not a key of {self.name}")
            key.check(value)
        self._check_dependent(values)

    def _check_dependent(self, values: Mapping[str, object]) -> None:
        for name, other, value in self._dependent:
            if (name in values) != (values.get(other) == value):
                how = "belongs to" if name in values else "is missing, it is needed with"
                raise RefusedError("keys", f"{name} {how} {other} {value}")

    def decode(self, payload: bytes) -> dict[str, Scalar]:
        """Parse and check one payload from outside. Raises `RefusedError`, and nothing else."""
        if len(payload) > self.max_bytes:
            raise RefusedError("size", f"{len(payload)} bytes, at most {self.max_bytes} are taken")
        plain = self._reader.read(payload)
        if plain is not None:
            self._check_dependent(plain)
            return plain
        try:
            values = _DECODER.decode(payload.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RefusedError("encoding", "not UTF-8") from error
        except RecursionError as error:
            raise RefusedError("json", "nested too deeply") from error
        except ValueError as error:
            raise RefusedError("json", f"not JSON: {error}"[:120]) from error
        if not isinstance(values, dict):
            raise RefusedError("json", "not a JSON object")
        self.check(values)
        return values

    def encode(self, values: Mapping[str, Scalar]) -> bytes:
        """Check and write one payload for the outside: compact, ASCII, in the order of the keys.

        Raises `RefusedError` when it breaks the schema or is too long.
        """
        payload = self._encode_fast(values)
        if payload is None:
            self.check(values)
            ordered = {key.name: values[key.name] for key in self.keys if key.name in values}
            text = json.dumps(ordered, separators=(",", ":"), allow_nan=False)
            payload = text.encode("ascii")
        if len(payload) > self.max_bytes:
            raise RefusedError("size", f"{len(payload)} bytes, at most {self.max_bytes} may be sent")
        return payload

    def _encode_fast(self, values: Mapping[str, Scalar]) -> bytes | None:
        """Check and write in one go in C; None when something needs a closer look.

        A verdict is on its way here. From cold caches `check` in Python costs 0.1 ms.
        """
        try:
            payload = msgspec.json.encode(msgspec.convert(values, self._struct))
        except (msgspec.ValidationError, UnicodeError):
            return None
        self._check_dependent(values)
        # A backslash escapes what may not be printable.
        return payload if payload.isascii() and b"\\" not in payload else None

    def json_schema(self) -> dict[str, object]:
        """Return the whole as a JSON Schema document."""
        conditions = [
            {
                "if": {"properties": {other: {"const": value}}},
                "then": {"required": [name]},
                "else": {"properties": {name: False}},
            }
            for name, other, value in self._dependent
        ]
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": self.name,
            "description": f"{self.about} At most {self.max_bytes} bytes.",
            "type": "object",
            "properties": {key.name: key.json_schema() for key in self.keys},
            "required": [key.name for key in self.keys if key.needed],
            **({"allOf": conditions} if conditions else {}),
            "additionalProperties": False,
        }


_WHOLE = 2**52  # whole numbers up to here are the same as a float


class _Reader:
    """Parses and checks in one go in C what is written plainly: a tenth of the time.

    A sensor may send thousands of readings a second. What `read` takes, `Schema.decode` would take too,
    with the same values; about all else it says nothing (None).
    """

    def __init__(self, name: str, keys: tuple[Key, ...]) -> None:
        fields: list[Any] = []
        for key in sorted(keys, key=lambda key: not key.needed):  # a default may not come before none
            kind = key.annotation()
            if key.type == "number":
                low, high = (_bound(key.minimum, -_WHOLE), _bound(key.maximum, _WHOLE))
                kind = Annotated[float, msgspec.Meta(ge=max(low, -_WHOLE), le=min(high, _WHOLE))]
            if key.needed:
                fields.append((key.name, kind))
            else:
                fields.append((key.name, kind | msgspec.UnsetType, msgspec.UNSET))
        self._names = tuple(field[0] for field in fields)
        strings = {key.name for key in keys if key.type == "string"}
        self._quotes = {each: 4 if each in strings else 2 for each in self._names}
        self._all_quotes = sum(self._quotes.values())
        self._decoder = msgspec.json.Decoder(msgspec.defstruct(name, fields, forbid_unknown_fields=True))

    def read(self, payload: bytes) -> dict[str, Scalar] | None:
        # A backslash hides characters, and 0x7F is the one that JSON allows and no printer has.
        if not payload.isascii() or b"\\" in payload or b"\x7f" in payload:
            return None
        try:
            read = msgspec.structs.astuple(self._decoder.decode(payload))
        except msgspec.MsgspecError:
            return None
        values: dict[str, Any] = dict(zip(self._names, read, strict=True))
        quotes = self._all_quotes
        if msgspec.UNSET in read:
            values = {name: value for name, value in values.items() if value is not msgspec.UNSET}
            quotes = sum(self._quotes[name] for name in values)
        # A key that stands there twice has brought more quotation marks along.
        return values if payload.count(b'"') == quotes else None


def _bound(bound: float | None, otherwise: float) -> float:
    return float(otherwise if bound is None else bound)


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        # JSON lets each parser pick one of the two; two readers would act differently.
        raise ValueError("a key stands there twice")
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once_each, parse_constant=_no_constant)
