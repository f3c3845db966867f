"""What is wrong in data from outside, and where: the keys that lead there, and a reason for people. Pure."""

import re
from collections.abc import Callable, Iterator
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

Fits = Callable[[object, Any], bool]
"""Whether a value is one of this type."""

_SAID = re.compile(r"(?P<reason>.*?)(?: - at (?:`key` in )?`\$(?P<path>[^`]*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(?P<field>[^.\[]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
_FIELD = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<key>.*)`", re.DOTALL)
_REASONS: Final = {"contains unknown": "there is no such key", "missing required": "this key is needed"}
_TYPES = re.compile(r"`([a-zA-Z]+(?: \| [a-zA-Z]+)*)`")
_WORDS: Final = {
    "array": "a list", "bool": "true or false", "dict": "a mapping of keys", "float": "a number",
    "int": "a whole number", "list": "a list", "null": "nothing", "NoneType": "nothing",
    "object": "a mapping of keys", "str": "text",
}  # fmt: skip


class WrongValueError(ValueError):
    """`keys` lead to the value from the section that raises this, `reason` is for people.

    A ValueError, so that msgspec adds where the section lies. Who knows the file makes a ConfigError of it.
    """

    def __init__(self, reason: str, *keys: str | int) -> None:
        self.keys = tuple(map(str, keys))
        self.reason = _one_line(reason)
        super().__init__(": ".join(part for part in (self.key, self.reason) if part))

    @property
    def key(self) -> str:
        """The keys in one word: `cameras.0.port`; "" is the whole."""
        return _one_line(".".join(self.keys))


def explained(error: msgspec.ValidationError, data: object, kind: Any, fits: Fits) -> WrongValueError:
    """Say what msgspec found in `data`, which was to be a `kind`, and where.

    A value of a wrong type, or none of those allowed, is not repeated: it may be a secret.
    """
    said = _SAID.fullmatch(str(error))
    assert said is not None  # it matches everything
    keys, kind = _follow(said["path"] or "", data, kind, fits)
    cause = error.__cause__
    if isinstance(cause, WrongValueError):
        return WrongValueError(cause.reason, *keys, *cause.keys)
    if field := _FIELD.fullmatch(said["reason"]):
        return WrongValueError(_REASONS[field["what"]], *keys, field["key"])
    if cause is None and (allowed := ", ".join(_allowed(kind))):
        return WrongValueError(f"must be one of: {allowed}", *keys)
    return WrongValueError(_TYPES.sub(_in_words, said["reason"]), *keys)


def _follow(path: str, data: Any, kind: Any, fits: Fits) -> tuple[list[str | int], Any]:
    """Return the keys of msgspec's path, which says `[...]` for values of a mapping, and the type there."""
    keys: list[str | int] = []
    for step in _STEP.finditer(path):
        kind = _inside(kind, step["field"])
        if step["field"]:
            key: Any = step["field"]
        elif step["index"]:
            key = int(step["index"])
        else:
            key = next(name for name, value in data.items() if not fits(value, kind))
        keys.append(key)
        data = data[key]
    return keys, kind


def _inside(kind: Any, field: str | None) -> Any:
    """The type of a field, or else of what lies in a list or a mapping."""
    for each in _members(kind):
        if field and isinstance(each, type) and issubclass(each, msgspec.Struct):
            return get_type_hints(each, include_extras=True)[field]
        if not field and get_origin(each) in (tuple, dict):
            return get_args(each)[1 if get_origin(each) is dict else 0]
    raise AssertionError(f"{kind} has nothing inside")


def _members(kind: Any) -> Iterator[Any]:
    """The types that a value may have, without their limits."""
    if get_origin(kind) is Annotated:
        yield from _members(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            yield from _members(each)
    else:
        yield kind


def _allowed(kind: Any) -> Iterator[str]:
    """All values that a type has, where they are few and named."""
    for each in _members(kind):
        if get_origin(each) is Literal:
            yield from map(str, get_args(each))
        elif isinstance(each, type) and issubclass(each, Enum):
            yield from (str(member.value) for member in each)


def _in_words(types: re.Match[str]) -> str:
    names = types[1].split(" | ")
    return " or ".join(_WORDS.get(name, name) for name in names)


def _one_line(text: str) -> str:
    return " ".join(text.split())
