"""What the preparation kernel is told: source format, region, place in the output. Pure."""

import ctypes
from dataclasses import dataclass
from typing import Any, Final, Literal

from inspector.detect.model.manifest import InputLayout
from inspector.errors import DataError

_INTEGERS: Final = (
    "format", "shift", "red_x", "red_y", "width", "height", "stride",
    "roi_x", "roi_y", "roi_w", "roi_h", "out_w", "out_h", "out_channels",
    "place_x", "place_y", "place_w", "place_h", "area", "planar", "swap", "kind",
)  # fmt: skip


class Prepare(ctypes.Structure):
    """`Prepare` of kernels/prepare.cu, field by field."""

    _fields_ = (
        *((name, ctypes.c_int) for name in _INTEGERS),
        ("pad", ctypes.c_float),
        ("mean", ctypes.c_float * 3),
        ("scale", ctypes.c_float * 3),
    )


_MONO8, _WORD, _GEV, _LSB10, _LSB12, _BAYER8, _RGB8, _BGR8 = range(8)
_FORMATS: Final[dict[str, tuple[int, int, int, int]]] = {
    # SFNC PixelFormat: kernel's format, right shift of a word, place of the first red pixel
    "Mono8": (_MONO8, 0, 0, 0),
    "Mono10": (_WORD, 2, 0, 0),
    "Mono12": (_WORD, 4, 0, 0),
    "Mono16": (_WORD, 8, 0, 0),
    "Mono10Packed": (_GEV, 0, 0, 0),
    "Mono12Packed": (_GEV, 0, 0, 0),
    "Mono10p": (_LSB10, 0, 0, 0),
    "Mono12p": (_LSB12, 0, 0, 0),
    "BayerRG8": (_BAYER8, 0, 0, 0),
    "BayerGR8": (_BAYER8, 0, 1, 0),
    "BayerGB8": (_BAYER8, 0, 0, 1),
    "BayerBG8": (_BAYER8, 0, 1, 1),
    "RGB8": (_RGB8, 0, 0, 0),
    "BGR8": (_BGR8, 0, 0, 0),
}
KERNEL_FORMATS: Final = tuple(_FORMATS)
_KINDS: Final = {"uint8": 0, "float32": 1, "float16": 2}

Kind = Literal["uint8", "float32", "float16"]
Box4 = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Target:
    """The network's input. `mean` and `scale` of each channel: (value - mean) * scale, values 0 to 255.

    `letterbox` keeps the proportions and fills the rest with `pad`; else the image is stretched.
    """

    width_px: int
    height_px: int
    channels: Literal[1, 3]
    kind: Kind = "uint8"
    planar: bool = False
    bgr: bool = False
    letterbox: bool = False
    area: bool = True
    pad: float = 114.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @staticmethod
    def of(layout: InputLayout) -> "Target":
        """The raw image that our graphs take."""
        channels: Literal[1, 3] = 1 if layout.channels == 1 else 3
        return Target(layout.width_px, layout.height_px, channels)


def place_of(width: int, height: int, target: Target) -> Box4:
    """Where an image of this size lies in the output: x, y, width, height."""
    if not target.letterbox:
        return 0, 0, target.width_px, target.height_px
    factor = min(target.width_px / width, target.height_px / height)
    place_w = min(max(1, round(width * factor)), target.width_px)
    place_h = min(max(1, round(height * factor)), target.height_px)
    return (target.width_px - place_w) // 2, (target.height_px - place_h) // 2, place_w, place_h


def make_prepare(
    pixel_format: str, size: tuple[int, int], stride: int, roi: Box4 | None, target: Target
) -> Prepare:
    """Parameters for a source of `size` (width, height) whose lines start `stride` bytes apart.

    `roi` is x, y, width, height in source pixels; None is all of it. The area is averaged only where
    both directions shrink, as OpenCV does. Raises DataError for what the kernel cannot take.
    """
    width, height = size
    if pixel_format not in _FORMATS:
        raise DataError(f"pixel format {pixel_format}: the GPU takes {', '.join(_FORMATS)}")
    kind, shift, red_x, red_y = _FORMATS[pixel_format]
    if kind == _BAYER8 and min(size) < 3:
        raise DataError(f"{width}x{height}: demosaicing needs at least 3x3 pixels")
    x, y, roi_w, roi_h = roi or (0, 0, width, height)
    if x < 0 or y < 0 or min(roi_w, roi_h) < 1 or x + roi_w > width or y + roi_h > height:
        raise DataError(f"region {x},{y} {roi_w}x{roi_h} does not lie in {width}x{height}")
    place_x, place_y, place_w, place_h = place_of(roi_w, roi_h, target)
    values: dict[str, Any] = {
        "format": kind, "shift": shift, "red_x": red_x, "red_y": red_y,
        "width": width, "height": height, "stride": stride,
        "roi_x": x, "roi_y": y, "roi_w": roi_w, "roi_h": roi_h,
        "out_w": target.width_px, "out_h": target.height_px, "out_channels": target.channels,
        "place_x": place_x, "place_y": place_y, "place_w": place_w, "place_h": place_h,
        "area": int(target.area and place_w <= roi_w and place_h <= roi_h),
        "planar": int(target.planar), "swap": int(target.bgr), "kind": _KINDS[target.kind],
        "pad": target.pad,
    }  # fmt: skip
    prepare = Prepare(**values)
    prepare.mean[:] = target.mean
    prepare.scale[:] = target.scale
    return prepare
