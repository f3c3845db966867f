"""Writing a session: everything that the cell saw and said, in files that a power cut spares.

Every second a thread of the writer ends the chunks in progress and has them put on the disk
(fdatasync), so that at most the last second is lost, and the caller never waits for the disk.
"""

import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import msgspec
from mcap.well_known import MessageEncoding, SchemaEncoding

from inspector import topics
from inspector.clock import Clock, SystemClock
from inspector.errors import ConfigError, InvariantError, StoreError
from inspector.store import raw_image
from inspector.store.layout import (
    CONFIG_NAME,
    META_NAME,
    SessionInfo,
    SessionMeta,
    boot_id,
    lock_session,
    read_meta,
    session_folders,
    store_error,
    sync_folder,
    utc_text,
    write_durably,
)
from inspector.store.schemas import viewer_schema
from inspector.store.segment import COMPRESSION, ChannelSpec, Lane, Segment
from inspector.topics import Topic
from inspector.types import Frame, FrameMeta, Message

RECORDED: dict[str, Topic[Any]] = {
    topic.name: topic
    for topic in (
        topics.JOURNAL,
        topics.VERDICTS,
        topics.RESULTS,
        topics.OPINIONS,
        topics.EXPLANATIONS,
        topics.DELIVERIES,
        topics.FAULTS,
        topics.HEALTH,
    )
}
"""The topics that `SessionWriter.write` takes."""

SESSION_TOPIC = "session"
_SEGMENT_BYTES = 256 << 20
_FRAME_RESERVE_BYTES = 256 << 20


def meta_topic(camera_id: str) -> str:
    """Name of the channel with the `FrameMeta` of one camera."""
    return f"{topics.frames_topic(camera_id)}/meta"


class SessionWriter:
    """Writes one session below `directory`. Safe from every thread.

    A session that the same run (`info.run_id`) left in this boot is continued with the next
    segments. `files` are configuration files, name to text, kept as given. Frames are refused
    while less than `frame_reserve_bytes` of the disk are free, so that the journal can go on.

    Writing never raises for the disk's sake, so that a full disk costs what could not be stored
    and nothing else: `failure` says what is wrong now, `lost` counts. The disk is tried again
    after 5 s. Making the writer, `flush` and `close` raise StoreError.
    """

    def __init__(
        self,
        directory: Path,
        info: SessionInfo,
        files: Mapping[str, str] | None = None,
        *,
        clock: Clock | None = None,
        frame_compression: Literal["none", "lz4", "zstd"] = "none",
        segment_bytes: int = _SEGMENT_BYTES,
        frame_reserve_bytes: int = _FRAME_RESERVE_BYTES,
        sync_every_s: float = 1.0,
    ) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        try:
            self.path, self.meta, self._held = _open_folder(directory, info, files or {}, self._clock)
        except OSError as exc:
            raise store_error(directory, exc) from exc
        self._specs = {name: json_channel(name, topic.type) for name, topic in RECORDED.items()}
        self._session_spec = json_channel(SESSION_TOPIC, SessionMeta)
        self._frame_specs: dict[str, tuple[ChannelSpec, ChannelSpec]] = {}
        self._encode = msgspec.json.Encoder().encode
        self._messages = Lane(
            self.path,
            frames=False,
            compression=COMPRESSION["zstd"],
            max_bytes=segment_bytes,
            clock=self._clock,
            prepare=self._begin,
        )
        self._frames = Lane(
            self.path,
            frames=True,
            compression=COMPRESSION[frame_compression],
            max_bytes=segment_bytes,
            clock=self._clock,
            prepare=self._begin,
        )
        self._reserve_bytes = frame_reserve_bytes
        self._frames_refused = 0
        self._low_space = False
        self._check_space()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._sync_loop, args=(sync_every_s,), name="session-sync", daemon=True
        )
        self._thread.start()

    @property
    def lost(self) -> int:
        """Messages and frames that were given and could not be stored."""
        return self._messages.lost + self._frames.lost + self._frames_refused

    @property
    def failure(self) -> str:
        """Why messages or frames are not stored now; "" when they are."""
        return self._messages.failure or self._frames.failure or self._space_failure()

    def write(self, topic_name: str, message: Message, log_ns: int) -> bool:
        """Record a message of one of the topics in `RECORDED`. `log_ns` is its own time.

        Returns whether the disk took it so far. Raises InvariantError for an unknown topic or
        another type than the topic's.
        """
        topic = RECORDED.get(topic_name)
        if topic is None or type(message) is not topic.type:
            raise InvariantError(f"topic {topic_name!r} does not take a {type(message).__name__}")
        data = self._encode(message)
        parts = ((self._specs[topic_name], data),)
        return self._put(self._messages, parts, log_ns + self.meta.utc_offset_ns)

    def write_frame(self, frame: Frame) -> bool:
        """Record a frame; its pixels are copied before this returns.

        Returns whether the disk took it so far. Raises DataError for a shape that is no image.
        """
        meta = frame.meta
        if self._low_space:
            self._frames_refused += 1
            return False
        offset = self.meta.utc_offset_ns
        pixels = raw_image.encode(
            frame.image, meta.pixel_format, meta.camera_id, meta.exposure_start_ns + offset
        )
        about = self._encode(meta)
        specs = self._frame_specs.get(meta.camera_id)
        if specs is None:
            specs = self._frame_specs[meta.camera_id] = frame_channels(meta.camera_id)
        parts = ((specs[0], about), (specs[1], pixels))
        return self._put(self._frames, parts, meta.received_ns + offset)

    def flush(self) -> None:
        """Return when everything written so far is on the disk. Raises StoreError."""
        failure: StoreError | None = None
        for lane in (self._messages, self._frames):
            try:
                self._sync(lane)
            except StoreError as exc:
                failure = exc
        self._check_space()
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Finish the files and let go of the session. Raises StoreError."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        try:
            failure: StoreError | None = None
            for lane in (self._messages, self._frames):
                try:
                    with self._lock:
                        lane.close()
                    self._sync(lane)
                except StoreError as exc:
                    failure = exc
            if failure is not None:
                raise failure
        finally:
            self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, lane: Lane, parts: Sequence[tuple[ChannelSpec, bytes]], utc_ns: int) -> bool:
        with self._lock:
            try:
                lane.write(parts, utc_ns)
            except StoreError:
                return False  # the lane counts it, and `failure` says why
        return True

    def _begin(self, segment: Segment) -> None:
        """Start a file with what explains it without its folder."""
        segment.register(self._session_spec)
        if not segment.frames:
            for spec in self._specs.values():
                segment.register(spec)
        segment.add(
            SESSION_TOPIC,
            self._encode(self.meta),
            self._clock.now_ns() + self.meta.utc_offset_ns,
        )

    def _sync(self, lane: Lane) -> None:
        failure: StoreError | None = None
        with self._lock:
            try:
                lane.flush()
            except StoreError as exc:
                failure = exc
            handles = lane.take_sync_handles()
        for fd in handles:  # outside the lock: this is what takes long
            try:
                os.fdatasync(fd)
            except OSError as exc:
                failure = store_error(self.path, exc)
                with self._lock:
                    lane.sync_failed(exc)
            finally:
                os.close(fd)
        if failure is not None:
            raise failure

    def _sync_loop(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                self.flush()
            except StoreError:
                continue  # the lane counts what it lost, and `failure` says why

    def _space_failure(self) -> str:
        if not self._low_space:
            return ""
        return (
            f"{self.path}: less than {self._reserve_bytes >> 20} MiB free, frames are not "
            "recorded; free space on that disk, or lower recorder.max_gib"
        )

    def _check_space(self) -> None:
        try:
            free = shutil.disk_usage(self.path).free
        except OSError:
            return  # the next write says what is wrong with the folder
        self._low_space = free < self._reserve_bytes


def json_channel(topic: str, message_type: type[Message]) -> ChannelSpec:
    return ChannelSpec(
        topic=topic,
        message_encoding=MessageEncoding.JSON,
        schema_name=f"inspector.{message_type.__name__}",
        schema_encoding=SchemaEncoding.JSONSchema,
        schema=viewer_schema(message_type),
    )


def frame_channels(camera_id: str) -> tuple[ChannelSpec, ChannelSpec]:
    pixels = ChannelSpec(
        topic=topics.frames_topic(camera_id),
        message_encoding=MessageEncoding.Protobuf,
        schema_name=raw_image.SCHEMA_NAME,
        schema_encoding=SchemaEncoding.Protobuf,
        schema=raw_image.SCHEMA,
    )
    return json_channel(meta_topic(camera_id), FrameMeta), pixels


def _open_folder(
    directory: Path, info: SessionInfo, files: Mapping[str, str], clock: Clock
) -> tuple[Path, SessionMeta, IO[bytes]]:
    directory.mkdir(parents=True, exist_ok=True)
    boot = boot_id()
    for session in session_folders(directory)[-1:]:
        last = _meta_if_ours(session)
        if last is not None and last.boot_id == boot and _same(last.info, info):
            return session, last, lock_session(session)
    utc_ns = clock.utc_ns()
    meta = SessionMeta(
        started_utc=utc_text(utc_ns),
        started_utc_ns=utc_ns,
        utc_offset_ns=utc_ns - clock.now_ns(),
        boot_id=boot,
        info=info,
    )
    session = _make_folder(directory, meta.started_utc.replace(":", "-"))
    held = lock_session(session)
    (session / CONFIG_NAME).mkdir()
    for name, text in files.items():
        write_durably(session / CONFIG_NAME / Path(name).name, text.encode())
    encoded = msgspec.json.format(msgspec.json.encode(meta), indent=2)
    write_durably(session / META_NAME, encoded)
    return session, meta, held


def _meta_if_ours(session: Path) -> SessionMeta | None:
    try:
        return read_meta(session)
    except ConfigError:
        return None  # of another version, or cut off: it is left as it is


def _same(one: SessionInfo, other: SessionInfo) -> bool:
    """Compare as they are stored: JSON knows no tuples."""
    return msgspec.json.encode(one) == msgspec.json.encode(other)


def _make_folder(directory: Path, name: str) -> Path:
    for attempt in range(1, 1000):
        path = directory / (name if attempt == 1 else f"{name}.{attempt}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        sync_folder(directory)
        return path
    raise StoreError(f"{directory}: a thousand sessions begin at {name}")
