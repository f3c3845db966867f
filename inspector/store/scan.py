"""Reading one MCAP file that may have been cut off or damaged, in the order it was written.

The official readers want a whole file: without its index they stop at the first odd byte, and a
short read passes for a record. Here every record's length is checked against the file first, a
chunk counts only if its CRC is right, and what cannot be read is said instead of raised.
Record layout: mcap.dev/spec.
"""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, McapRecord, Message
from mcap.stream_reader import CRCValidationError, breakup_chunk
from mcap.writer import MCAP0_MAGIC

from inspector.errors import DataError

_RECORD_HEAD = struct.Struct("<BQ")
_CHUNK_TIMES = struct.Struct("<QQ")
_PRIVATE_OPCODES = 0x80

Window = tuple[int, int]
"""[start, end) of log times, UTC nanoseconds."""


@dataclass(slots=True)
class ScanReport:
    """What a scan met besides messages."""

    read_bytes: int = 0
    damage: list[str] = field(default_factory=list)


def ends_properly(path: Path) -> bool:
    """Say whether the writer finished the file, by its closing magic bytes."""
    with path.open("rb") as file:
        return _has_closing_magic(file, file.seek(0, io.SEEK_END))


def _has_closing_magic(file: IO[bytes], size: int) -> bool:
    if size < 2 * len(MCAP0_MAGIC):
        return False
    file.seek(size - len(MCAP0_MAGIC))
    return file.read(len(MCAP0_MAGIC)) == MCAP0_MAGIC


def scan(
    path: Path,
    wants: Callable[[str], bool],
    report: ScanReport,
    window: Window | None = None,
) -> Iterator[tuple[str, Message]]:
    """Yield (topic, message) of the topics that `wants` accepts, in file order.

    Chunks outside `window` are not read. `report` is filled while the scan goes on. Raises
    DataError if the file is no MCAP or cannot be read at all.
    """
    try:
        with path.open("rb") as file:
            yield from _Scan(file, path.name, report, window).messages(wants)
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


class _Scan:
    def __init__(self, file: IO[bytes], name: str, report: ScanReport, window: Window | None) -> None:
        self._file = file
        self._name = name
        self._report = report
        self._window = window
        self._size = file.seek(0, io.SEEK_END)
        self._topics: dict[int, str] = {}
        self._skipped: list[tuple[int, int]] = []  # (position, length) of chunks not read

    def messages(self, wants: Callable[[str], bool]) -> Iterator[tuple[str, Message]]:
        for pos, opcode, length in self._whole_records():
            if opcode == Opcode.CHUNK and not self._overlaps(pos):
                self._skipped.append((pos, length))
                continue
            for record in self._contents(pos, opcode, length):
                if isinstance(record, Channel):
                    self._topics[record.id] = record.topic
                elif isinstance(record, Message):
                    topic = self._topic(record.channel_id)
                    if topic is None:
                        self._damaged(pos, f"a message of the unknown channel {record.channel_id}")
                    elif wants(topic) and _within(record.log_time, self._window):
                        yield topic, record

    def _whole_records(self) -> Iterator[tuple[int, int, int]]:
        """Yield (position of the body, opcode, length) up to the first that is not all there."""
        self._file.seek(0)
        magic = self._file.read(len(MCAP0_MAGIC))
        if magic != MCAP0_MAGIC and not MCAP0_MAGIC.startswith(magic):
            raise DataError(f"{self._name}: not an MCAP file")
        pos = len(MCAP0_MAGIC)
        while pos + _RECORD_HEAD.size <= self._size:
            self._file.seek(pos)
            opcode, length = _RECORD_HEAD.unpack(self._file.read(_RECORD_HEAD.size))
            body, pos = pos + _RECORD_HEAD.size, pos + _RECORD_HEAD.size + length
            if not _known(opcode):
                # Zeros: the file system kept the length of the file, but not its last contents.
                self._damaged(body, "no record here, the rest cannot be read")
                return
            if opcode == Opcode.DATA_END:
                return
            if pos > self._size:
                break
            yield body, opcode, length
            self._report.read_bytes = pos
        if _has_closing_magic(self._file, self._size):  # else it was cut off, which is no damage
            self._damaged(pos, "a record has a wrong length, the rest cannot be read")

    def _contents(self, pos: int, opcode: int, length: int) -> list[McapRecord]:
        if opcode not in (Opcode.CHUNK, Opcode.CHANNEL, Opcode.MESSAGE):
            return []
        self._file.seek(pos)
        body = ReadDataStream(io.BytesIO(self._file.read(length)))
        try:
            if opcode == Opcode.CHANNEL:
                return [Channel.read(body)]
            if opcode == Opcode.MESSAGE:
                return [Message.read(body, length)]
            return breakup_chunk(Chunk.read(body), validate_crc=True)
        except (
            CRCValidationError,
            McapError,
            struct.error,
            ValueError,
            OverflowError,  # a damaged length
            MemoryError,
            RuntimeError,  # what lz4 raises for data that it cannot read
            zstandard.ZstdError,
        ) as exc:
            self._damaged(pos, f"a damaged record is left out ({exc})")
            return []

    def _topic(self, channel_id: int) -> str | None:
        """Name a channel, which a chunk outside the window may have declared."""
        while channel_id not in self._topics and self._skipped:
            pos, length = self._skipped.pop(0)
            for record in self._contents(pos, Opcode.CHUNK, length):
                if isinstance(record, Channel):
                    self._topics[record.id] = record.topic
        return self._topics.get(channel_id)

    def _overlaps(self, pos: int) -> bool:
        if self._window is None:
            return True
        self._file.seek(pos)
        times = self._file.read(_CHUNK_TIMES.size)
        if len(times) < _CHUNK_TIMES.size:
            return True  # no chunk at all: reading it says so
        first_ns, last_ns = _CHUNK_TIMES.unpack(times)
        return bool(first_ns < self._window[1] and last_ns >= self._window[0])

    def _damaged(self, pos: int, what: str) -> None:
        self._report.damage.append(f"{self._name}, byte {pos}: {what}")


def _within(log_time: int, window: Window | None) -> bool:
    return window is None or window[0] <= log_time < window[1]


def _known(opcode: int) -> bool:
    return Opcode.HEADER <= opcode <= Opcode.DATA_END or opcode >= _PRIVATE_OPCODES
