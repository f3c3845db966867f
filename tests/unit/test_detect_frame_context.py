"""Light and focus as the arbiter gets them: what dims or blurs the picture must show in the figures."""

import cv2
import numpy as np
import pytest

from inspector.detect.engines.prepare import NetworkInput
from inspector.detect.frame_context import frame_context


def picture(channels: int = 1, side: int = 400) -> NetworkInput:
    pixels = np.random.default_rng(7).integers(40, 200, (1, side, side, channels))
    return pixels.astype(np.uint8)


def blurred(pixels: NetworkInput) -> NetworkInput:
    image = np.asarray(cv2.GaussianBlur(pixels[0], (9, 9), 2.0), dtype=np.uint8)
    return image.reshape(pixels.shape)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_out_of_focus_is_less_sharp_and_as_bright(channels: int) -> None:
    sharp, soft = frame_context(picture(channels)), frame_context(blurred(picture(channels)))
    assert soft.sharpness < sharp.sharpness / 10
    assert soft.light_level == pytest.approx(sharp.light_level, abs=0.02)


def test_half_the_light_is_half_the_level() -> None:
    full = picture()
    half = np.asarray(full // 2, dtype=np.uint8)
    assert frame_context(half).light_level == pytest.approx(frame_context(full).light_level / 2, rel=0.02)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 2, 3, 3), (1, 100, 3000, 1), (1, 3000, 100, 3)])
def test_any_size_has_a_context(shape: tuple[int, int, int, int]) -> None:
    context = frame_context(np.full(shape, 255, dtype=np.uint8))
    assert (context.light_level, context.sharpness) == (1.0, 0.0)
