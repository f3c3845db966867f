"""The preparation kernel, compiled for the host, against NumPy and OpenCV: one grey level apart at most."""

import ctypes

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from host_kernels import compile_for_host
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.camera.pixel_format import GROUPS, Packing, PixelLayout
from inspector.camera.pixels import Pixels
from inspector.detect.cuda.prepare_plan import (
    KERNEL_FORMATS,
    Box4,
    Kind,
    Prepare,
    Target,
    make_prepare,
    place_of,
)
from inspector.errors import DataError

Bytes = npt.NDArray[np.uint8]
BAYER = {"RG": "RGGB", "GB": "GBRG", "GR": "GRBG", "BG": "BGGR"}
LAYOUTS = {
    "Mono10": PixelLayout("Mono10", 1, 10, Packing.WORD),
    "Mono12": PixelLayout("Mono12", 1, 12, Packing.WORD),
    "Mono16": PixelLayout("Mono16", 1, 16, Packing.WORD),
    "Mono10Packed": PixelLayout("Mono10Packed", 1, 10, Packing.GEV),
    "Mono12Packed": PixelLayout("Mono12Packed", 1, 12, Packing.GEV),
    "Mono10p": PixelLayout("Mono10p", 1, 10, Packing.LSB_10),
    "Mono12p": PixelLayout("Mono12p", 1, 12, Packing.LSB_12),
}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compile_for_host("prepare", tmp_path_factory.mktemp("kernel"))


def group_of(pixel_format: str) -> int:
    """The width must be a multiple of this."""
    return GROUPS[LAYOUTS[pixel_format].packing][0] if pixel_format in LAYOUTS else 1


def line_bytes(pixel_format: str, width: int) -> int:
    if pixel_format in LAYOUTS:
        return LAYOUTS[pixel_format].line_bytes(width)
    return width * (3 if pixel_format in {"RGB8", "BGR8"} else 1)


def make_source(pixel_format: str, width: int, height: int, padding: int, seed: int) -> Bytes:
    """Lines of a camera, (height, bytes of a line and padding): smooth and rough, every value possible."""
    rng = np.random.default_rng(seed)
    lines = rng.integers(0, 256, (height, line_bytes(pixel_format, width) + padding), dtype=np.uint8)
    if pixel_format in {"Mono10", "Mono12"}:  # the upper bits of a word are zero
        lines[:, 1 : 2 * width : 2] &= 0x03 if pixel_format == "Mono10" else 0x0F
    return lines


def as_rgb_or_mono(lines: Bytes, pixel_format: str, width: int, channels: int) -> Bytes:
    """The image by NumPy and OpenCV, (height, width) or (height, width, 3), red first."""
    used = np.ascontiguousarray(lines[:, : line_bytes(pixel_format, width)])
    if pixel_format in LAYOUTS:
        pixels = Pixels.of(used.tobytes(), LAYOUTS[pixel_format], width, len(used), 0, 8)
        mono = np.asarray(pixels.image(), dtype=np.uint8)
    elif pixel_format.startswith("Bayer"):
        code = f"COLOR_Bayer{BAYER[pixel_format[5:7]]}2{'RGB' if channels == 3 else 'GRAY'}"
        return np.asarray(cv2.cvtColor(used, getattr(cv2, code)), dtype=np.uint8)
    elif pixel_format == "Mono8":
        mono = used
    else:
        image = used.reshape(len(used), width, 3)
        image = image[..., ::-1] if pixel_format == "BGR8" else image
        return image if channels == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return mono if channels == 1 else np.repeat(mono[..., None], 3, axis=2)


def reference(
    lines: Bytes, pixel_format: str, width: int, roi: Box4, target: Target
) -> npt.NDArray[np.float64]:
    """Grey values (height, width, channels) of the network's input, before it is normalised."""
    x, y, w, h = roi
    image = as_rgb_or_mono(lines, pixel_format, width, target.channels)[y : y + h, x : x + w]
    left, top, place_w, place_h = place_of(w, h, target)
    area = target.area and place_w <= w and place_h <= h
    how = cv2.INTER_AREA if area else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(image), (place_w, place_h), interpolation=how)
    whole = np.full((target.height_px, target.width_px, target.channels), target.pad)
    whole[top : top + place_h, left : left + place_w] = small.reshape(place_h, place_w, target.channels)
    return np.asarray(whole[..., ::-1] if target.bgr else whole)


def run(kernel: ctypes.CDLL, lines: Bytes, prepare: Prepare, target: Target) -> npt.NDArray[np.float64]:
    """The kernel's output as grey values (height, width, channels)."""
    shape = (target.height_px, target.width_px, target.channels)
    out = np.zeros((shape[2], *shape[:2]) if target.planar else shape, dtype=target.kind)
    kernel.prepare(
        ctypes.c_void_p(lines.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.byref(prepare)
    )
    levels = out.astype(np.float64)
    levels = levels.transpose(1, 2, 0) if target.planar else levels
    if target.kind == "uint8":
        return levels
    channels = target.channels
    grey = levels / np.array(target.scale[:channels]) + np.array(target.mean[:channels])
    return np.asarray(grey, dtype=np.float64)


@pytest.mark.parametrize("pixel_format", KERNEL_FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_at_the_same_size_every_pixel_is_within_one_level(
    kernel: ctypes.CDLL, pixel_format: str, channels: int
) -> None:
    width, height = 36, 23
    lines = make_source(pixel_format, width, height, 5, 1)
    target = Target(width, height, 3 if channels == 3 else 1)
    prepare = make_prepare(pixel_format, (width, height), lines.strides[0], None, target)
    wanted = reference(lines, pixel_format, width, (0, 0, width, height), target)
    assert np.abs(run(kernel, lines, prepare, target) - wanted).max() <= 1


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_format_size_region_stride_and_layout(kernel: ctypes.CDLL, data: st.DataObject) -> None:
    pixel_format = data.draw(st.sampled_from(KERNEL_FORMATS))
    group = group_of(pixel_format)
    width = group * data.draw(st.integers(-(-3 // group), 64 // group))
    height = data.draw(st.integers(3, 48))
    lines = make_source(
        pixel_format, width, height, data.draw(st.integers(0, 9)), data.draw(st.integers(0, 99))
    )
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    roi = (x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    kinds: tuple[Kind, ...] = ("uint8", "float32", "float16")
    kind = data.draw(st.sampled_from(kinds))
    target = Target(
        data.draw(st.integers(1, 70)),
        data.draw(st.integers(1, 70)),
        data.draw(st.sampled_from([1, 3])),
        kind=kind,
        planar=data.draw(st.booleans()),
        bgr=data.draw(st.booleans()),
        letterbox=data.draw(st.booleans()),
        area=data.draw(st.booleans()),
        mean=(120.0, 110.0, 100.0),
        scale=(1 / 57.0, 1 / 58.0, 1 / 59.0),
    )
    prepare = make_prepare(pixel_format, (width, height), lines.strides[0], roi, target)
    wanted = reference(lines, pixel_format, width, roi, target)
    slack = 0.1 if kind == "float16" else 0.01
    assert np.abs(run(kernel, lines, prepare, target) - wanted).max() <= 1 + slack


def test_halves_are_rounded_as_numpy_rounds_them(kernel: ctypes.CDLL) -> None:
    lines = np.arange(256, dtype=np.uint8).reshape(1, 256)
    for scale in (1.0, 1 / 3, 1e-7, 3e-9, 700.0):
        target = Target(256, 1, 1, kind="float16", scale=(scale, 1.0, 1.0))
        prepare = make_prepare("Mono8", (256, 1), 256, None, target)
        out = np.zeros(256, dtype=np.float16)
        kernel.prepare(
            ctypes.c_void_p(lines.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.byref(prepare)
        )
        with np.errstate(over="ignore"):
            wanted = (lines[0].astype(np.float32) * np.float32(scale)).astype(np.float16)
        np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize(
    ("pixel_format", "size", "roi"),
    [
        ("YUV422_8", (8, 8), None),
        ("BayerRG8", (2, 8), None),
        ("Mono8", (8, 8), (4, 0, 5, 8)),
        ("Mono8", (8, 8), (0, -1, 2, 2)),
        ("Mono8", (8, 8), (0, 0, 0, 2)),
    ],
)
def test_what_the_kernel_cannot_take_is_refused(
    pixel_format: str, size: tuple[int, int], roi: Box4 | None
) -> None:
    with pytest.raises(DataError):
        make_prepare(pixel_format, size, 64, roi, Target(8, 8, 1))
