"""A labelled image as the model takes it. Needs no torch."""

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from inspector.detect.images import read_image
from inspector.detect.model.manifest import InputLayout
from inspector.detect.training.coco import LabelledImage

Pixels = npt.NDArray[np.uint8]


def composite(image: Pixels, template: Pixels) -> Pixels:
    """(H, W) and (H, W) to RGB8 (H, W, 3): the image, its template, and how far they differ."""
    return np.dstack([image, template, cv2.absdiff(image, template)])


def read_labelled(image: LabelledImage, layout: InputLayout) -> Pixels:
    """The image as `layout` wants it, uint8 (H, W, C), with its template where it has one."""
    if image.template is None:
        return read_image(image.path, layout)
    grey = msgspec.structs.replace(layout, pixel_format="Mono8")
    return composite(read_image(image.path, grey)[..., 0], read_image(image.template, grey)[..., 0])
