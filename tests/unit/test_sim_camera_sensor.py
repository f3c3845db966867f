"""From a picture to the bytes on the wire: formats, packing, binning, light and noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from line_sim.camera import FrameRequest, PixelFormat
from line_sim.camera.pixel_format import pack
from line_sim.camera.sensor import payload_of
from line_sim.camera.settings import AcquisitionMode, AcquisitionSettings
from line_sim.camera.source import Image, Picture

WIDTH, HEIGHT = 32, 16


def shown(
    picture: Picture,
    fmt: PixelFormat = PixelFormat.MONO8,
    *,
    exposure_us: float = 1000.0,
    gain_db: float = 0.0,
    binning: tuple[int, int] = (1, 1),
    seed: int = 0,
) -> Image:
    across, down = binning
    settings = AcquisitionSettings(
        mode=AcquisitionMode.CONTINUOUS,
        frame_count=1,
        width=WIDTH // across,
        height=HEIGHT // down,
        offset_x=0,
        offset_y=0,
        pixel_format=fmt,
        exposure_us=exposure_us,
        gain_db=gain_db,
        frame_rate_hz=None,
        triggered=False,
        trigger_source="Software",
        trigger_delay_us=0.0,
        binning_horizontal=across,
        binning_vertical=down,
    )
    request = FrameRequest(
        frame_id=1,
        exposure_start_ns=0,
        exposure_us=exposure_us,
        gain_db=gain_db,
        width=WIDTH,
        height=HEIGHT,
        pixel_format=fmt.sfnc_name,
    )
    return payload_of(picture, request, settings, seed=seed)


def flat(level: int) -> Image:
    return np.full((HEIGHT, WIDTH), level, dtype=np.uint8)


@given(st.lists(st.integers(0, 4095), min_size=2, max_size=40).filter(lambda v: len(v) % 2 == 0))
def test_mono12packed_has_the_layout_of_gige_vision(values: list[int]) -> None:
    packed = pack(np.array(values, dtype=np.uint16), PixelFormat.MONO12_PACKED).tolist()
    assert len(packed) == len(values) * 3 // 2
    for pair, (first, second) in enumerate(zip(values[::2], values[1::2], strict=True)):
        one, two, three = packed[3 * pair : 3 * pair + 3]
        assert (one << 4 | two & 0xF, three << 4 | two >> 4) == (first, second)


@pytest.mark.parametrize("fmt", list(PixelFormat))
@pytest.mark.parametrize("deep", [False, True])
def test_every_format_has_its_size_and_its_full_scale(fmt: PixelFormat, deep: bool) -> None:
    white: Picture = flat(255)
    if deep:
        white = np.full((HEIGHT, WIDTH), 65535, dtype=np.uint16)
    payload = shown(white, fmt)
    assert len(payload) == fmt.image_bytes(WIDTH, HEIGHT)
    if fmt in (PixelFormat.MONO10, PixelFormat.MONO16):
        assert set(payload.view("<u2").tolist()) == {2**fmt.significant_bits - 1}
    else:
        assert set(payload.tolist()) == {255}


def test_at_nominal_light_the_picture_is_untouched() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
    assert np.array_equal(shown(picture), picture.reshape(-1))


def test_exposure_and_gain_make_it_brighter_and_clip() -> None:
    assert set(shown(flat(100), exposure_us=500.0).tolist()) == {50}
    assert set(shown(flat(200), exposure_us=2000.0).tolist()) == {255}
    assert abs(float(shown(flat(50), gain_db=6.0206).mean()) - 100) < 2


def test_noise_grows_with_gain_and_repeats_with_the_seed() -> None:
    def spread(gain_db: float) -> float:
        # The light is taken back by as much as the gain gives, so that the level stays.
        return float(shown(flat(100), gain_db=gain_db, exposure_us=1000.0 / 10 ** (gain_db / 20)).std())

    assert spread(0.0) == 0.0
    assert 0 < spread(6.0) < spread(12.0) < spread(24.0)
    one, same, other = (shown(flat(20), gain_db=12.0, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_more_bits_show_more_levels_under_little_light() -> None:
    ramp = np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 128
    assert len(np.unique(shown(ramp, PixelFormat.MONO16).view("<u2"))) == WIDTH * HEIGHT
    assert len(np.unique(shown(ramp))) <= 256


def test_binning_averages_neighbours() -> None:
    picture = flat(0)
    picture[:, ::2] = 100
    assert set(shown(picture, binning=(2, 1)).tolist()) == {50}
    assert set(shown(picture, binning=(1, 2)).tolist()) == {0, 100}
    assert len(shown(picture, binning=(4, 4))) == WIDTH * HEIGHT // 16


def test_binning_keeps_the_colours_of_a_mosaic_apart() -> None:
    mosaic = flat(10)
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = 200, 60
    binned = shown(mosaic, PixelFormat.BAYER_RG8, binning=(2, 2)).reshape(HEIGHT // 2, WIDTH // 2)
    assert binned[:2, :2].tolist() == [[200, 10], [10, 60]]


def test_grey_pictures_are_grey_in_rgb() -> None:
    pixels = shown(flat(77), PixelFormat.RGB8).reshape(HEIGHT, WIDTH, 3)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert set(pixels.reshape(-1).tolist()) == {77}
