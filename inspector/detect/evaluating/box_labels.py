"""True boxes of test images, from COCO labels, against those that a model finds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from inspector.detect.evaluating.box_figures import BoxPx, ImageBoxes, mean_average_precision
from inspector.detect.images import image_size
from inspector.detect.model.candidates import BOX_DECODES, Candidates
from inspector.detect.model.manifest import Head, InputLayout, Manifest
from inspector.detect.training.coco import LABELS_NAME, LabelledImage, LabelledSet, read_coco
from inspector.errors import ConfigError

_OVERLAPS: Final = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # COCO's own average
NO_FIGURES: Final = {"map50": float("nan"), "map": float("nan"), "true_boxes": float("nan")}


def find_labels(data: Path, given: Path | None) -> LabelledSet | None:
    """The COCO labels `given`, or labels.json in `data`, or None. Raises ConfigError as `read_coco`, and for
    an image whose size is another than the labels say."""
    if given is None and not (data / LABELS_NAME).is_file():
        return None
    labelled = read_coco(data, given)
    check_sizes(labelled, given or data / LABELS_NAME)
    return labelled


def check_sizes(labelled: LabelledSet, labels: Path) -> None:
    """Raise ConfigError for an image whose size is another than `labels` say: its boxes lie elsewhere."""
    for image in labelled.images:
        width, height = image_size(image.path)
        if (width, height) != (image.width_px, image.height_px):
            raise ConfigError(
                f"{labels}: {image.path} is {width} x {height} pixels, the labels say "
                f"{image.width_px} x {image.height_px}"
            )


def box_head(manifest: Manifest) -> Head | None:
    """The manifest's head, where it finds boxes."""
    return manifest.head if manifest.head is not None and manifest.head.decode in BOX_DECODES else None


def check_names(labelled: LabelledSet, head: Head) -> None:
    """Raise ConfigError when no label of the images is one of the model's."""
    if not set(labelled.labels) & set(head.labels):
        theirs, ours = (", ".join(names[:5]) for names in (labelled.labels, head.labels))
        raise ConfigError(f"the images' labels are {theirs}, the model's {ours}: none in common")


def true_boxes(
    image: LabelledImage, labels: Sequence[str], layout: InputLayout
) -> tuple[tuple[str, BoxPx], ...]:
    """The image's boxes in pixels of the model's input."""
    scale = np.array([layout.width_px / image.width_px, layout.height_px / image.height_px] * 2)
    return tuple((labels[each.label], _corners(np.array(each.box) * scale)) for each in image.boxes)


def named_boxes(found: Candidates, head: Head) -> tuple[tuple[str, float, BoxPx], ...]:
    """Found boxes by the names of their labels."""
    rows = zip(found.labels, found.scores, found.boxes, strict=True)
    return tuple((head.labels[int(label)], float(score), _corners(box)) for label, score, box in rows)


def box_figures(images: Sequence[ImageBoxes]) -> dict[str, float]:
    """mAP at an overlap of 0.5, and averaged over 0.5 to 0.95; NaN without true boxes."""
    count = sum(len(image.truth) for image in images)
    if not count:
        return dict(NO_FIGURES)
    each = [mean_average_precision(images, least) for least in _OVERLAPS]
    return {"map50": each[0], "map": float(np.mean(each)), "true_boxes": float(count)}


def _corners(box: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> BoxPx:
    x0, y0, x1, y1 = (float(value) for value in box)
    return x0, y0, x1, y1
