"""Reading a session back into the types that were recorded."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from inspector import topics
from inspector.errors import DataError
from inspector.store import raw_image
from inspector.store.layout import CONFIG_NAME, SegmentFile, is_running, read_meta, segments
from inspector.store.scan import ScanReport, Window, ends_properly, scan
from inspector.store.session import meta_topic
from inspector.topics import Topic
from inspector.types import Frame, FrameMeta, Message

M = TypeVar("M", bound=Message)

Progress = Callable[[int], None]
"""Called with the bytes read so far."""

_FRAMES_PREFIX = topics.frames_topic("")
_META_SUFFIX = meta_topic("").removeprefix(_FRAMES_PREFIX)
_END_OF_TIME_NS = 1 << 63


class SessionReader:
    """A recorded session, whole or cut off. Times given and returned are CLOCK_MONOTONIC of then.

    Raises ConfigError if `path` is no session, or one of an unknown format. A session that a
    power cut ended is read up to its last whole chunk; `warnings` says so in one line, and lists
    what was found damaged by the reads so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.meta = read_meta(path)
        self.running = is_running(path)
        self._segments = segments(path)
        self._damage: list[str] = []
        cut = [s.path.name for s in self._segments if not _ends_properly_or_gone(s.path)]
        self.complete = not cut and not self.running
        self._cut = "" if self.running or not cut else _cut_warning(path, cut)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line each; empty for a session in good order."""
        return ((self._cut,) if self._cut else ()) + tuple(self._damage)

    @property
    def message_bytes(self) -> int:
        """Bytes that a read of messages goes through, for a progress bar."""
        return sum(s.path.stat().st_size for s in self._segments if not s.frames)

    @property
    def frame_bytes(self) -> int:
        """Bytes that a read of all frames goes through, for a progress bar."""
        return sum(s.path.stat().st_size for s in self._segments if s.frames and s.path.exists())

    @property
    def last_write_utc_ns(self) -> int:
        """When the session was last written to, by the time stamps of its files."""
        times = [s.path.stat().st_mtime_ns for s in self._segments if s.path.exists()]
        return max(times, default=self.meta.started_utc_ns)

    def config_files(self) -> dict[str, str]:
        """Return the configuration files as they were given: name to text."""
        folder = self.path / CONFIG_NAME
        return {p.name: p.read_text() for p in sorted(folder.iterdir()) if p.is_file()}

    def messages(
        self, topic: Topic[M], start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[M]:
        """Yield the messages of one topic in the order written. Raises DataError.

        With `start_ns` and `end_ns` only those whose own time lies within, start inclusive.
        """
        for _, message in self.merged(topic, start_ns=start_ns, end_ns=end_ns):
            yield message

    def merged(
        self,
        *wanted: Topic[Any],
        start_ns: int | None = None,
        end_ns: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[str, Any]]:
        """Yield (topic name, message) of several topics in the order written. Raises DataError."""
        decoders = {topic.name: msgspec.json.Decoder(topic.type) for topic in wanted}
        window = self._window(start_ns, end_ns)
        for segment, topic, data, _ in self._scan(False, decoders.__contains__, window, progress):
            try:
                yield topic, decoders[topic].decode(data)
            except msgspec.DecodeError as exc:
                raise self._foreign(segment, topic, exc) from exc

    def payloads(self, topic: Topic[Any]) -> Iterator[bytes]:
        """Yield the JSON of the messages of one topic, for who needs only a part of each."""
        for _, _, data, _ in self._scan(False, topic.name.__eq__, None):
            yield data

    def frames(
        self,
        camera_id: str | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> Iterator[Frame]:
        """Yield frames in the order written, of one camera or all. Raises DataError.

        With `start_ns` and `end_ns` only those received within, start inclusive; that reads only
        a small part of the files. Old frames may be gone: retention drops pixels first.
        """
        for meta, data in self._recorded_frames(camera_id, self._window(start_ns, end_ns)):
            yield Frame(meta, raw_image.decode(data))

    def frame_metas(
        self, camera_id: str | None = None, progress: Progress | None = None
    ) -> Iterator[FrameMeta]:
        """Yield the meta data of each frame whose pixels are kept; decodes no pixels. Raises DataError."""
        for meta, _ in self._recorded_frames(camera_id, None, progress):
            yield meta

    def _recorded_frames(
        self, camera_id: str | None, window: Window | None, progress: Progress | None = None
    ) -> Iterator[tuple[FrameMeta, bytes]]:
        decoder = msgspec.json.Decoder(FrameMeta)
        about: dict[str, tuple[int, FrameMeta]] = {}

        def wants(topic: str) -> bool:
            return topic.startswith(_FRAMES_PREFIX) and (
                camera_id is None or topic in (topics.frames_topic(camera_id), meta_topic(camera_id))
            )

        for segment, topic, data, sequence in self._scan(True, wants, window, progress):
            if topic.endswith(_META_SUFFIX):
                try:
                    meta = decoder.decode(data)
                except msgspec.DecodeError as exc:
                    raise self._foreign(segment, topic, exc) from exc
                about[topic.removesuffix(_META_SUFFIX)] = (sequence, meta)
                continue
            # A chunk may have ended between the two, and the other one be damaged.
            found = about.pop(topic, None)
            if found is not None and found[0] == sequence:
                yield found[1], data

    def frame(self, camera_id: str, frame_id: int, received_ns: int) -> Frame | None:
        """Find one frame by what its `FrameResult` says of it; None if its pixels are not kept."""
        for frame in self.frames(camera_id, received_ns, received_ns + 1):
            if frame.meta.frame_id == frame_id:
                return frame
        return None

    def _scan(
        self,
        frames: bool,
        wants: Callable[[str], bool],
        window: Window | None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[SegmentFile, str, bytes, int]]:
        done_bytes = 0
        for segment in self._segments:
            if segment.frames != frames or not segment.path.exists():
                continue  # retention may delete old pixels at any time
            report = ScanReport()
            for topic, record in scan(segment.path, wants, report, window):
                yield segment, topic, record.data, record.sequence
                if progress is not None:
                    progress(done_bytes + report.read_bytes)
            done_bytes += report.read_bytes
            if progress is not None:
                progress(done_bytes)
            self._damage += [text for text in report.damage if text not in self._damage]

    def _window(self, start_ns: int | None, end_ns: int | None) -> Window | None:
        if start_ns is None and end_ns is None:
            return None
        offset = self.meta.utc_offset_ns
        return (
            0 if start_ns is None else max(0, start_ns + offset),
            _END_OF_TIME_NS if end_ns is None else end_ns + offset,
        )

    def _foreign(self, segment: SegmentFile, topic: str, exc: Exception) -> DataError:
        version = self.meta.info.versions.get("inspector-cell", "another version")
        return DataError(
            f"{segment.path}: a message of {topic!r} does not fit this version's type ({exc}); "
            f"the session was recorded by inspector {version}"
        )


def _ends_properly_or_gone(path: Path) -> bool:
    try:
        return ends_properly(path)
    except FileNotFoundError:
        return True  # retention took it just now
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def _cut_warning(path: Path, names: list[str]) -> str:
    return (
        f"{path}: recording was cut off (crash or power cut) in {', '.join(names)}; "
        "everything up to the last whole chunk is read"
    )
