"""Frames go to the network as they are where that is possible, and not at all where they cannot."""

import numpy as np
import numpy.typing as npt
import pytest

from inspector.detect.engines.prepare import prepare
from inspector.detect.model.manifest import InputLayout
from inspector.errors import DataError
from inspector.types import Frame, FrameMeta

MONO = InputLayout(width_px=8, height_px=6, pixel_format="Mono8")
RGB = InputLayout(width_px=8, height_px=6, pixel_format="RGB8")


def frame(
    image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], pixel_format: str, missing: int = 0
) -> Frame:
    meta = FrameMeta(
        camera_id="cam", frame_id=1, exposure_start_ns=0, exposure_us=100.0, received_ns=0,
        width_px=image.shape[1], height_px=image.shape[0], pixel_format=pixel_format,
        missing_packets=missing,
    )  # fmt: skip
    image.flags.writeable = False
    return Frame(meta, image)


def grey(height: int = 6, width: int = 8) -> npt.NDArray[np.uint8]:
    return np.arange(height * width, dtype=np.uint8).reshape(height, width)


def bayer_rg(red: int, green: int, blue: int) -> npt.NDArray[np.uint8]:
    """A flat colour as a BayerRG sensor sees it: R G over G B."""
    return np.tile(np.array([[red, green], [green, blue]], dtype=np.uint8), (3, 4))


def test_mono_is_not_copied() -> None:
    image = grey()
    pixels = prepare(frame(image, "Mono8"), MONO)
    assert pixels.shape == (1, 6, 8, 1)
    assert np.shares_memory(pixels, image)


def test_rgb_is_not_copied() -> None:
    image = np.zeros((6, 8, 3), dtype=np.uint8)
    assert np.shares_memory(prepare(frame(image, "RGB8"), RGB), image)


def test_bayer_gives_the_right_colours() -> None:
    pixels = prepare(frame(bayer_rg(200, 100, 50), "BayerRG8"), RGB)
    assert pixels.shape == (1, 6, 8, 3)
    assert pixels[0, 2, 3].tolist() == [200, 100, 50]


def test_bayer_to_a_grey_model() -> None:
    pixels = prepare(frame(bayer_rg(90, 90, 90), "BayerRG8"), MONO)
    assert pixels.shape == (1, 6, 8, 1)
    assert abs(int(pixels[0, 3, 3, 0]) - 90) <= 1


@pytest.mark.parametrize(
    ("bad", "layout"),
    [
        (frame(grey(), "Mono8", missing=1), MONO),
        (frame(grey(6, 7), "Mono8"), MONO),
        (frame(grey(8, 6), "Mono8"), MONO),
        (frame(grey().astype(np.uint16), "Mono8"), MONO),
        (frame(grey(), "Mono12"), MONO),
        (frame(grey(), "Mono8"), RGB),
        (frame(grey(), "RGB8"), RGB),
        (frame(np.zeros((6, 8, 3), dtype=np.uint8), "Mono8"), MONO),
        (frame(np.zeros((6, 8, 4), dtype=np.uint8), "RGB8"), RGB),
        (frame(grey(), "nonsense"), MONO),
    ],
)
def test_a_frame_that_does_not_fit_is_a_data_error(bad: Frame, layout: InputLayout) -> None:
    with pytest.raises(DataError):
        prepare(bad, layout)
