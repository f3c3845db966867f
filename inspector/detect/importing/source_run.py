"""The file as its maker meant it: frames prepared in NumPy, then the network alone. The gate's reference."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.importing.frame_entry import GREY, IMAGENET, Entry, network_input
from inspector.detect.model.placement import Placement


class SourceRun:
    """Runs the ONNX file itself on raw frames. Raises ModelError as CpuRun."""

    def __init__(self, model: onnx.ModelProto, entry: Entry, path: Path) -> None:
        self._entry = entry
        fixed = onnx.ModelProto()
        fixed.CopyFrom(model)
        value = network_input(fixed)
        self._half = value.type.tensor_type.elem_type == TensorProto.FLOAT16
        dims = value.type.tensor_type.shape.dim
        self._channels = dims[1].dim_value or 3
        for dim, length in zip(dims, (1, self._channels, entry.size[1], entry.size[0]), strict=True):
            dim.dim_value = length
        self._run = CpuRun(fixed.SerializeToString(), str(path))

    def __call__(self, frame: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
        """All outputs by name, for uint8 (1, height, width, channels)."""
        prepared = self.prepare(frame)
        return self._run(prepared.astype(np.float16) if self._half else prepared)

    def prepare(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The network's input, (1, C, height, width)."""
        entry = self._entry
        place = Placement.of((entry.frame.width_px, entry.frame.height_px), entry.size, entry.fit)
        image = frame[0].astype(np.float32)
        block = max(1, min(image.shape[1] // place.width, image.shape[0] // place.height))
        if block > 1:
            image = _block_means(image, block)
        if image.shape[:2] != (place.height, place.width):
            image = cv2.resize(image, (place.width, place.height), interpolation=cv2.INTER_LINEAR)
        image = image.reshape(place.height, place.width, entry.frame.channels)
        whole = np.full((entry.size[1], entry.size[0], image.shape[2]), GREY, dtype=np.float32)
        whole[place.upper : place.upper + place.height, place.left : place.left + place.width] = image
        if entry.frame.channels == 1 and self._channels == 3:
            whole = np.repeat(whole, 3, axis=2)
        elif entry.frame.channels == 3 and self._channels == 1:
            whole = whole @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)  # ITU-R BT.601
        elif entry.bgr and self._channels == 3:
            whole = whole[..., ::-1]
        if entry.normalise != "none":
            whole = whole / 255.0
        if entry.normalise == "imagenet":
            mean, deviation = (np.array(v[: self._channels], dtype=np.float32) for v in IMAGENET)
            whole = (whole - mean) / deviation
        return np.ascontiguousarray(whole.transpose(2, 0, 1)[None], dtype=np.float32)


def _block_means(image: npt.NDArray[np.float32], block: int) -> npt.NDArray[np.float32]:
    """Means over blocks, at the right and lower edge over what there is of one."""
    rows, columns = np.arange(0, image.shape[0], block), np.arange(0, image.shape[1], block)
    total = np.add.reduceat(np.add.reduceat(image, rows, axis=0), columns, axis=1)
    counts = [
        np.diff(np.append(starts, length))
        for starts, length in ((rows, image.shape[0]), (columns, image.shape[1]))
    ]
    return np.asarray(total / (counts[0][:, None] * counts[1])[..., None], dtype=np.float32)
