"""Runs a model over a folder of labelled images: what it gets right, and how fast it is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.evaluating.box_figures import BoxPx, ImageBoxes
from inspector.detect.evaluating.box_labels import (
    box_figures,
    box_head,
    check_names,
    find_labels,
    named_boxes,
    true_boxes,
)
from inspector.detect.evaluating.evaluate import auroc, best_f1, error_rates, f1_at, false_reject_at_escape
from inspector.detect.evaluating.masks import find_masks, mask_of, unmarked
from inspector.detect.evaluating.pixel_figures import Map, Mask, PixelFigures, pixel_figures, to_mask_size
from inspector.detect.images import list_images, read_image
from inspector.detect.model.decode import Decoded, decode, found_boxes
from inspector.detect.model.manifest import InputLayout, Manifest, load_manifest
from inspector.detect.teaching.graph import SCORE_MAP
from inspector.detect.training.coco import LabelledImage, LabelledSet
from inspector.detect.training.labelled_image import read_labelled
from inspector.errors import ConfigError

Progress = Callable[[str, int, int], None]
Kind = Literal["good", "defect"]

GOOD_FOLDER: Final = "test_good"
DEFECT_FOLDER: Final = "test_defect"
MASK_FOLDER: Final = "masks"
_WARM_UP: Final = 3


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model says of one test image; `score_map` only of a model with one."""

    path: Path
    kind: Kind
    decoded: Decoded
    score_map: Map | None
    ms: float
    truth: tuple[tuple[str, BoxPx], ...] | None = None  # None: nobody labelled its boxes
    found: tuple[tuple[str, float, BoxPx], ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All images, and the figures by name; a figure that the data does not allow is NaN."""

    manifest: Manifest
    judgements: tuple[Judgement, ...]
    figures: dict[str, float]

    def as_json(self) -> dict[str, float | None]:
        """The figures, with None in place of NaN, which is no JSON."""
        return {key: None if math.isnan(value) else round(value, 6) for key, value in self.figures.items()}


def evaluate_model(
    folder: Path,
    data: Path,
    *,
    escape_rate: float,
    threads: int,
    progress: Progress,
    labels: Path | None = None,
) -> Evaluation:
    """Judge data/test_good and data/test_defect; data/masks/STEM.png mark defects (over 0: defective).

    `labels`, or data/labels.json where it is there, holds boxes in COCO's format; images that only it names
    are judged too, those without boxes as good parts.

    Milliseconds are of the graph and its decoding, one image at a time, without reading the file. Raises
    ConfigError for data that will not do, ModelError for a model that cannot be run.
    """
    manifest = load_manifest(folder)
    if not data.is_dir():
        raise ConfigError(f"{data}: no such folder")
    boxes = find_labels(data, labels)
    parts = _parts(data, boxes)
    if not parts:
        raise ConfigError(f"{data}: no images in {GOOD_FOLDER} or {DEFECT_FOLDER}; see --help for the layout")
    if boxes is not None and (head := box_head(manifest)) is not None:
        check_names(boxes, head)
    masks = find_masks(data / MASK_FOLDER, [part.path for part in parts if part.kind == "defect"])
    run = CpuRun((folder / manifest.onnx.file).read_bytes(), str(folder), threads=threads)
    for _ in range(_WARM_UP):
        run(_read(parts[0], manifest)[None])
    judgements = []
    for done, part in enumerate(parts):
        progress("Judging", done, len(parts))
        judgements.append(_judge(run, manifest, part, boxes))
    progress("Judging", len(parts), len(parts))
    return Evaluation(manifest, tuple(judgements), _figures(manifest, judgements, masks, escape_rate))


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    kind: Kind
    labelled: LabelledImage | None


def _parts(data: Path, boxes: LabelledSet | None) -> list[_Part]:
    labelled = {} if boxes is None else {image.path.resolve(): image for image in boxes.images}
    folders: tuple[tuple[Kind, str], ...] = (("good", GOOD_FOLDER), ("defect", DEFECT_FOLDER))
    parts = [
        _Part(path, kind, labelled.pop(path.resolve(), None))
        for kind, name in folders
        if (data / name).is_dir()
        for path in list_images(data / name)
    ]
    for part in parts:
        if part.kind == "good" and part.labelled is not None and part.labelled.boxes:
            raise ConfigError(f"{part.path}: lies in {GOOD_FOLDER}, but the labels give it a box")
    return parts + [
        _Part(image.path, "defect" if image.boxes else "good", image) for image in labelled.values()
    ]


def _read(part: _Part, manifest: Manifest) -> npt.NDArray[np.uint8]:
    if part.labelled is None:
        return read_image(part.path, manifest.input)
    return read_labelled(part.labelled, manifest.input)


def _judge(run: CpuRun, manifest: Manifest, part: _Part, boxes: LabelledSet | None) -> Judgement:
    pixels = _read(part, manifest)[None]
    start = perf_counter()
    outputs = run(pixels)
    decoded = decode(outputs, manifest)
    ms = (perf_counter() - start) * 1e3
    truth, found, head = None, tuple[tuple[str, float, BoxPx], ...](), box_head(manifest)
    if boxes is not None and part.labelled is not None and head is not None:
        truth = true_boxes(part.labelled, boxes.labels, manifest.input)
        found = named_boxes(found_boxes(outputs, head, manifest.input, head.lowest_score), head)
    score_map = outputs.get(SCORE_MAP)
    if score_map is None and decoded.heatmap is not None:  # a model of another make: what it shows
        heat = decoded.heatmap
        score_map = np.frombuffer(heat.data, dtype=np.uint8).reshape(heat.height, heat.width)
    plain = None if score_map is None else np.asarray(score_map, dtype=np.float32)
    return Judgement(part.path, part.kind, decoded, plain, ms, truth, found)


def _figures(
    manifest: Manifest, judgements: Sequence[Judgement], masks: Mapping[Path, Path], escape_rate: float
) -> dict[str, float]:
    def of(kind: Kind, what: Callable[[Decoded], float]) -> npt.NDArray[np.float64]:
        return np.array([what(each.decoded) for each in judgements if each.kind == kind], dtype=np.float64)

    good, defect = (of(kind, lambda decoded: decoded.anomaly_score) for kind in ("good", "defect"))
    good_p, defect_p = (of(kind, lambda decoded: decoded.p_defect) for kind in ("good", "defect"))
    limit = manifest.thresholds["defect"]
    rates = error_rates(good_p, defect_p, limit)
    pixels = _pixels(judgements, masks, manifest.input)
    times = np.array([each.ms for each in judgements])
    labelled = [ImageBoxes(each.truth, each.found) for each in judgements if each.truth is not None]
    return {
        "image_auroc": auroc(good, defect),
        "aupro": pixels.aupro,
        "pixel_auroc": pixels.pixel_auroc,
        "f1": f1_at(good_p, defect_p, limit),
        "best_f1": best_f1(good, defect),
        "escape_rate": rates["escape_rate"],
        "false_reject_rate": rates["overkill_rate"],
        "false_reject_at_escape": false_reject_at_escape(good, defect, escape_rate),
        "ms_per_image": float(np.median(times)),
        "ms_p99": float(np.quantile(times, 0.99)),
        "good_images": float(len(good)),
        "defect_images": float(len(defect)),
        "marked_regions": float(pixels.regions),
        **box_figures(labelled),
    }


def _pixels(judgements: Sequence[Judgement], masks: Mapping[Path, Path], layout: InputLayout) -> PixelFigures:
    maps: list[Map] = []
    marked: list[Mask] = []
    for each in judgements:
        mask = unmarked(layout) if each.kind == "good" else mask_of(each.path, masks, layout)
        if mask is not None and each.score_map is not None:
            marked.append(mask)
            maps.append(to_mask_size(each.score_map, (mask.shape[0], mask.shape[1])))
    return pixel_figures(maps, marked)
