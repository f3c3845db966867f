"""Masks of defects: which picture marks which image, and what of it counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from inspector.detect.evaluating.pixel_figures import Mask
from inspector.detect.images import read_mask
from inspector.detect.model.manifest import InputLayout
from inspector.errors import ConfigError

_MOST_PIXELS: Final = 1_000_000  # larger masks are compared at that size
_LEAST_SHARE: Final = 0.376  # of what a smaller pixel covers, marked


def find_masks(folder: Path, defects: Sequence[Path]) -> dict[Path, Path]:
    """The mask `folder`/STEM.png of each image that has one; a defect may be left unmarked.

    Raises ConfigError where two images of one name would share one.
    """
    found = {path: mask for path in defects if (mask := folder / f"{path.stem}.png").is_file()}
    if shared := [mask for mask, times in Counter(found.values()).items() if times > 1]:
        raise ConfigError(f"{shared[0]}: two images have that name; give each its own")
    return found


def mask_of(image: Path, masks: Mapping[Path, Path], layout: InputLayout) -> Mask | None:
    """True where defective, at most _MOST_PIXELS; None for an image that nobody marked. Raises
    ConfigError."""
    if image not in masks:
        return None
    mask = read_mask(masks[image], layout)
    scale = (_MOST_PIXELS / mask.size) ** 0.5
    if scale >= 1.0:
        return mask
    share = cv2.resize(mask.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(share > _LEAST_SHARE, dtype=np.bool_)


def unmarked(layout: InputLayout) -> Mask:
    """That of a good part."""
    scale = min(1.0, (_MOST_PIXELS / (layout.width_px * layout.height_px)) ** 0.5)
    return np.zeros((round(layout.height_px * scale), round(layout.width_px * scale)), dtype=np.bool_)
