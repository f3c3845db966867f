"""Data from outside (YAML, JSON) as strict, frozen classes, and back. Pure."""

import math
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from inspector.wrong_value import WrongValueError, explained

T = TypeVar("T")
_DEEPEST = 32  # a YAML file can hold itself


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: frozen, unknown keys are an error, no type is taken for another but an integer for a float.

    Types and limits are checked by `check`, where data come from outside; what holds between fields
    always, by `__post_init__`, which raises ValueError.
    """


def check(data: object, kind: type[T]) -> T:
    """Make a `kind` of plain data: mappings, lists, text, numbers, as YAML and JSON have them.

    Raises:
        WrongValueError: the first thing that is wrong, and where.
    """
    _refuse_strange(data, ())
    try:
        return msgspec.convert(data, kind, dec_hook=_from_plain)
    except msgspec.ValidationError as error:
        raise explained(error, data, kind, _fits) from error


def check_json(text: bytes, kind: type[T]) -> T:
    """As `check`, of JSON text."""
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WrongValueError(f"is not JSON: {error}") from error
    return check(data, kind)


def to_json(value: Strict) -> bytes:
    """Return JSON that `check_json` makes the same of, without spaces, fields in their order."""
    return msgspec.json.encode(value, enc_hook=_to_plain)


def to_json_lines(value: Strict) -> str:
    """The same for people, indented."""
    return msgspec.json.format(to_json(value), indent=2).decode()


def to_plain(value: Strict) -> dict[str, Any]:
    """Return what JSON has of it: mappings, lists, text, numbers."""
    plain: dict[str, Any] = msgspec.json.decode(to_json(value))
    return plain


def _refuse_strange(data: object, keys: tuple[str | int, ...]) -> None:
    """Refuse what YAML has and no configuration: dates, infinities, keys that are no text."""
    if len(keys) > _DEEPEST:
        raise WrongValueError("lies too deep", *keys[:3])
    if isinstance(data, dict):
        for key, value in data.items():
            if not isinstance(key, str):
                raise WrongValueError(f"the key {key} must be text; quote it", *keys)
            _refuse_strange(value, (*keys, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _refuse_strange(value, (*keys, index))
    elif isinstance(data, float) and not math.isfinite(data):
        raise WrongValueError("must be a finite number", *keys)
    elif isinstance(data, date):
        raise WrongValueError("must not be a date or time; quote it to have it as text", *keys)
    elif not isinstance(data, str | int | float | None):
        raise WrongValueError("must be text, a number, a list or a mapping of keys", *keys)


def _from_plain(kind: type[Any], value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")


def _to_plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in configuration")


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind, dec_hook=_from_plain)
    except msgspec.ValidationError:
        return False
    return True
