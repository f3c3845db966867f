"""What a model that sees is shown: the region of a defect, and the detector's heat map of it beside it.

One PNG for each camera that saw something, at most MAX_SIDE high and twice as wide, so that it takes
a bounded share of the model's context. Pixels are the frame's own, reduced where the region is larger.
"""

from collections import OrderedDict

import cv2
import numpy as np
import numpy.typing as npt

from inspector.explain.place import ABNORMAL_CELL
from inspector.types import Frame, FrameResult, Heatmap, PartEvidence, ResultStatus

MAX_SIDE = 392
"""Of each half, in pixels: 14 patches of 28, the step of the GLM-4.1V and Qwen2-VL encoders."""
MAX_BYTES = 400_000
MAX_PICTURES = 2
_LEAST_SIDE = 96
_MARGIN = 0.5
"""What is shown around a box, as a share of its size."""
_KEPT = 8
_KEPT_BYTES = 256 << 20
_GAP = 8
_COLOUR = {
    "BayerRG8": cv2.COLOR_BayerRGGB2BGR,
    "BayerGB8": cv2.COLOR_BayerGBRG2BGR,
    "BayerGR8": cv2.COLOR_BayerGRBG2BGR,
    "BayerBG8": cv2.COLOR_BayerBGGR2BGR,
    "RGB8": cv2.COLOR_RGB2BGR,
}
_SHIFT = {"Mono10": 2, "Mono12": 4, "Mono16": 8}
Image = npt.NDArray[np.uint8]
Region = tuple[int, int, int, int]


class Pictures:
    """Keeps the latest frames until their part is told of. Copies, so as not to hold shared memory."""

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[str, int], Frame] = OrderedDict()
        self._bytes = 0

    def add(self, frame: Frame) -> None:
        """Keep a frame; the oldest go when there are more than 8 of its camera, or 256 MiB in all."""
        key = (frame.meta.camera_id, frame.meta.frame_id)
        if key in self._frames:
            return
        self._frames[key] = Frame(frame.meta, frame.image.copy())
        self._bytes += frame.image.nbytes
        mine = [each for each in self._frames if each[0] == key[0]]
        for old in mine[:-_KEPT]:
            self._drop(old)
        while self._bytes > _KEPT_BYTES and len(self._frames) > 1:
            self._drop(next(iter(self._frames)))

    def of(self, evidence: PartEvidence) -> tuple[bytes, ...]:
        """Return the pictures of a part, the most suspicious camera's first; those that are still here."""
        seen = [
            (result, self._frames[result.camera_id, result.frame_id])
            for result in evidence.results
            if (result.camera_id, result.frame_id) in self._frames
        ]
        return pictures_of(seen)

    def _drop(self, key: tuple[str, int]) -> None:
        self._bytes -= self._frames.pop(key).image.nbytes


def pictures_of(seen: list[tuple[FrameResult, Frame]]) -> tuple[bytes, ...]:
    """Return at most MAX_PICTURES PNG files of usable results and their frames."""
    usable = [pair for pair in seen if pair[0].status is ResultStatus.OK]
    worst = sorted(usable, key=lambda pair: (-(pair[0].p_defect or 0.0), pair[0].camera_id))
    return tuple(picture(frame, result) for result, frame in worst[:MAX_PICTURES])


def picture(frame: Frame, result: FrameResult) -> bytes:
    """Return a PNG file: the region on the left, on the right the same under its heat map.

    Without a heat map the boxes of the detections are drawn there.
    """
    whole = _bgr(frame)
    x0, y0, x1, y1 = region(result, whole.shape[1], whole.shape[0])
    scale = min(1.0, MAX_SIDE / max(x1 - x0, y1 - y0))
    while True:
        size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
        left = _resized(whole[y0:y1, x0:x1], size)
        right = _marked(left.copy(), result, (x0, y0, x1, y1), (whole.shape[1], whole.shape[0]))
        between = np.full((size[1], _GAP, 3), 255, np.uint8)
        done, png = cv2.imencode(".png", np.hstack((left, between, right)))
        if done and len(png) <= MAX_BYTES:
            return png.tobytes()
        scale *= 0.7  # noise does not compress


def region(result: FrameResult, width_px: int, height_px: int) -> Region:
    """Return what is shown of a frame: the detections or the abnormal cells with a margin, else all of it."""
    boxes = [found.box_px for found in result.detections]
    if not boxes and result.heatmap is not None:
        boxes = _abnormal(result.heatmap, width_px, height_px)
    if not boxes:
        return 0, 0, width_px, height_px
    x0, y0 = min(box[0] for box in boxes), min(box[1] for box in boxes)
    x1, y1 = max(box[2] for box in boxes), max(box[3] for box in boxes)
    side_x = max(_LEAST_SIDE, int((x1 - x0) * (1 + 2 * _MARGIN)))
    side_y = max(_LEAST_SIDE, int((y1 - y0) * (1 + 2 * _MARGIN)))
    left, right = _around((x0 + x1) // 2, side_x, width_px)
    top, bottom = _around((y0 + y1) // 2, side_y, height_px)
    return left, top, right, bottom


def _around(middle: int, side: int, whole: int) -> tuple[int, int]:
    side = min(side, whole)
    begin = min(max(0, middle - side // 2), whole - side)
    return begin, begin + side


def _cells(heatmap: Heatmap) -> Image | None:
    if heatmap.width <= 0 or len(heatmap.data) != heatmap.width * heatmap.height:
        return None
    return np.frombuffer(heatmap.data, np.uint8).reshape(heatmap.height, heatmap.width)


def _abnormal(heatmap: Heatmap, width_px: int, height_px: int) -> list[Region]:
    cells = _cells(heatmap)
    if cells is None or not (cells >= ABNORMAL_CELL).any():
        return []
    rows, columns = np.nonzero(cells >= ABNORMAL_CELL)
    wide, high = width_px / heatmap.width, height_px / heatmap.height
    x0, x1 = int(columns.min() * wide), int((columns.max() + 1) * wide)
    return [(x0, int(rows.min() * high), x1, int((rows.max() + 1) * high))]


def _bgr(frame: Frame) -> Image:
    kind, image = frame.meta.pixel_format, frame.image
    if image.dtype == np.uint16:
        image = (image >> _SHIFT.get(kind, 8)).astype(np.uint8)
    if kind in _COLOUR:
        return np.asarray(cv2.cvtColor(image, _COLOUR[kind]), np.uint8)
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.asarray(image, np.uint8)


def _resized(image: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _marked(shown: Image, result: FrameResult, part: Region, whole: tuple[int, int]) -> Image:
    x0, y0, x1, y1 = part
    cells = _cells(result.heatmap) if result.heatmap is not None else None
    if cells is None:
        zoom_x, zoom_y = shown.shape[1] / (x1 - x0), shown.shape[0] / (y1 - y0)
        for found in result.detections:
            a, b, c, d = found.box_px
            one = int((a - x0) * zoom_x), int((b - y0) * zoom_y)
            other = int((c - x0) * zoom_x), int((d - y0) * zoom_y)
            cv2.rectangle(shown, one, other, (0, 0, 255), 2)
        return shown
    # The map is spread over the whole frame: only the cells of this region are stretched, each pixel
    # taking the value at its own place.
    xs = ((np.arange(shown.shape[1]) + 0.5) / shown.shape[1] * (x1 - x0) + x0) / whole[0] * cells.shape[1]
    ys = ((np.arange(shown.shape[0]) + 0.5) / shown.shape[0] * (y1 - y0) + y0) / whole[1] * cells.shape[0]
    map_x, map_y = np.meshgrid((xs - 0.5).astype(np.float32), (ys - 0.5).astype(np.float32))
    heat = cv2.remap(cells, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.asarray(
        cv2.addWeighted(grey, 0.5, cv2.applyColorMap(heat, cv2.COLORMAP_TURBO), 0.5, 0.0), np.uint8
    )
