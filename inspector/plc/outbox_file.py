"""The outbox on disk: an append-only file of what was put and what has ended.

The caller only ever puts a record on a queue; one thread writes, another one syncs. A message is
on its way to the broker before its record is on the disk, so that an emergency never waits for
one. What a killed process (SIGKILL) had handed over is read back at the next start; a power cut
may lose the last `SYNC_EVERY_S`. Each line carries a CRC-32, so a line torn by a crash is told
and skipped. When a write fails, the file is left as it is until a whole snapshot has replaced it: a
later record in it would say that the lost ones before it never were.
"""

import errno
import fcntl
import os
import queue
import threading
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from inspector.errors import ConfigError, StoreError
from inspector.plc.outbox import AWAITING_ACK, Entry, Kind

A = TypeVar("A")
SYNC_EVERY_S = 0.2
RETRY_S = 1.0  # between two attempts to replace a file that has lost records
COMPACT_AT_BYTES = 4 * 1024 * 1024
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # it may pass; a missing right does not
MAX_WAITING = 8192  # records that a hung disk may hold up before they are dropped and counted


class Put(msgspec.Struct, frozen=True, kw_only=True, tag="put", tag_field="t"):
    """An entry, with its end of validity in UTC: CLOCK_MONOTONIC does not survive a reboot."""

    key: int
    kind: Kind
    payload: str
    verdict_id: str = ""
    part_id: str = ""
    valid_until_utc_ns: int | None = None
    urgent: bool = False


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end", tag_field="t"):
    """An entry is closed. `out` when the broker took it."""

    key: int
    out: bool


class Wait(msgspec.Struct, frozen=True, kw_only=True, tag="wait", tag_field="t"):
    """A verdict is out, and the PLC has not acknowledged it; what a compaction keeps of it."""

    verdict_id: str
    part_id: str


class Answered(msgspec.Struct, frozen=True, kw_only=True, tag="ack", tag_field="t"):
    """The PLC has acknowledged this verdict."""

    verdict_id: str


Record = Put | End | Wait | Answered


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What the last process left: open entries, and verdicts that the PLC has not acknowledged."""

    entries: tuple[Put, ...]
    awaiting: tuple[tuple[str, str], ...]  # verdict_id, part_id
    next_key: int
    corrupt_lines: int


def to_record(entry: Entry, utc_offset_ns: int) -> Put:
    """Return the record of an entry. `utc_offset_ns` is UTC minus CLOCK_MONOTONIC."""
    until = entry.valid_until_ns
    return Put(
        key=entry.key,
        kind=entry.kind,
        payload=entry.payload.decode("ascii"),
        verdict_id=entry.verdict_id,
        part_id=entry.part_id,
        valid_until_utc_ns=None if until is None else until + utc_offset_ns,
        urgent=entry.urgent,
    )


def to_entry(record: Put, utc_offset_ns: int) -> Entry:
    """Return the entry of a record, on this boot's monotonic clock."""
    until = record.valid_until_utc_ns
    return Entry(
        key=record.key,
        kind=record.kind,
        payload=record.payload.encode("ascii"),
        verdict_id=record.verdict_id,
        part_id=record.part_id,
        valid_until_ns=None if until is None else until - utc_offset_ns,
        urgent=record.urgent,
    )


class OutboxFile:
    """`directory`/outbox.log and the thread that writes it. One process at a time.

    `append` and `compact` are for one thread and never block. `failure` is the text of the last
    disk error, None while writing works: a full disk does not keep a cell from starting. Raises
    ConfigError when the directory cannot be used, or another process uses it.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "outbox.log"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(directory / "outbox.lock", os.O_RDWR | os.O_CREAT, 0o640)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = self._path.read_bytes() if self._path.exists() else b""
        except BlockingIOError as error:
            raise ConfigError(
                f"outbox {directory} is in use by another inspector process; stop that one first"
            ) from error
        except OSError as error:
            raise ConfigError(f"cannot use outbox folder {directory}: {error.strerror}") from error
        self.loaded = _load(text)
        self.failure: str | None = None
        self.counters: Counter[str] = Counter()
        self._fd = -1
        self._fd_lock = threading.Lock()
        self._size = 0
        self._lost = False  # some record is not in the file, and in no snapshot on its way there
        self._torn = False  # the writer's own: the file ends before what was lost
        self._compacting = False
        self._retry_s = 0.0
        try:
            loaded = self.loaded
            self._replace(_snapshot(loaded.entries, loaded.awaiting, loaded.next_key))
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise ConfigError(f"cannot write outbox {self._path}: {error.strerror}") from error
            self._told(error)
        self._work: queue.SimpleQueue[bytes | tuple[bytes] | None] = queue.SimpleQueue()
        self._unsynced = threading.Event()
        self._beside: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=body, name=f"outbox-{name}", daemon=True)
            for name, body in (("write", self._write_all), ("sync", self._sync_all))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def wants_compaction(self) -> bool:
        """Whether `compact` is due: the file has grown too large, or has lost records."""
        if self._compacting:
            return False
        return self._size > COMPACT_AT_BYTES or (self._lost and time.monotonic() >= self._retry_s)

    def append(self, record: Record) -> None:
        """Have one record written."""
        if self._work.qsize() >= MAX_WAITING:
            self.counters["records_dropped"] += 1
            self._lost = True
        if self._lost:
            return  # the snapshot that is due has it
        self._work.put(_line(record))

    def compact(self, entries: Iterable[Put], awaiting: Iterable[tuple[str, str]], next_key: int = 1) -> None:
        """Have the file replaced by just these open entries, and verdicts that wait for the PLC."""
        self._compacting, self._lost = True, False
        self._retry_s = time.monotonic() + RETRY_S
        self._work.put((_snapshot(entries, awaiting, next_key),))

    def sync_beside(self, sync: Callable[[], None]) -> None:
        """Have the syncing thread call this soon. An OSError of it is told like one of the file."""
        self._beside.put(sync)
        self._unsynced.set()

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is waiting, and let go of the folder. Raises StoreError if the disk hangs."""
        self._work.put(None)
        deadline = time.monotonic() + timeout_s
        self._threads[0].join(timeout_s)
        self._closed.set()
        self._unsynced.set()
        self._threads[1].join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            raise StoreError(f"the disk of {self._path} does not answer; its last records are lost")
        if self._fd >= 0:
            os.close(self._fd)
        os.close(self._lock_fd)

    def _write_all(self) -> None:
        """Body of the writing thread."""
        stop = False
        while not stop:
            items = [self._work.get()]
            while not self._work.empty():
                items.append(self._work.get())
            lines = b""
            for item in items:
                if item is None:
                    stop = True
                elif isinstance(item, tuple):
                    # What stood before it is in it, or has ended.
                    lines = b""
                    self._guard(self._replace, item[0])
                    self._compacting = False
                else:
                    lines += item
            if lines and not self._torn:
                self._guard(self._append, lines)
            self._unsynced.set()

    def _sync_all(self) -> None:
        """Body of the syncing thread: a write must not wait for the one before it to be synced."""
        while not self._closed.is_set():
            self._unsynced.wait()
            self._unsynced.clear()
            due = set()
            while not self._beside.empty():
                due.add(self._beside.get())
            for sync in due:
                self._guard(_call, sync)
            with self._fd_lock:
                if self._fd < 0:
                    continue  # started on a full disk, and no file yet
                fd = os.dup(self._fd)
            try:
                self._guard(os.fdatasync, fd)
            finally:
                os.close(fd)
            self._closed.wait(SYNC_EVERY_S)

    def _guard(self, action: Callable[[A], None], argument: A) -> None:
        """A full or failing disk degrades: it is counted and told until a snapshot is written."""
        try:
            action(argument)
        except OSError as error:
            self._told(error)

    def _told(self, error: OSError) -> None:
        self._torn = self._lost = True
        self.counters["write_errors"] += 1
        self.failure = f"cannot write {self._path}: {error.strerror}"

    def _append(self, lines: bytes) -> None:
        _write(self._fd, lines)
        self._size += len(lines)

    def _replace(self, lines: bytes) -> None:
        new = self._path.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o640)
        try:
            _write(fd, lines)
            os.fsync(fd)
            new.rename(self._path)
        except OSError:
            os.close(fd)
            raise
        with self._fd_lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = fd
        self._size, self._torn, self.failure = len(lines), False, None


def _call(action: Callable[[], None]) -> None:
    action()


def _write(fd: int, lines: bytes) -> None:
    view = memoryview(lines)
    while view:
        view = view[os.write(fd, view) :]


def _line(record: Record) -> bytes:
    text = msgspec.json.encode(record)
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _snapshot(entries: Iterable[Put], awaiting: Iterable[tuple[str, str]], next_key: int) -> bytes:
    records: list[Record] = [Wait(verdict_id=verdict_id, part_id=part_id) for verdict_id, part_id in awaiting]
    if next_key > 1:
        records.append(End(key=next_key - 1, out=False))  # so that no key is given twice
    records += entries
    return b"".join(map(_line, records))


_DECODER = msgspec.json.Decoder(Record)


def _load(text: bytes) -> Loaded:
    entries: dict[int, Put] = {}
    awaiting: OrderedDict[str, str] = OrderedDict()
    corrupt = last_key = 0
    for line in filter(None, text.split(b"\n")):
        try:
            if int(line[:8], 16) != zlib.crc32(line[9:]):
                raise ValueError("torn line")
            record = _DECODER.decode(line[9:])
        except (ValueError, msgspec.ValidationError):
            corrupt += 1
            continue
        match record:
            case Put():
                last_key = max(last_key, record.key)
                entries[record.key] = record
            case End():
                last_key = max(last_key, record.key)
                ended = entries.pop(record.key, None)
                if ended is not None and record.out and ended.kind is Kind.VERDICT:
                    awaiting[ended.verdict_id] = ended.part_id
            case Wait():
                awaiting[record.verdict_id] = record.part_id
            case Answered():
                awaiting.pop(record.verdict_id, None)
        if len(awaiting) > AWAITING_ACK:
            awaiting.popitem(last=False)
    return Loaded(
        entries=tuple(entries.values()),
        awaiting=tuple(awaiting.items()),
        next_key=last_key + 1,
        corrupt_lines=corrupt,
    )
