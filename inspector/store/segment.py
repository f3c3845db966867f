"""One MCAP file being written, and the lane of such files that follow each other.

A chunk is the unit that survives: `flush` ends the chunk in progress, so that everything written
before it can be read back even if the file never gets its index. When the disk refuses, the file
is cut back to its last whole chunk and closed, and the lane tries a new one after a while;
continuing behind half a record would make all that follows unreadable.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcap.writer import CompressionType, Writer

from inspector.clock import NS_PER_S, Clock
from inspector.errors import StoreError
from inspector.store.layout import (
    SegmentFile,
    segment_name,
    segments,
    store_error,
    sync_folder,
)

COMPRESSION = {
    "none": CompressionType.NONE,
    "lz4": CompressionType.LZ4,
    "zstd": CompressionType.ZSTD,
}
RETRY_NS = 5 * NS_PER_S
MAX_AGE_NS = 3600 * NS_PER_S  # the index of a file is kept in memory until it is finished
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """What an MCAP channel says of itself."""

    topic: str
    message_encoding: str
    schema_name: str
    schema_encoding: str
    schema: bytes


class Segment:
    """One open MCAP file. Not safe from several threads. Methods raise OSError."""

    def __init__(self, path: Path, compression: CompressionType, opened_ns: int, *, frames: bool) -> None:
        self.path = path
        self.frames = frames
        self.opened_ns = opened_ns
        self.unflushed = 0  # what its user wrote since the last flush
        self._file = path.open("xb")
        self._writer = Writer(self._file, chunk_size=_CHUNK_BYTES, compression=compression)
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._sequences: dict[int, int] = {}
        self._good_bytes = 0
        self._writer.start(library="inspector")

    @property
    def size_bytes(self) -> int:
        """Bytes written, without the chunk in progress."""
        return self._file.tell()

    def register(self, spec: ChannelSpec) -> None:
        """Declare a channel; once for each topic."""
        if spec.topic in self._channels:
            return
        if spec.schema_name not in self._schemas:
            self._schemas[spec.schema_name] = self._writer.register_schema(
                spec.schema_name, spec.schema_encoding, spec.schema
            )
        channel = self._writer.register_channel(
            spec.topic, spec.message_encoding, self._schemas[spec.schema_name]
        )
        self._channels[spec.topic] = channel
        self._sequences[channel] = 0

    def add(self, topic: str, data: bytes, utc_ns: int) -> None:
        """Append one message to a registered channel."""
        channel = self._channels[topic]
        sequence = self._sequences[channel]
        self._sequences[channel] = (sequence + 1) & 0xFFFFFFFF
        at = max(utc_ns, 0)
        self._writer.add_message(channel, at, data, at, sequence)

    def attach(self, name: str, data: bytes, utc_ns: int) -> None:
        """Put a file of its own beside the messages."""
        at = max(utc_ns, 0)
        self._writer.add_attachment(at, at, name, "text/plain", data)

    def flush(self) -> None:
        """End the chunk and hand everything to the kernel."""
        self._writer.flush()  # type: ignore[no-untyped-call]
        self._good_bytes = self._file.tell()
        self.unflushed = 0

    def sync_handle(self) -> int:
        """Return a descriptor of the file for fdatasync; the caller closes it."""
        return os.dup(self._file.fileno())

    def finish(self) -> None:
        """Write the index and close."""
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.close()

    def abandon(self) -> None:
        """Cut the file back to its last whole chunk and close it without an index."""
        fd = self._file.fileno()
        try:
            os.ftruncate(fd, self._good_bytes)
        finally:
            # Closing the buffered file would write its leftover after the cut.
            self._file.raw.close()


class Lane:
    """The files of one kind (messages or frames) of a session, one open at a time.

    `prepare` registers what every file must begin with. Not safe from several threads. When
    writing fails the lane raises StoreError at once for `RETRY_NS`, then tries a new file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        frames: bool,
        compression: CompressionType,
        max_bytes: int,
        clock: Clock,
        prepare: Callable[[Segment], None],
    ) -> None:
        self.lost = 0
        self._folder = folder
        self._frames = frames
        self._compression = compression
        self._max_bytes = max_bytes
        self._clock = clock
        self._prepare = prepare
        self._segment: Segment | None = None
        self._failure: StoreError | None = None
        self._retry_ns = 0
        self._to_sync: list[int] = []

    @property
    def failure(self) -> str:
        """Why nothing can be written now, or ""."""
        return "" if self._failure is None else str(self._failure)

    def write(self, parts: Sequence[tuple[ChannelSpec, bytes]], utc_ns: int) -> None:
        """Append the messages that make up one thing. Raises StoreError; `lost` then counts one."""
        try:
            segment = self._open()
        except StoreError:
            self.lost += 1
            raise
        try:
            segment.unflushed += 1
            for spec, data in parts:
                segment.register(spec)
                segment.add(spec.topic, data, utc_ns)
        except OSError as exc:
            raise self._fail(segment, exc) from exc

    def flush(self) -> None:
        """End the chunk in progress and note the file for syncing. Raises StoreError."""
        segment = self._segment
        if segment is None or not segment.unflushed:
            return
        try:
            segment.flush()
            self._to_sync.append(segment.sync_handle())
            if segment.size_bytes >= self._max_bytes or self._too_old(segment):
                self._finish(segment)
        except OSError as exc:
            raise self._fail(segment, exc) from exc

    def take_sync_handles(self) -> list[int]:
        """Hand over descriptors that want fdatasync; the caller closes them."""
        handles, self._to_sync = self._to_sync, []
        return handles

    def sync_failed(self, exc: OSError) -> None:
        """Leave the open file: after a failed sync the kernel has dropped pages of it."""
        if self._segment is not None:
            self._fail(self._segment, exc)

    def close(self) -> None:
        """Finish the open file. Raises StoreError."""
        segment = self._segment
        if segment is None:
            return
        try:
            self._finish(segment)
        except OSError as exc:
            raise self._fail(segment, exc) from exc

    def _open(self) -> Segment:
        if self._segment is not None:
            return self._segment
        now_ns = self._clock.now_ns()
        if self._failure is not None and now_ns < self._retry_ns:
            raise StoreError(str(self._failure))
        numbers = [s.number for s in self._list() if s.frames == self._frames]
        number = max(numbers, default=-1) + 1
        path = self._folder / segment_name(number, frames=self._frames)
        segment: Segment | None = None
        try:
            segment = Segment(path, self._compression, now_ns, frames=self._frames)
            self._prepare(segment)
            segment.flush()
            sync_folder(self._folder)
        except OSError as exc:
            if segment is not None:
                segment.abandon()
                path.unlink()
            raise self._set_failure(path, exc) from exc
        self._failure = None
        self._segment = segment
        return segment

    def _list(self) -> tuple[SegmentFile, ...]:
        try:
            return segments(self._folder)
        except OSError as exc:
            raise self._set_failure(self._folder, exc) from exc

    def _too_old(self, segment: Segment) -> bool:
        return self._clock.now_ns() - segment.opened_ns >= MAX_AGE_NS

    def _finish(self, segment: Segment) -> None:
        self._to_sync.append(segment.sync_handle())
        segment.finish()
        self._segment = None

    def _fail(self, segment: Segment, exc: OSError) -> StoreError:
        self._segment = None
        self.lost += segment.unflushed
        failure = self._set_failure(segment.path, exc)
        try:
            segment.abandon()
        except OSError as second:
            failure.add_note(f"it could not be cut back to its last whole chunk: {second}")
        return failure

    def _set_failure(self, path: Path, exc: OSError) -> StoreError:
        self._failure = store_error(path, exc)
        self._retry_ns = self._clock.now_ns() + RETRY_NS
        return self._failure
