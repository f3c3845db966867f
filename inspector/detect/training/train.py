"""From a folder of labelled images to a model folder that finds boxes. Needs torch (extra [train])."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.evaluating.box_figures import BoxPx, ImageBoxes, mean_average_precision
from inspector.detect.evaluating.box_labels import check_sizes
from inspector.detect.images import common_layout
from inspector.detect.model.candidates import Candidates
from inspector.detect.model.decode import found_boxes
from inspector.detect.model.manifest import (
    UNCALIBRATED,
    Head,
    HowMade,
    InputLayout,
    Manifest,
    OnnxFile,
    file_sha256,
)
from inspector.detect.model.model_folder import ONNX_NAME, write_model
from inspector.detect.quantizing.gate import EXPORT, decoded_all, require_parity
from inspector.detect.quantizing.parity import Parity
from inspector.detect.teaching.graph import F32, GraphBuilder, finish, network_input
from inspector.detect.training.box_graph import DISTANCES, SCORES, BoxGraph, build, with_weights
from inspector.detect.training.coco import LABELS_NAME, LabelledImage, LabelledSet, read_coco
from inspector.detect.training.fit import FitOptions, fit, run_in_torch
from inspector.detect.training.labelled_image import read_labelled
from inspector.detect.training.targets import Boxes, Pixels
from inspector.errors import ConfigError

Progress = Callable[[str, int, int], None]

FEWEST_IMAGES: Final = 8
_PIXEL_BUDGET: Final = 640 * 640
_STEP: Final = 16
_LOWEST_SCORE: Final = 0.02
_SEEN: Final = "seen"
_TO_CHECK: Final = 6  # images, about, that the trained network and its graph are compared on


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """`held_out` is the share of images that only measures the model."""

    name: str
    epochs: int = 24
    size: tuple[int, int] | None = None
    tune: bool = True
    turn: bool = True
    held_out: float = 0.15
    threads: int = 2
    command: str = ""


def train_boxes(
    data: Path,
    labels: Path | None,
    models_dir: Path,
    backbone_path: Path,
    *,
    options: TrainOptions,
    progress: Progress = lambda _what, _done, _total: None,
) -> tuple[Path, Manifest]:
    """Learn and write models_dir/NAME. A training that was stopped goes on where it was.

    Images with a template become three channels: image, template, and how far they differ; the model then
    takes frames made by `composite`. Raises ConfigError for labels, images or options that will not do.
    """
    labelled = read_coco(data, labels)
    if len(labelled.images) < FEWEST_IMAGES:
        raise ConfigError(f"{data}: {len(labelled.images)} images; training takes {FEWEST_IMAGES} or more")
    if not any(image.boxes for image in labelled.images):
        raise ConfigError(f"{data}: no image has a box; for good parts alone use 'inspector teach'")
    check_sizes(labelled, labels or data / LABELS_NAME)
    layout = _layout(labelled)
    size = options.size or choose_size(layout.width_px, layout.height_px)
    learn, hold = _split(labelled.images, options.held_out)
    if not any(image.boxes for image in learn):
        raise ConfigError(f"{data}: all images with boxes are held out; give more, or --held-out 0")
    box_graph = build(layout, size, len(labelled.labels), backbone_path)
    folder = models_dir / options.name
    work = models_dir / f".{options.name}.training"
    weights = fit(
        box_graph,
        _read_all(learn, layout, size, options.threads, progress),
        options=FitOptions(
            epochs=options.epochs, tune=options.tune, turn=options.turn, threads=options.threads
        ),
        checkpoint=work / "checkpoint.pt",
        about=_about(labelled, options, size, backbone_path),
        progress=progress,
    )
    model = with_weights(box_graph.model, weights).SerializeToString()
    manifest = _manifest(labelled, options, layout, size, backbone_path)
    if hold:
        metrics = measure(model, manifest, labelled, hold, threads=options.threads, progress=progress)
        manifest = msgspec.structs.replace(manifest, metrics=metrics)
    parity = _check_export(model, manifest, box_graph, weights, labelled.images)
    metrics = manifest.metrics | parity.metrics(EXPORT)
    manifest = write_model(folder, model, msgspec.structs.replace(manifest, metrics=metrics))
    shutil.rmtree(work)
    return folder, manifest


def _check_export(
    model: bytes,
    manifest: Manifest,
    box_graph: BoxGraph,
    weights: dict[str, F32],
    images: Sequence[LabelledImage],
) -> Parity:
    """What torch and the ONNX graph say of a few images. Raises ModelError where a verdict differs."""
    layout, made = manifest.input, manifest.how_made
    prepare = _preparation(layout, (made.network_width_px, made.network_height_px), threads=2)
    run = CpuRun(model, manifest.name)
    frames = [read_labelled(image, layout)[None] for image in images[:: max(1, len(images) // _TO_CHECK)]]
    seen = [prepare(frame)[_SEEN].astype(np.float32) for frame in frames]
    return require_parity(
        decoded_all([run_in_torch(box_graph, weights, image) for image in seen], manifest),
        decoded_all([run(frame) for frame in frames], manifest),
        manifest, "the trained network and its graph",
    )  # fmt: skip


def _preparation(layout: InputLayout, size: tuple[int, int], *, threads: int) -> CpuRun:
    """The very nodes that the model will scale images with, from the frame to _SEEN (1, C, height, width)."""
    graph = GraphBuilder()
    graph.add("Identity", network_input(graph, layout, *size), name=_SEEN)
    model = finish(graph, layout, {_SEEN: (1, layout.channels, size[1], size[0])}, "preparation")
    return CpuRun(model.SerializeToString(), "preparation", threads=threads)


def measure(
    model: bytes,
    manifest: Manifest,
    labelled: LabelledSet,
    images: Sequence[LabelledImage],
    *,
    threads: int,
    progress: Progress,
) -> dict[str, float]:
    """mAP at 0.5 on `images`, in frame pixels."""
    run = CpuRun(model, manifest.name, threads=threads)
    head = manifest.head
    assert head is not None
    scored = []
    for done, image in enumerate(images):
        progress("Measuring", done, len(images))
        outputs = run(read_labelled(image, manifest.input)[None])
        scored.append(
            ImageBoxes(
                _named(_boxes(image, manifest.input.width_px, manifest.input.height_px), labelled.labels),
                _scored(found_boxes(outputs, head, manifest.input, head.lowest_score), labelled.labels),
            )
        )
    progress("Measuring", len(images), len(images))
    value = mean_average_precision(scored)
    return {"held_out_images": float(len(images)), "held_out_map50": round(value, 4)}


def choose_size(width_px: int, height_px: int) -> tuple[int, int]:
    """The network's input size: the image's shape, no larger than it, within the pixel budget."""
    scale = min(1.0, (_PIXEL_BUDGET / (width_px * height_px)) ** 0.5)
    width, height = (max(_STEP * 4, round(side * scale / _STEP) * _STEP) for side in (width_px, height_px))
    return width, height


def _layout(labelled: LabelledSet) -> InputLayout:
    layout = common_layout([image.path for image in labelled.images])
    for image in labelled.images:
        if image.template is None:
            return layout
    return msgspec.structs.replace(layout, pixel_format="RGB8")


def _split(images: Sequence[LabelledImage], share: float) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Every n-th image is held out."""
    if share <= 0:
        return list(images), []
    step = max(2, round(1 / share))
    hold = list(images[step - 1 :: step])
    return [image for index, image in enumerate(images) if (index + 1) % step], hold


def _boxes(image: LabelledImage, width: int, height: int) -> Boxes:
    """The image's boxes at another size, (n, 5)."""
    scale = np.array([width / image.width_px, height / image.height_px] * 2)
    rows = [[item.label, *(np.array(item.box) * scale)] for item in image.boxes]
    return np.array(rows, dtype=np.float32).reshape(-1, 5)


def _named(boxes: Boxes, labels: Sequence[str]) -> list[tuple[str, BoxPx]]:
    return [(labels[int(row[0])], _corners(row[1:])) for row in boxes]


def _scored(found: Candidates, labels: Sequence[str]) -> list[tuple[str, float, BoxPx]]:
    rows = zip(found.labels, found.scores, found.boxes, strict=True)
    return [(labels[int(label)], float(score), _corners(box)) for label, score, box in rows]


def _corners(box: F32) -> BoxPx:
    x0, y0, x1, y1 = (float(v) for v in box)
    return x0, y0, x1, y1


def _read_all(
    images: Sequence[LabelledImage],
    layout: InputLayout,
    size: tuple[int, int],
    threads: int,
    progress: Progress,
) -> list[tuple[Pixels, Boxes]]:
    """All images at the network's size, scaled by the very nodes that the model will scale with."""
    run = _preparation(layout, size, threads=threads)
    read = []
    for done, image in enumerate(images):
        progress("Reading images", done, len(images))
        pixels = read_labelled(image, layout)
        if (layout.width_px, layout.height_px) != size:
            seen = run(pixels[None])[_SEEN][0].transpose(1, 2, 0) * 128.0 + 127.0
            pixels = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
        read.append((np.ascontiguousarray(pixels), _boxes(image, *size)))
    progress("Reading images", len(images), len(images))
    return read


def _about(labelled: LabelledSet, options: TrainOptions, size: tuple[int, int], backbone: Path) -> str:
    """What a checkpoint belongs to."""
    options = replace(options, threads=0, command="")
    text = f"{labelled} {options} {size} {file_sha256(backbone)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _manifest(
    labelled: LabelledSet, options: TrainOptions, layout: InputLayout, size: tuple[int, int], backbone: Path
) -> Manifest:
    with_boxes = sum(bool(image.boxes) for image in labelled.images)
    return Manifest(
        format=1,
        name=options.name,
        task="boxes",
        onnx=OnnxFile(file=ONNX_NAME, sha256=""),
        input=layout,
        labels=labelled.labels,
        decode="fcos",
        thresholds={"defect": 0.5, "box": 0.5},
        calibration=UNCALIBRATED,
        metrics={},
        how_made=HowMade(
            command=options.command,
            made_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            method="boxes, backbone " + ("tuned" if options.tune else "frozen"),
            backbone=f"efficientnet_lite0 sha256 {file_sha256(backbone)[:16]}",
            good_images=len(labelled.images) - with_boxes,
            defect_images=with_boxes,
            network_width_px=size[0],
            network_height_px=size[1],
        ),
        head=Head(
            decode="fcos",
            outputs={"scores": (SCORES,), "distances": (DISTANCES,)},
            labels=labelled.labels,
            network_width_px=size[0],
            network_height_px=size[1],
            lowest_score=_LOWEST_SCORE,
        ),
    )
