"""The header of a GGUF file: what the model is and how large its tensors are. Reads no weights.

Source: docs/gguf.md of github.com/ggml-org/ggml, version 3 (2 differs in nothing that is read here).
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from inspector.errors import ConfigError

Value = bool | int | float | str
_FORMATS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
_MOST = 1 << 24
"""No count or text in a header is larger; a damaged one says anything."""


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    size_bytes: int  # with the padding behind it


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """`values` without the arrays, of which only the lengths are kept, under their keys."""

    values: dict[str, Value]
    tensors: tuple[Tensor, ...]
    size_bytes: int

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    def number(self, key: str, default: int = 0) -> int:
        """Return a whole number of the architecture, `block_count` say."""
        value = self.values.get(f"{self.architecture}.{key}", default)
        return int(value) if isinstance(value, (int, float)) else default


def read_header(path: Path) -> GgufHeader:
    """Return the header of the file. Raises ConfigError for what is not a whole GGUF file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, len(data)).header()
    except (struct.error, ValueError, OverflowError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a whole GGUF file: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


class _Reader:
    def __init__(self, data: mmap.mmap, size_bytes: int) -> None:
        self._data = data
        self._size_bytes = size_bytes
        self._at = 0

    def header(self) -> GgufHeader:
        if self._data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._at = 4
        version = int(self._take("<I"))
        if version not in (2, 3):
            raise ValueError(f"its version {version} is not 2 or 3")
        tensors, pairs = self._count(), self._count()
        values: dict[str, Value] = {}
        for _ in range(pairs):
            key = self._text()
            values[key] = self._value(int(self._take("<I")))
        offsets: list[tuple[str, int]] = []
        for _ in range(tensors):
            name = self._text()
            dimensions = int(self._take("<I"))
            if dimensions > 8:
                raise ValueError(f"the tensor {name} has {dimensions} dimensions")
            for _ in range(dimensions):
                self._take("<Q")
            self._take("<I")
            offsets.append((name, int(self._take("<Q"))))
        alignment = int(values.get("general.alignment", 32))
        start = math.ceil(self._at / max(1, alignment)) * alignment
        return GgufHeader(values, self._sizes(offsets, self._size_bytes - start), self._size_bytes)

    def _sizes(self, offsets: list[tuple[str, int]], end: int) -> tuple[Tensor, ...]:
        ordered = sorted(offsets, key=lambda tensor: tensor[1])
        if ordered and (ordered[-1][1] >= end or end < 0):
            raise ValueError("it ends before its last tensor")
        nexts = [offset for _, offset in ordered[1:]] + [end]
        return tuple(
            Tensor(name, after - offset) for (name, offset), after in zip(ordered, nexts, strict=True)
        )

    def _value(self, kind: int) -> Value:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            if kind not in _FORMATS:
                raise ValueError(f"there is no type {kind}")
            return self._take(_FORMATS[kind])
        inner, length = int(self._take("<I")), self._count()
        if inner == _STRING:
            for _ in range(length):
                self._skip(self._count())
        elif inner in _FORMATS:
            self._skip(length * struct.calcsize(_FORMATS[inner]))
        else:
            raise ValueError(f"there is no array of type {inner}")
        return length

    def _take(self, form: str) -> Value:
        value: Value = struct.unpack_from(form, self._data, self._at)[0]
        self._at += struct.calcsize(form)
        return value

    def _count(self) -> int:
        count = int(self._take("<Q"))
        if count > _MOST:
            raise ValueError(f"a count of {count} makes no sense")
        return count

    def _text(self) -> str:
        length = self._count()
        text = self._data[self._at : self._at + length]
        self._skip(length)
        return text.decode("utf-8", "replace")

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > self._size_bytes:
            raise ValueError("it ends within its header")
