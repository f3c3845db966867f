"""Pictures: the folder, the pattern, the Bayer mosaic, the region; and the configuration."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import ConfigError, DataError
from line_sim.camera import (
    Fit,
    FolderSource,
    FrameRequest,
    PatternSource,
    PixelFormat,
    VirtualCameraConfig,
)
from line_sim.camera.sensor import payload_of
from line_sim.camera.settings import AcquisitionMode, AcquisitionSettings
from line_sim.camera.source import Image, bayer_rg
from line_sim.part_source import common_size


def request(frame_id: int = 1, *, width: int = 64, height: int = 48, fmt: str = "Mono8") -> FrameRequest:
    return FrameRequest(
        frame_id=frame_id,
        exposure_start_ns=0,
        exposure_us=1000.0,
        gain_db=0.0,
        width=width,
        height=height,
        pixel_format=fmt,
    )


def settings(fmt: PixelFormat = PixelFormat.MONO8, **region: int) -> AcquisitionSettings:
    geometry: dict[str, Any] = {"width": 64, "height": 48, "offset_x": 0, "offset_y": 0} | region
    return AcquisitionSettings(
        mode=AcquisitionMode.CONTINUOUS,
        frame_count=1,
        pixel_format=fmt,
        exposure_us=1000.0,
        gain_db=0.0,
        frame_rate_hz=None,
        triggered=False,
        trigger_source="Software",
        trigger_delay_us=0.0,
        **geometry,
    )


def write(path: Path, rgb: tuple[int, int, int], *, width: int = 32, height: int = 48) -> None:
    picture = np.full((height, width, 3), rgb[::-1], dtype=np.uint8)
    assert cv2.imwrite(str(path), picture)


def test_a_folder_streams_in_sorted_order_and_again(tmp_path: Path) -> None:
    for level, name in ((30, "b.png"), (10, "a.png"), (50, "c.bmp")):
        write(tmp_path / name, (level, level, level), width=64)
    (tmp_path / "readme.txt").write_text("no image")
    checked: list[tuple[int, int]] = []
    source = FolderSource(tmp_path, on_checked=lambda done, total: checked.append((done, total)))
    assert [int(source.frame(request(n))[0, 0]) for n in (1, 2, 3, 4, 1)] == [10, 30, 50, 10, 10]
    assert checked == [(1, 3), (2, 3), (3, 3)]


def test_photographs_are_fitted_to_the_sensor(tmp_path: Path) -> None:
    write(tmp_path / "tall.png", (200, 200, 200), width=16, height=48)
    boxed = FolderSource(tmp_path).frame(request(height=24))
    assert boxed.shape == (24, 64)
    assert np.flatnonzero(boxed[12]).tolist() == list(range(28, 36))  # scaled by one half
    cropped = FolderSource(tmp_path, fit=Fit.CROP).frame(request(height=24))
    assert np.flatnonzero(cropped[12]).tolist() == list(range(24, 40))
    assert cropped[:, 24:40].all()


def test_colour_becomes_a_bayer_mosaic(tmp_path: Path) -> None:
    write(tmp_path / "colour.png", (200, 100, 50), width=64)
    mosaic = FolderSource(tmp_path).frame(request(fmt="BayerRG8"))
    assert mosaic[:2, :2].tolist() == [[200, 100], [100, 50]]
    rgb = cv2.cvtColor(mosaic, cv2.COLOR_BayerRGGB2RGB)
    assert rgb[20, 20].tolist() == [200, 100, 50]


@pytest.mark.parametrize("content", [b"", b"this is no png", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_a_bad_file_is_one_clear_error_at_the_start(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "good.png", (1, 2, 3))
    (tmp_path / "torn.png").write_bytes(content)
    with pytest.raises(ConfigError, match=r"torn\.png is not an image") as caught:
        FolderSource(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_or_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        FolderSource(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="no images"):
        FolderSource(tmp_path)


def test_a_file_that_vanishes_costs_its_frame_only(tmp_path: Path) -> None:
    write(tmp_path / "a.png", (9, 9, 9))
    source = FolderSource(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        source.frame(request())


def test_the_pattern_moves() -> None:
    source = PatternSource()
    first, second = source.frame(request(1)), source.frame(request(2))
    assert first.shape == (48, 64)
    assert np.array_equal(first[4:], second[:-4])


def test_the_region_is_cut_and_the_mosaic_keeps_its_phase() -> None:
    rgb: Image = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    region = settings(PixelFormat.BAYER_RG8, width=16, height=20, offset_x=8, offset_y=4)
    payload = payload_of(rgb, request(), region)
    assert payload.flags.c_contiguous
    assert np.array_equal(payload.reshape(20, 16), bayer_rg(rgb)[4:24, 8:24])
    grey = payload_of(np.repeat(rgb[:, :, :1], 3, axis=2), request(), settings())
    assert np.abs(grey.reshape(48, 64).astype(int) - rgb[:, :, 0]).max() <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((64, 48), dtype=np.uint8),
        np.zeros((48, 64), dtype=np.float32),
        np.zeros((48, 64, 4), dtype=np.uint8),
        np.zeros(48 * 64, dtype=np.uint8),
    ],
)
def test_a_picture_of_another_shape_is_a_data_error(wrong: Image) -> None:
    with pytest.raises(DataError, match="frame source"):
        payload_of(wrong, request(), settings())


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"address": "camera.local"}, "IPv4"),
        ({"address": "0.0.0.0"}, "camera can have"),
        ({"serial": "a serial that is too long"}, "longer than 15"),
        ({"width": 1281}, "even number"),
        ({"height": 0}, "even number"),
        ({"pixel_formats": ()}, "at least one"),
        ({"mac": "02-00-00-00-00-01"}, "02:00"),
        ({"packet_size": 9000, "max_packet_size": 1500}, "packet_size"),
        ({"link_mbit_per_s": 0}, "link_mbit_per_s"),
        ({"resend_frames": 4}, "resend_frames"),
        ({"frame_rate_hz": 0.0}, "frame_rate_hz"),
        ({"exposure_us": float("nan")}, "exposure_us"),
    ],
)
def test_a_wrong_configuration_says_what_to_give(keys: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        VirtualCameraConfig(**keys)  # type: ignore[arg-type]


def test_cameras_on_different_addresses_have_different_macs() -> None:
    macs = {VirtualCameraConfig(address=f"127.0.0.{n}").mac_bytes for n in (1, 2, 3)}
    assert len(macs) == 3
    assert VirtualCameraConfig(mac="02:00:00:00:00:2A").mac_bytes == bytes.fromhex("02000000002a")


@given(st.integers(20, 9000), st.integers(20, 9000))
def test_a_folder_of_any_photographs_has_a_camera(width: int, height: int) -> None:
    chosen = common_size([(height, width)])
    VirtualCameraConfig(width=chosen[0], height=chosen[1])
