"""Frame ids, image views, pixel formats."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.camera.frame_ids import FrameIds
from inspector.camera.frame_view import FrameView
from inspector.camera.gentl_errors import reason
from inspector.camera.pixel_format import layout_of
from inspector.camera.pixels import Pixels
from inspector.errors import ConfigError, DataError
from inspector.types import FrameMeta

MONO8, BAYER_RG8, RGB8, MONO14 = 0x01080001, 0x01080009, 0x02180014, 0x01100025


# -- ids -----------------------------------------------------------------------------------------------


def test_ids_go_on_where_16_bit_block_ids_wrap() -> None:
    ids = FrameIds()
    assert [ids.of(block) for block in (65533, 65534, 65535, 1, 2)] == [0, 1, 2, 3, 4]
    assert ids.lost == 0


def test_a_gap_over_the_wrap_is_counted() -> None:
    ids = FrameIds()
    assert [ids.of(block) for block in (65534, 3)] == [0, 4]
    assert ids.lost == 3


def test_64_bit_block_ids_do_not_wrap() -> None:
    ids = FrameIds()
    assert [ids.of(block) for block in (65535, 65536, 65538)] == [0, 1, 3]
    assert ids.lost == 1


def test_a_restart_is_no_gap() -> None:
    ids = FrameIds()
    ids.of(500)
    ids.restart()
    assert ids.of(1) == 1
    assert ids.lost == 0


def test_a_frame_without_leader_takes_its_place() -> None:
    ids = FrameIds()
    assert [ids.of(block) for block in (7, None, 9, 10)] == [0, 1, 2, 3]
    assert ids.lost == 0


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 2**64 - 1), st.integers(65500, 65535), st.integers(0, 40)))
)
def test_ids_only_grow(blocks: list[int | None]) -> None:
    ids = FrameIds()
    given_out = [ids.of(block) for block in blocks]
    assert all(first < second for first, second in itertools.pairwise(given_out))


@given(start=st.integers(1, 65535), steps=st.lists(st.integers(1, 100), max_size=60))
def test_every_gap_is_counted(start: int, steps: list[int]) -> None:
    ids, block = FrameIds(), start
    last = ids.of(block)
    for step in steps:
        block = (block - 1 + step) % 65535 + 1
        last = ids.of(block)
    assert last == sum(steps)
    assert ids.lost == sum(steps) - len(steps)


# -- views ---------------------------------------------------------------------------------------------


@given(
    width=st.integers(1, 20),
    height=st.integers(1, 20),
    padding=st.integers(0, 7),
    code=st.sampled_from([MONO8, BAYER_RG8, RGB8]),
)
def test_line_padding_is_left_out(width: int, height: int, padding: int, code: int) -> None:
    layout = layout_of(code, "cam1")
    line = width * layout.channels
    pixels = np.arange(height * line, dtype=np.uint8).reshape(height, line)
    memory = np.pad(pixels, ((0, 0), (0, padding)), constant_values=255).tobytes()
    view = Pixels.of(memory, layout, width, height, padding, 8).image()
    assert view.shape == ((height, width) if layout.channels == 1 else (height, width, 3))
    assert np.array_equal(view.reshape(height, line), pixels)
    assert not view.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1


@pytest.mark.parametrize("size", [(4, 5, 0), (5, 4, 0), (4, 4, 6), (0, 4, 0), (4, 0, 0)])
def test_an_image_that_does_not_fit_is_refused(size: tuple[int, int, int]) -> None:
    with pytest.raises(DataError):
        Pixels.of(bytes(16), layout_of(MONO8, "cam1"), *size, 8)


def test_the_last_line_may_lack_its_padding() -> None:
    assert Pixels.of(bytes(10), layout_of(MONO8, "cam1"), 4, 2, 2, 8).image().shape == (2, 4)


def test_a_view_is_given_back_once() -> None:
    meta = FrameMeta(
        camera_id="cam1",
        frame_id=1,
        exposure_start_ns=1,
        exposure_us=1.0,
        received_ns=2,
        width_px=1,
        height_px=1,
        pixel_format="Mono8",
    )
    given_back: list[int] = []
    with FrameView(
        meta, Pixels.of(b"x", layout_of(MONO8, "cam1"), 1, 1, 0, 8), lambda: given_back.append(1)
    ) as view:
        pass
    view.release()
    assert given_back == [1]


def test_other_pixel_formats_are_named_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"cam1: pixel format Mono14 .* set PixelFormat to Mono8"):
        layout_of(MONO14, "cam1")
    with pytest.raises(ConfigError, match="0x12345678"):
        layout_of(0x12345678, "cam1")


# -- vendors' messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("GenTL exception: Broken. (Message from the source: no answer) (ID: -1010)", "no answer"),
        ("GenTL exception: Broken. (Message from the source: ) (ID: -1010)", "Broken"),
        ("Value = 9 must be smaller. : OutOfRangeException thrown in node 'X' (file 'a.h', line 79)",
         "Value = 9 must be smaller"),
        ("", "RuntimeError"),
    ],
)  # fmt: skip
def test_vendor_messages_become_short(message: str, said: str) -> None:
    assert reason(RuntimeError(message)) == said
