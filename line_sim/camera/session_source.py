"""Frames of a recorded session, as the frames of the camera.

Sessions are folders of MCAP files (docs/sessions.md); they are read with the official `mcap`
package, so that anything that writes such files can be streamed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mcap.exceptions import McapError
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader

from inspector.errors import ConfigError, DataError
from line_sim.camera.folder_source import Fit, place
from line_sim.camera.raw_image_message import recorded_picture
from line_sim.camera.source import FrameRequest, Picture

_FRAMES = "frames/"
_META_SUFFIX = "/meta"
_BAYER_TO_RGB = {
    "BayerRG8": cv2.COLOR_BayerRGGB2RGB,
    "BayerGR8": cv2.COLOR_BayerGRBG2RGB,
    "BayerGB8": cv2.COLOR_BayerGBRG2RGB,
    "BayerBG8": cv2.COLOR_BayerBGGR2RGB,
}
_SIGNIFICANT_BITS = {"Mono10": 10, "Mono10p": 10, "Mono12": 12, "Mono12p": 12, "Mono12Packed": 12}


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """`exposure_start_ns` is on the monotonic clock of the recording host."""

    exposure_start_ns: int
    pixel_format: str
    width: int
    height: int


class SessionSource:
    """Streams the frames of one camera of a session, in the order of recording, again and again.

    In free run they come with the spacing in time that they were recorded with; with a trigger,
    the n-th trigger of an acquisition gets the n-th frame. The index is read when this is made:
    raises ConfigError for what is no session, has no frames, or has several cameras and none named.
    A file that was cut off streams up to its last whole record.
    """

    def __init__(self, folder: Path, *, camera_id: str | None = None, fit: Fit = Fit.LETTERBOX) -> None:
        self._files = tuple(sorted(folder.glob("frames-*.mcap"))) if folder.is_dir() else ()
        if not self._files:
            raise ConfigError(f"{folder} is not a session with frames; name one with frames-*.mcap in it")
        self.camera_id = self._choose(folder, camera_id)
        self._fit = fit
        self.frames = tuple(self._index())
        if not self.frames:
            raise ConfigError(f"{folder} has no frame of {self.camera_id}")
        self._pictures: Iterator[bytes] = iter(())
        self._next = 0

    def interval_ns(self, frame_id: int) -> int:
        """Return the recorded time between this frame and the one before it."""
        at = (frame_id - 1) % len(self.frames)
        if len(self.frames) == 1:
            return 1_000_000_000
        # From the last back to the first the spacing is not known: the first one is as good as any.
        at = at or 1
        return max(0, self.frames[at].exposure_start_ns - self.frames[at - 1].exposure_start_ns)

    def frame(self, request: FrameRequest) -> Picture:
        """Return the picture on a sensor of the size asked for; raises DataError for a damaged one."""
        wanted = (request.frame_id - 1) % len(self.frames)
        if wanted < self._next or self._next == 0:
            self._pictures, self._next = self._messages(_FRAMES + self.camera_id), 0
        message = b""
        while self._next <= wanted:
            found = next(self._pictures, None)
            if found is None:
                self._next = 0
                raise DataError(f"the session ends before frame {wanted + 1}")
            message, self._next = found, self._next + 1
        recorded = self.frames[wanted]
        picture = _as_shown(recorded_picture(message), recorded.pixel_format, request.pixel_format)
        if picture.shape[:2] == (request.height, request.width):
            return picture
        if picture.ndim == 2 and request.pixel_format == recorded.pixel_format == "BayerRG8":
            raise DataError("a raw Bayer mosaic cannot be scaled; give the camera the size of the recording")
        return place(picture, request.width, request.height, self._fit)

    def _choose(self, folder: Path, camera_id: str | None) -> str:
        found: set[str] = set()
        for file in self._files:
            with file.open("rb") as stream:
                for record in _records(StreamReader(stream)):
                    if isinstance(record, Channel) and record.topic.startswith(_FRAMES):
                        found.add(record.topic.removeprefix(_FRAMES).removesuffix(_META_SUFFIX))
        names = ", ".join(sorted(found)) or "none"
        if camera_id is None and len(found) == 1:
            return found.pop()
        if camera_id not in found:
            raise ConfigError(f"{folder} has frames of: {names}; name one of these cameras")
        assert camera_id is not None
        return camera_id

    def _index(self) -> Iterator[RecordedFrame]:
        for message in self._messages(_FRAMES + self.camera_id + _META_SUFFIX):
            meta = json.loads(message)
            yield RecordedFrame(
                int(meta["exposure_start_ns"]),
                str(meta["pixel_format"]),
                int(meta["width_px"]),
                int(meta["height_px"]),
            )

    def _messages(self, topic: str) -> Iterator[bytes]:
        for file in self._files:
            with file.open("rb") as stream:
                channels: set[int] = set()
                for record in _records(StreamReader(stream)):
                    if isinstance(record, Channel) and record.topic == topic:
                        channels.add(record.id)
                    elif isinstance(record, Message) and record.channel_id in channels:
                        yield record.data


def _records(reader: StreamReader) -> Iterator[object]:
    try:
        yield from reader.records
    except (McapError, ValueError, EOFError):
        return  # cut off: what was read until here is whole


def _as_shown(picture: Picture, recorded: str, wanted: str) -> Picture:
    """Return the picture as the sensor of another format would see it."""
    if picture.dtype == np.uint16:
        return (picture << (16 - _SIGNIFICANT_BITS.get(recorded, 16))).astype(np.uint16)
    if recorded in _BAYER_TO_RGB and picture.ndim == 2 and wanted != recorded:
        rgb: Picture = np.asarray(cv2.cvtColor(picture, _BAYER_TO_RGB[recorded]), dtype=np.uint8)
        return rgb
    return picture


def is_session(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("frames-*.mcap"))
