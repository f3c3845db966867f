"""Recorded sessions as the frames of the camera."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.writer import Writer

from inspector.errors import ConfigError, DataError
from line_sim.camera import FrameRequest, PixelFormat, SessionSource
from line_sim.camera.raw_image_message import recorded_picture
from line_sim.camera.source import Picture

SPACING_NS = (0, 40_000_000, 15_000_000, 90_000_000)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def raw_image(picture: Picture, encoding: str) -> bytes:
    """foxglove.RawImage, written by hand from the Protocol Buffers specification."""
    height, width = picture.shape[:2]
    data = picture.tobytes()
    return b"".join(
        (
            *(b"\x15", width.to_bytes(4, "little"), b"\x1d", height.to_bytes(4, "little")),
            *(b"\x22", varint(len(encoding)), encoding.encode()),
            *(b"\x2d", (len(data) // height).to_bytes(4, "little")),
            *(b"\x32", varint(len(data)), data),
        )
    )


def record(folder: Path, pictures: list[Picture], fmt: str, encoding: str, *, camera: str = "cam1") -> None:
    """Two pictures a file, as a recorder that rolls over."""
    at_ns = 5_000_000_000
    for number in range(0, len(pictures), 2):
        with (folder / f"frames-{number // 2:03d}.mcap").open("wb") as file:
            writer = Writer(file)
            writer.start()
            schema = writer.register_schema("x", "jsonschema", b"{}")
            meta = writer.register_channel(f"frames/{camera}/meta", "json", schema)
            pixels = writer.register_channel(f"frames/{camera}", "protobuf", schema)
            for index in range(number, min(number + 2, len(pictures))):
                at_ns += SPACING_NS[index % len(SPACING_NS)]
                height, width = pictures[index].shape[:2]
                about = {
                    "exposure_start_ns": at_ns,
                    "pixel_format": fmt,
                    "width_px": width,
                    "height_px": height,
                }
                writer.add_message(meta, at_ns, json.dumps(about).encode(), at_ns)
                writer.add_message(pixels, at_ns, raw_image(pictures[index], encoding), at_ns)
            writer.finish()  # type: ignore[no-untyped-call]


def request(frame_id: int, fmt: str = "Mono8", *, width: int = 32, height: int = 16) -> FrameRequest:
    return FrameRequest(
        frame_id=frame_id,
        exposure_start_ns=0,
        exposure_us=1000.0,
        gain_db=0.0,
        width=width,
        height=height,
        pixel_format=fmt,
    )


def grey_pictures(count: int = 4) -> list[Picture]:
    return [np.full((16, 32), 10 + n, dtype=np.uint8) for n in range(count)]


def test_frames_come_in_order_again_and_from_the_start(tmp_path: Path) -> None:
    record(tmp_path, grey_pictures(), "Mono8", "mono8")
    source = SessionSource(tmp_path)
    assert source.camera_id == "cam1"
    seen = [int(source.frame(request(n))[0, 0]) for n in (1, 2, 3, 4, 5, 6, 1, 4, 2)]
    assert seen == [10, 11, 12, 13, 10, 11, 10, 13, 11]


def test_the_spacing_in_time_is_that_of_the_recording(tmp_path: Path) -> None:
    record(tmp_path, grey_pictures(), "Mono8", "mono8")
    source = SessionSource(tmp_path)
    assert [source.interval_ns(n) for n in (2, 3, 4, 6)] == [*SPACING_NS[1:], SPACING_NS[1]]


def test_deep_and_coloured_pictures_keep_their_values(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    deep = np.full((16, 32), 1023, dtype=np.uint16)
    record(tmp_path / "deep", [deep], "Mono10", "16UC1")
    assert int(SessionSource(tmp_path / "deep").frame(request(1, "Mono16"))[0, 0]) == 1023 << 6
    (tmp_path / "bgr").mkdir()
    record(tmp_path / "bgr", [np.full((16, 32, 3), (1, 2, 3), dtype=np.uint8)], "BGR8", "bgr8")
    rgb = SessionSource(tmp_path / "bgr").frame(request(1, PixelFormat.RGB8.sfnc_name))
    assert rgb[0, 0].tolist() == [3, 2, 1]


def test_another_sensor_size_is_fitted(tmp_path: Path) -> None:
    record(tmp_path, grey_pictures(), "Mono8", "mono8")
    assert SessionSource(tmp_path).frame(request(1, width=64, height=64)).shape == (64, 64)


def test_what_is_no_session_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a session"):
        SessionSource(tmp_path)
    record(tmp_path, grey_pictures(), "Mono8", "mono8")
    with pytest.raises(ConfigError, match="frames of: cam1"):
        SessionSource(tmp_path, camera_id="cam9")


def test_a_file_that_was_cut_off_streams_as_far_as_it_goes(tmp_path: Path) -> None:
    record(tmp_path, grey_pictures(), "Mono8", "mono8")
    last = tmp_path / "frames-001.mcap"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 3])
    source = SessionSource(tmp_path)
    assert len(source.frames) in (2, 3, 4)
    assert int(source.frame(request(2))[0, 0]) == 11


@given(st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_a_data_error(message: bytes) -> None:
    try:
        picture = recorded_picture(message)
    except DataError:
        return
    assert picture.ndim in (2, 3)
