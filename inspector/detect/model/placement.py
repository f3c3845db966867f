"""Where a frame lies in a network's input, and the way back. Pure; graph and decode both use it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Fit = Literal["letterbox", "stretch"]
Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Placement:
    """The frame is scaled to (`width`, `height`) network pixels and put at (`left`, `upper`)."""

    source_width: int
    source_height: int
    network_width: int
    network_height: int
    left: int
    upper: int
    width: int
    height: int

    @staticmethod
    def of(source: tuple[int, int], network: tuple[int, int], fit: Fit) -> "Placement":
        """`source` and `network` are (width, height). A letterbox keeps the shape and centres it."""
        if fit == "stretch":
            return Placement(*source, *network, 0, 0, *network)
        scale = min(network[0] / source[0], network[1] / source[1])
        width = min(network[0], max(1, round(source[0] * scale)))
        height = min(network[1], max(1, round(source[1] * scale)))
        left, upper = (network[0] - width) // 2, (network[1] - height) // 2
        return Placement(*source, *network, left, upper, width, height)

    def to_source(self, boxes: Boxes) -> Boxes:
        """(n, 4) boxes x0, y0, x1, y1 in network pixels to frame pixels, not yet cut to the frame."""
        scale_x, scale_y = self.source_width / self.width, self.source_height / self.height
        offset = np.array([self.left, self.upper] * 2, dtype=np.float32)
        scale = np.array([scale_x, scale_y] * 2, dtype=np.float32)
        return np.asarray((boxes - offset) * scale, dtype=np.float32)
