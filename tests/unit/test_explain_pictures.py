"""What a model that sees is shown: the right region, its heat map beside it, in bounded size."""

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.explain.pictures import MAX_BYTES, MAX_SIDE, Pictures, picture, pictures_of, region
from inspector.explain.probe import PROBE
from inspector.types import Box, Detection, Frame, FrameMeta, FrameResult, Heatmap, PartEvidence, ResultStatus


def frame(
    image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    *,
    camera_id: str = "cam1",
    frame_id: int = 1,
    pixel_format: str = "Mono8",
) -> Frame:
    meta = FrameMeta(
        camera_id=camera_id,
        frame_id=frame_id,
        exposure_start_ns=0,
        exposure_us=1.0,
        received_ns=0,
        width_px=image.shape[1],
        height_px=image.shape[0],
        pixel_format=pixel_format,
    )
    return Frame(meta, image)


def result(*boxes: Box, heatmap: Heatmap | None = None, **changes: object) -> FrameResult:
    found = tuple(Detection(label="scratch", score=0.9, box_px=box) for box in boxes)
    plain = PROBE.evidence.results[0]
    return msgspec.structs.replace(plain, detections=found, heatmap=heatmap, **changes)


def halves(png: bytes) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    image = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    side = (image.shape[1] - 8) // 2
    return image[:, :side], image[:, side + 8 :]


def test_the_defect_is_in_the_picture_at_its_own_size() -> None:
    image = np.zeros((480, 640), np.uint8)
    image[200:220, 300:360] = 255
    left, right = halves(picture(frame(image), result((300, 200, 360, 220))))
    assert (left == 255).all(axis=2).sum() == 20 * 60
    assert (right == (0, 0, 255)).all(axis=2).any()  # its box
    assert left.shape == right.shape


def test_the_heat_map_lies_where_the_defect_lies() -> None:
    image = np.full((400, 400), 60, np.uint8)
    cells = np.zeros((10, 10), np.uint8)
    cells[7, 2] = 255  # x 80 to 120, y 280 to 320
    heat = Heatmap(width=10, height=10, data=cells.tobytes())
    x0, y0, x1, y1 = region(result(heatmap=heat), 400, 400)
    assert x0 <= 80
    assert x1 >= 120
    assert y0 <= 280
    assert y1 >= 320
    _, right = halves(picture(frame(image), result(heatmap=heat)))
    red = right[:, :, 2].astype(int) - right[:, :, 0]
    y, x = np.unravel_index(int(np.argmax(red)), red.shape)
    assert abs(x0 + x * (x1 - x0) / right.shape[1] - 100) < 25
    assert abs(y0 + y * (y1 - y0) / right.shape[0] - 300) < 25


def test_noise_of_any_size_stays_within_the_bound() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1000, 1600), np.uint8)
    png = picture(frame(noise), result())
    assert len(png) <= MAX_BYTES
    left, _ = halves(png)
    assert max(left.shape) <= MAX_SIDE


@pytest.mark.parametrize(
    ("pixel_format", "white"), [("Mono10", 1023), ("Mono12", 4095), ("Mono16", 65535), ("BayerRG8", 255)]
)
def test_every_format_is_shown_in_its_own_brightness(pixel_format: str, white: int) -> None:
    image = np.full((100, 100), white, np.uint8 if white == 255 else np.uint16)
    left, _ = halves(picture(frame(image, pixel_format=pixel_format), result()))
    assert left.min() >= 250


def test_colours_are_not_exchanged() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, :, 0] = 200
    left, _ = halves(picture(frame(image, pixel_format="RGB8"), result()))
    assert tuple(left[50, 50]) == (0, 0, 200)  # OpenCV decodes to BGR


@given(
    st.tuples(st.integers(-50, 3000), st.integers(-50, 3000), st.integers(1, 900), st.integers(1, 900)),
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
)
def test_a_region_lies_within_the_frame(box: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    x, y, w, h = box
    x0, y0, x1, y1 = region(result((x, y, x + w, y + h)), *size)
    assert 0 <= x0 < x1 <= size[0]
    assert 0 <= y0 < y1 <= size[1]


def test_the_latest_frames_are_kept_and_the_most_suspicious_is_first() -> None:
    pictures = Pictures()
    for number in range(20):
        pictures.add(frame(np.full((50, 50), number, np.uint8), frame_id=number))
        pictures.add(frame(np.full((50, 50), 200, np.uint8), camera_id="cam2", frame_id=number))
    evidence = msgspec.structs.replace(
        PROBE.evidence,
        results=(
            result(frame_id=19, p_defect=0.6),
            result(camera_id="cam2", frame_id=19, p_defect=0.9),
        ),
    )
    first, second = pictures.of(evidence)
    assert halves(first)[0][0, 0, 0] == 200
    assert halves(second)[0][0, 0, 0] == 19
    old: PartEvidence = msgspec.structs.replace(evidence, results=(result(frame_id=3),))
    assert pictures.of(old) == ()


def test_an_unusable_frame_is_not_shown() -> None:
    lost = result(status=ResultStatus.INVALID_FRAME, p_defect=None)
    assert pictures_of([(lost, frame(np.zeros((9, 9), np.uint8)))]) == ()
