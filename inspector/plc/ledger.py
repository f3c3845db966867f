"""What a killed arbiter must not forget, in memory that outlives it: a ring in a mapped file.

Every trigger is entered before the broker is told that we have it, every verdict before it leaves.
So the arbiter that starts next knows which parts are open and which are judged, and a part gets
neither two verdicts nor none. Writing is a copy into shared pages, which the kernel keeps when a
process dies however it dies (mmap(2), MAP_SHARED): about 1 µs, and no disk is waited for. A power
cut may lose the last seconds; the parts of these seconds are off the line by then.

Each slot carries a CRC-32: one that was torn by the end of its writer counts as never written. The
latched emergency is the exception to all this, since it may hold for hours: it has two slots in turn, so
that a torn one leaves the one before it, and the outbox's syncing thread has it on the disk at once.
"""

import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inspector.errors import ConfigError
from inspector.plc.outbox_file import Put
from inspector.types import JudgedPart, PartTrigger, SensorEvent

FILE = "ledger"
SLOTS = 2048
SLOT_BYTES = 1024
_HEAD = struct.Struct("<QIH")  # number, CRC-32 of what follows, its length
_NOTE_SLOTS = (0, SLOTS + 1)  # the latched emergency, in turn; the ring lies between them


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="open", tag_field="t"):
    """A part whose trigger we have. Times in UTC, because CLOCK_MONOTONIC does not survive a reboot."""

    trigger: PartTrigger
    utc_offset_ns: int


class Judged(msgspec.Struct, frozen=True, kw_only=True, tag="judged", tag_field="t"):
    """A verdict as it goes into the outbox."""

    put: Put


class Latched(msgspec.Struct, frozen=True, kw_only=True, tag="latched", tag_field="t"):
    """The emergency that holds the line, None when none does, and whether an operator has stopped it."""

    event: SensorEvent | None
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """What the last process left, the oldest first."""

    opened: tuple[PartTrigger, ...] = ()
    judged: tuple[JudgedPart, ...] = ()
    verdicts: tuple[Put, ...] = ()
    seq: int = 0  # of the last verdict
    latched_by: SensorEvent | None = None
    stopped: bool = False


class _Said(msgspec.Struct):
    """What we read of a verdict's payload."""

    seq: int
    trigger_utc_ns: int


_RECORD = msgspec.msgpack.Decoder(Opened | Judged | Latched)
_ENCODER = msgspec.msgpack.Encoder()


class Ledger:
    """`directory`/ledger. One process at a time, one thread. Raises ConfigError when it cannot be used.

    `utc_offset_ns` is UTC minus CLOCK_MONOTONIC, now.
    """

    def __init__(self, directory: Path, utc_offset_ns: int) -> None:
        path = directory / FILE
        size = (SLOTS + 2) * SLOT_BYTES
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
            try:
                os.posix_fallocate(self._fd, 0, size)  # a hole that the disk cannot fill later would kill us
                self._map = mmap.mmap(self._fd, size)
            except OSError:
                os.close(self._fd)
                raise
        except OSError as error:
            raise ConfigError(f"cannot use {path}: {error.strerror}") from error
        self._number = self._note_number = 0
        self.too_large = 0
        self.left = self._load(utc_offset_ns)
        self._note = Latched(event=self.left.latched_by, stopped=self.left.stopped)

    def opened(self, trigger: PartTrigger, utc_offset_ns: int) -> None:
        """Enter a part, before its trigger is acknowledged."""
        self._enter(Opened(trigger=trigger, utc_offset_ns=utc_offset_ns))

    def judged(self, put: Put) -> None:
        """Enter a verdict, before it is sent."""
        self._enter(Judged(put=put))

    def latch(self, event: SensorEvent | None) -> None:
        """Note the emergency that holds the line, or that none does."""
        self._noted(Latched(event=event, stopped=self._note.stopped))

    def stop(self, stopped: bool) -> None:
        """Note whether an operator has stopped the line."""
        if stopped != self._note.stopped:
            self._noted(Latched(event=self._note.event, stopped=stopped))

    def _noted(self, note: Latched) -> None:
        self._note = note
        self._note_number += 1
        self._write(_NOTE_SLOTS[self._note_number % 2], note, self._note_number)

    def sync(self) -> None:
        """Have what is noted on the disk. Of any thread; waits for the disk. Raises OSError."""
        os.fdatasync(self._fd)  # mmap.flush would hold the interpreter's lock, and so the verdicts

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)

    def _enter(self, record: Opened | Judged) -> None:
        self._number += 1
        self._write(1 + self._number % SLOTS, record, self._number)

    def _write(self, slot: int, record: Opened | Judged | Latched, number: int) -> None:
        text = _ENCODER.encode(record)
        if _HEAD.size + len(text) > SLOT_BYTES:
            self.too_large += 1
            return
        crc = zlib.crc32(text, number & 0xFFFFFFFF)
        start = slot * SLOT_BYTES
        self._map[start : start + _HEAD.size + len(text)] = _HEAD.pack(number, crc, len(text)) + text

    def _read(self, slot: int) -> tuple[int, Opened | Judged | Latched] | None:
        start = slot * SLOT_BYTES
        number, crc, length = _HEAD.unpack_from(self._map, start)
        text = self._map[start + _HEAD.size : start + SLOT_BYTES][:length]
        if number == 0 or len(text) != length or zlib.crc32(text, number & 0xFFFFFFFF) != crc:
            return None
        try:
            return number, _RECORD.decode(text)
        except msgspec.MsgspecError:
            return None  # of another version

    def _load(self, utc_offset_ns: int) -> Left:
        note = Latched(event=None)
        for number, read in sorted(filter(None, map(self._read, _NOTE_SLOTS)), key=lambda each: each[0]):
            if isinstance(read, Latched):
                self._note_number, note = number, read
        found = sorted(
            (each for each in map(self._read, range(1, SLOTS + 1)) if each is not None),
            key=lambda each: each[0],
        )
        opened: dict[str, PartTrigger] = {}
        verdicts: list[Put] = []
        for number, record in found:
            self._number = number
            if isinstance(record, Opened):
                opened[record.trigger.part_id] = _moved(record, utc_offset_ns)
            elif isinstance(record, Judged):
                opened.pop(record.put.part_id, None)
                verdicts.append(record.put)
        said = [msgspec.json.decode(put.payload, type=_Said) for put in verdicts]
        return Left(
            opened=tuple(opened.values()),
            judged=tuple(
                JudgedPart(part_id=put.part_id, trigger_ns=each.trigger_utc_ns - utc_offset_ns)
                for put, each in zip(verdicts, said, strict=True)
                if put.part_id
            ),
            verdicts=tuple(verdicts),
            seq=said[-1].seq if said else 0,
            latched_by=note.event,
            stopped=note.stopped,
        )


def _moved(record: Opened, utc_offset_ns: int) -> PartTrigger:
    """The trigger on this boot's monotonic clock. Within one boot nothing changes."""
    moved_ns = record.utc_offset_ns - utc_offset_ns
    if abs(moved_ns) < _SAME_BOOT_NS:
        return record.trigger
    trigger = record.trigger
    return msgspec.structs.replace(
        trigger, trigger_ns=trigger.trigger_ns + moved_ns, received_ns=trigger.received_ns + moved_ns
    )


_SAME_BOOT_NS = 1_000_000_000  # UTC is slewed and stepped by less than a reboot takes
