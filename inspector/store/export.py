"""A session as one MCAP file that viewers show, and such a file as a session again.

The file holds all that the session holds, and beside it what people look at: `images/<camera>`,
`boxes/<camera>`, `readings/<sensor>` and `timeline`. An import takes the former and leaves the latter.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from mcap.exceptions import McapError
from mcap.reader import make_reader

from inspector import topics
from inspector.clock import SystemClock
from inspector.errors import ConfigError, DataError
from inspector.store import raw_image, viewer
from inspector.store.layout import (
    CONFIG_NAME,
    META_NAME,
    SessionMeta,
    segment_name,
    segments,
    store_error,
    write_durably,
)
from inspector.store.reader import SessionReader
from inspector.store.scan import ScanReport, scan
from inspector.store.segment import COMPRESSION, Segment
from inspector.store.session import RECORDED, SESSION_TOPIC, frame_channels, json_channel, meta_topic
from inspector.types import Fault, Frame, FrameMeta, FrameResult, JournalEntry, VerdictRecord

Images = Literal["png", "none"]
Progress = Callable[[int], None]

_IMAGES, _BOXES, _READINGS, _TIMELINE = "images/", "boxes/", "readings/", "timeline"
_META_SUFFIX = "/meta"


@dataclass(slots=True)
class Exported:
    """How much there is in the file."""

    messages: int = 0
    frames: int = 0


def export_session(
    reader: SessionReader, target: Path, *, images: Images = "png", progress: Progress = lambda _: None
) -> Exported:
    """Write a session into one MCAP file. `progress` is called with messages and frames so far.

    Raises StoreError when the disk refuses, ConfigError when the file exists, DataError for damage.
    """
    done = Exported()
    try:
        segment = Segment(target, COMPRESSION["zstd"], SystemClock().now_ns(), frames=False)
    except FileExistsError as error:
        raise ConfigError(f"{target}: exists already; give another name or remove it") from error
    except OSError as error:
        raise store_error(target, error) from error
    try:
        out = _Out(segment, reader.meta.utc_offset_ns)
        out.put_session(reader.meta, reader.config_files())
        frames = _frames(reader) if images == "png" else iter(())
        for utc_ns, _, item in heapq.merge(_messages(reader), frames, key=lambda each: each[0]):
            if isinstance(item, Frame):
                out.put_frame(item, utc_ns)
                done.frames += 1
            else:
                out.put_message(item, utc_ns)
                done.messages += 1
            progress(done.messages + done.frames)
        segment.finish()
    except OSError as error:
        raise store_error(target, error) from error
    return done


_Item = tuple[int, int, Any]
"""UTC ns, whether it is a frame, and a frame or (topic, message)."""


def _messages(reader: SessionReader) -> Iterator[_Item]:
    decoders = {name: msgspec.json.Decoder(topic.type) for name, topic in RECORDED.items()}
    for part in segments(reader.path):
        if part.frames:
            continue
        for topic, record in scan(part.path, decoders.__contains__, ScanReport()):
            try:
                message = decoders[topic].decode(record.data)
            except msgspec.DecodeError as error:
                raise DataError(f"{part.path}: a message of {topic!r} is of another version") from error
            yield record.log_time, 0, (topic, message)


def _frames(reader: SessionReader) -> Iterator[_Item]:
    for frame in reader.frames():
        yield frame.meta.received_ns + reader.meta.utc_offset_ns, 1, frame


class _Out:
    """Writes the file's channels."""

    def __init__(self, segment: Segment, utc_offset_ns: int) -> None:
        self._segment, self._offset_ns = segment, utc_offset_ns
        self._encode = msgspec.json.Encoder().encode
        for name, topic in RECORDED.items():
            segment.register(json_channel(name, topic.type))

    def put_session(self, meta: SessionMeta, files: dict[str, str]) -> None:
        self._segment.register(json_channel(SESSION_TOPIC, SessionMeta))
        self._segment.add(SESSION_TOPIC, self._encode(meta), meta.started_utc_ns)
        for name, text in files.items():
            self._segment.attach(name, text.encode(), meta.started_utc_ns)

    def put_frame(self, frame: Frame, utc_ns: int) -> None:
        camera = frame.meta.camera_id
        self._segment.register(json_channel(meta_topic(camera), FrameMeta))
        self._segment.add(meta_topic(camera), self._encode(frame.meta), utc_ns)
        taken_ns = frame.meta.exposure_start_ns + self._offset_ns
        data = viewer.image_message(frame, taken_ns)
        self._add(_IMAGES + camera, "foxglove.CompressedImage", data, utc_ns)

    def put_message(self, item: tuple[str, Any], utc_ns: int) -> None:
        topic, message = item
        self._segment.add(topic, self._encode(message), utc_ns)
        match message:
            case FrameResult():
                data = viewer.boxes_message(message, message.exposure_start_ns + self._offset_ns)
                self._add(_BOXES + message.camera_id, "foxglove.ImageAnnotations", data, utc_ns)
            case VerdictRecord():
                at_ns = message.verdict.decided_ns + self._offset_ns
                self._add(_TIMELINE, "foxglove.Log", viewer.verdict_message(message.verdict, at_ns), at_ns)
            case Fault():
                at_ns = message.at_ns + self._offset_ns
                self._add(_TIMELINE, "foxglove.Log", viewer.fault_message(message, at_ns), at_ns)
            case JournalEntry() if message.event is not None:
                event, at_ns = message.event, message.event.observed_ns + self._offset_ns
                data = viewer.reading_message(event)
                self._add(_READINGS + event.sensor_id, "inspector.Reading", data, at_ns)

    def _add(self, topic: str, schema: str, data: bytes, utc_ns: int) -> None:
        self._segment.register(viewer.channel(topic, schema))
        self._segment.add(topic, data, utc_ns)


def import_session(source: Path, directory: Path) -> tuple[Path, Exported]:
    """Make a session of an exported file, below `directory`. Returns its folder.

    Raises ConfigError when the file is no export, DataError when it is damaged, StoreError when the
    disk refuses.
    """
    meta = _meta_of(source)
    folder = directory / meta.started_utc.replace(":", "-")
    try:
        folder.mkdir(parents=True)
        (folder / CONFIG_NAME).mkdir()
        for name, data in _attachments(source):
            write_durably(folder / CONFIG_NAME / Path(name).name, data)
        done = _copy(source, folder, meta)
        write_durably(folder / META_NAME, msgspec.json.format(msgspec.json.encode(meta), indent=2))
    except FileExistsError as error:
        raise ConfigError(f"{folder}: is there already; give another folder with --to") from error
    except OSError as error:
        raise store_error(folder, error) from error
    return folder, done


def _meta_of(source: Path) -> SessionMeta:
    if not source.is_file():
        raise ConfigError(f"{source}: no such file")
    try:
        for _, record in scan(source, SESSION_TOPIC.__eq__, ScanReport()):
            return msgspec.json.decode(record.data, type=SessionMeta)
    except (DataError, msgspec.DecodeError) as error:
        raise ConfigError(f"{source}: {error}") from error
    raise ConfigError(f"{source}: holds no session; `inspector session export` makes such files")


def _attachments(source: Path) -> Iterator[tuple[str, bytes]]:
    with source.open("rb") as file:
        try:
            for attachment in make_reader(file).iter_attachments():
                yield attachment.name, attachment.data
        except McapError as error:
            raise DataError(f"{source}: damaged: {error}") from error


def _copy(source: Path, folder: Path, meta: SessionMeta) -> Exported:
    done, report = Exported(), ScanReport()
    now_ns = SystemClock().now_ns()
    lanes: dict[bool, Segment] = {}

    def lane(frames: bool) -> Segment:
        if frames not in lanes:
            kind = COMPRESSION["none" if frames else "zstd"]
            lanes[frames] = Segment(folder / segment_name(0, frames=frames), kind, now_ns, frames=frames)
            lanes[frames].register(json_channel(SESSION_TOPIC, SessionMeta))
            lanes[frames].add(SESSION_TOPIC, msgspec.json.encode(meta), meta.started_utc_ns)
        return lanes[frames]

    about: dict[str, FrameMeta] = {}
    for topic, record in scan(source, lambda _: True, report):
        if topic in RECORDED:
            lane(False).register(json_channel(topic, RECORDED[topic].type))
            lane(False).add(topic, record.data, record.log_time)
            done.messages += 1
        elif topic.startswith(topics.frames_topic("")) and topic.endswith(_META_SUFFIX):
            frame_meta = msgspec.json.decode(record.data, type=FrameMeta)
            about[frame_meta.camera_id] = frame_meta
        elif topic.startswith(_IMAGES) and (camera := topic.removeprefix(_IMAGES)) in about:
            _put_frame(lane(True), msgspec.json.decode(record.data), about.pop(camera), meta.utc_offset_ns)
            done.frames += 1
    for segment in lanes.values():
        segment.finish()
    if report.damage:
        raise DataError(f"{source}: {report.damage[0]}")
    return done


def _put_frame(segment: Segment, message: dict[str, Any], meta: FrameMeta, offset_ns: int) -> None:
    specs = frame_channels(meta.camera_id)
    pixels = viewer.pixels_of(message, meta)
    taken_ns = meta.exposure_start_ns + offset_ns
    parts = (
        msgspec.json.encode(meta),
        raw_image.encode(pixels, meta.pixel_format, meta.camera_id, taken_ns),
    )
    for spec, data in zip(specs, parts, strict=True):
        segment.register(spec)
        segment.add(spec.topic, data, meta.received_ns + offset_ns)
