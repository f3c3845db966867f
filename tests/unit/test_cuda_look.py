"""Light and focus of a frame on the GPU's way: of every pixel format, the same as on the CPU's."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inspector.detect.cuda.gpu_slot import admit, look
from inspector.detect.frame_context import frame_context
from inspector.detect.model.manifest import InputLayout
from inspector.types import Frame, FrameMeta

WIDTH, HEIGHT = 300, 280
RGB = InputLayout(width_px=WIDTH, height_px=HEIGHT, pixel_format="RGB8")


def frame(image: npt.NDArray[np.uint8], pixel_format: str) -> Frame:
    return Frame(
        FrameMeta(
            camera_id="cam", frame_id=1, exposure_start_ns=0, exposure_us=1.0, received_ns=0,
            width_px=WIDTH, height_px=HEIGHT, pixel_format=pixel_format,
        ),
        image,
    )  # fmt: skip


@pytest.fixture
def picture() -> npt.NDArray[np.uint8]:
    smooth = np.random.default_rng(3).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(smooth, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def test_bgr_and_padded_lines_look_as_rgb_does(picture: npt.NDArray[np.uint8]) -> None:
    wanted = frame_context(picture[None])
    padded = np.zeros((HEIGHT, WIDTH + 20, 3), dtype=np.uint8)
    padded[:, :WIDTH] = picture
    bgr = np.ascontiguousarray(picture[..., ::-1])
    for given in (frame(picture, "RGB8"), frame(padded[:, :WIDTH], "RGB8"), frame(bgr, "BGR8")):
        assert look(admit(given, RGB), RGB) == wanted


@pytest.mark.parametrize("pixel_format", ["BayerRG8", "BayerGB8", "BayerGR8", "BayerBG8"])
def test_bayer_frames_have_their_light(pixel_format: str) -> None:
    grey = np.full((HEIGHT, WIDTH), 51, dtype=np.uint8)
    found = look(admit(frame(grey, pixel_format), RGB), RGB)
    assert found.light_level == pytest.approx(0.2)
    assert found.sharpness == pytest.approx(0.0)
