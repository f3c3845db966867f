"""Reads labels in COCO's format (cocodataset.org, "Data format", object detection)."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from inspector.errors import ConfigError

LABELS_NAME: Final = "labels.json"
_MOST_BYTES: Final = 100_000_000
_MARK: Final = b"\xef\xbb\xbf"  # some tools on Windows put it before UTF-8
_SLACK_PX: Final = 1.0  # tools round: a box may stick out by this much, and is cut


class _Image(msgspec.Struct, frozen=True):
    id: int
    file_name: str
    width: int
    height: int
    template: str | None = None  # ours: an image of the same place without defects


class _Category(msgspec.Struct, frozen=True):
    id: int
    name: str


class _Annotation(msgspec.Struct, frozen=True):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    id: Any = None


class _File(msgspec.Struct, frozen=True):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """`label` counts from 0 in the set's labels; the box is (x0, y0, x1, y1) in image pixels."""

    label: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image without boxes is a good part."""

    path: Path
    template: Path | None
    width_px: int
    height_px: int
    boxes: tuple[LabelledBox, ...]


@dataclass(frozen=True, slots=True)
class LabelledSet:
    labels: tuple[str, ...]
    images: tuple[LabelledImage, ...]


def read_coco(folder: Path, labels: Path | None = None) -> LabelledSet:
    """Read `labels` (default: labels.json in `folder`); file names in it are relative to `folder`.

    Raises ConfigError, one line, for a file that is missing or malformed, a box that has no size or lies
    outside its image, an image or a category that is not there, is there twice or has no name or size, and
    an empty set.
    """
    path = labels or folder / LABELS_NAME
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path}: over {_MOST_BYTES // 10**6} MB; give the labels of fewer images")
        file = msgspec.json.decode(path.read_bytes().removeprefix(_MARK), type=_File)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); it holds COCO labels") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not COCO labels: {error}") from error
    _check_named(file, path)
    numbers = {category.id: index for index, category in enumerate(file.categories)}
    boxes: dict[int, list[LabelledBox]] = {image.id: [] for image in file.images}
    sizes = {image.id: image for image in file.images}
    for index, annotation in enumerate(file.annotations):
        where = f"{path}: annotation {annotation.id if annotation.id is not None else index}"
        if annotation.image_id not in boxes:
            raise ConfigError(f"{where}: there is no image {annotation.image_id}")
        if annotation.category_id not in numbers:
            raise ConfigError(f"{where}: there is no category {annotation.category_id}")
        box = _checked(annotation.bbox, sizes[annotation.image_id], where)
        boxes[annotation.image_id].append(LabelledBox(numbers[annotation.category_id], box))
    images = [_image(folder, image, tuple(boxes[image.id]), path) for image in file.images]
    return LabelledSet(tuple(category.name for category in file.categories), tuple(images))


def _check_named(file: _File, path: Path) -> None:
    """Raise ConfigError unless all images and categories are there once, and can be told apart."""
    if not file.images or not file.categories:
        raise ConfigError(f"{path}: names no {'categories' if file.images else 'images'}")
    if any((image.template is None) != (file.images[0].template is None) for image in file.images):
        raise ConfigError(f"{path}: give every image a template, or none")
    for what, values in (
        ("image id", [image.id for image in file.images]),
        ("file_name", [image.file_name for image in file.images]),
        ("category id", [category.id for category in file.categories]),
        ("category", [category.name for category in file.categories]),
    ):
        if twice := [value for value, times in Counter(values).items() if times > 1]:
            raise ConfigError(f"{path}: {what} {twice[0]} is there twice")
    for category in file.categories:
        if not category.name.strip() or not category.name.isprintable():
            raise ConfigError(f"{path}: category {category.id} has no name that can be shown")
    for image in file.images:
        if not (image.width > 0 and image.height > 0):
            raise ConfigError(f"{path}: image {image.id}: {image.width} x {image.height} pixels have no size")


def _checked(
    bbox: tuple[float, float, float, float], image: _Image, where: str
) -> tuple[float, float, float, float]:
    x, y, width, height = bbox
    given = f"box {x:g}, {y:g}, {width:g} x {height:g}"
    if not (width > 0 and height > 0):
        raise ConfigError(f"{where}: {given} has no size")
    inside = (
        min(x, y) >= -_SLACK_PX
        and x + width <= image.width + _SLACK_PX
        and y + height <= image.height + _SLACK_PX
    )
    if not inside:
        raise ConfigError(
            f"{where}: {given} lies outside {image.file_name} ({image.width} x {image.height} pixels)"
        )
    return max(x, 0.0), max(y, 0.0), min(x + width, image.width), min(y + height, image.height)


def _image(folder: Path, image: _Image, boxes: tuple[LabelledBox, ...], labels: Path) -> LabelledImage:
    found = folder / image.file_name
    template = folder / image.template if image.template is not None else None
    for path in (found, template):
        if path is not None and not os.path.isfile(path):  # a name that no file can have is one too few
            raise ConfigError(f"{labels}: image {path} is not there")
    return LabelledImage(found, template, image.width, image.height, boxes)
