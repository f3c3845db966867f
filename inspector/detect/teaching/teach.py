"""Teach-in: from a folder of good parts to a model folder. One-class, on the CPU, no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from inspector.detect.evaluating.evaluate import auroc, error_rates
from inspector.detect.images import common_layout, list_parts
from inspector.detect.model.manifest import (
    UNCALIBRATED,
    Calibration,
    HowMade,
    InputLayout,
    Manifest,
    OnnxFile,
    TaughtPictures,
    file_sha256,
)
from inspector.detect.model.model_folder import MEMORY_NAME, ONNX_NAME, write_model
from inspector.detect.model.network_size import MOST_PIXELS, choose_size, least_defect_px
from inspector.detect.picture_drift import taught_pictures
from inspector.detect.quantizing.gate import EXPORT
from inspector.detect.risk.calibration import (
    Floats,
    fit_good_only,
    fit_with_defects,
    probability,
)
from inspector.detect.teaching.detail import PER_CELL
from inspector.detect.teaching.export_check import F16, check_export
from inspector.detect.teaching.features import Projection, Trunk
from inspector.detect.teaching.fine_map import FineMap
from inspector.detect.teaching.gather import Gather, Read, first_of_each
from inspector.detect.teaching.graph import (
    F32,
    SCORE,
    SCORE_MAP,
    GraphBuilder,
    finish,
    grid_features,
    image_score,
)
from inspector.detect.teaching.held_out import (
    Fitted,
    Method,
    Progress,
    Scorer,
    fit_again,
    fit_and_check,
)
from inspector.detect.teaching.memory import MOST_BYTES, About, Memory, features_sha256
from inspector.detect.teaching.packing import FINE_DEPTH
from inspector.detect.teaching.peaks import blur_kernel
from inspector.detect.teaching.two_scales import TwoScales
from inspector.errors import ConfigError

FEWEST_IMAGES: Final = 5
MOST_IMAGES: Final = 500
BLUR_SIGMA: Final = {"gaussian": 1.5, "bank": 1.0}  # cells
_DISCRIMINATOR_BLUR: Final = 0.7
FEWEST_TO_DISCRIMINATE: Final = 100  # with fewer, two scales rank better (two_scales.py)
_SYNTHETIC: Final = 200  # synthetic images, or two for each good one, that the discriminator learns from
_FEWEST_COPIES: Final = 2
_SYNTHETIC_TO_CHECK: Final = 40  # about as many tell where defects score, for the limit
_BASIS_IMAGES: Final = 64  # images that the principal axes are computed from


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachOptions:
    """`size` is the network's input (width, height) in pixels, None chooses from the images: so that a defect
    of `smallest_defect_px`, in pixels of the image, can be seen, where that is given.

    `false_reject_rate` sets p_defect = 0.5 where no defects are given to calibrate with.
    `defect_share` is the share of defective parts that the line makes, where they are given.
    """

    name: str
    method: Method = "gaussian"
    size: tuple[int, int] | None = None
    smallest_defect_px: float | None = None
    false_reject_rate: float = 0.001
    defect_share: float = 0.5
    threads: int = 2
    command: str = ""


@dataclass(frozen=True, slots=True)
class Taught:
    """What teach-in made: the folder, its manifest, and the held-out scores behind it.

    `left_out` images were there already. `can_add` is false where what it takes is too large to keep.
    `threshold_reset`: somebody had set the model's risk, and teaching has set the limit again.
    `could_discriminate`: taught at once, as many parts would have a discriminator.
    """

    folder: Path
    manifest: Manifest
    good_scores: Floats
    defect_scores: Floats
    left_out: int = 0
    can_add: bool = True
    threshold_reset: bool = False
    could_discriminate: bool = False


def teach(
    good_dir: Path,
    defect_dir: Path | None,
    models_dir: Path,
    backbone_path: Path,
    *,
    options: TeachOptions,
    progress: Progress = lambda _what, _done, _total: None,
) -> Taught:
    """Learn good parts and write models_dir/NAME atomically, in place of an older one.

    Images with made-up defects (synthetic.py) help to set the limit, and with many good images
    teach a discriminator which residuals matter. The calibration rests on held-out scores
    (held_out.fit_and_check). An image that is there twice counts once. Raises ConfigError for images or
    options that will not do.
    """
    good = list_parts(good_dir)
    check_count(len(good), good_dir)
    defects = list_parts(defect_dir) if defect_dir else []
    layout = common_layout(good)
    width, height = options.size or _size(layout, options.smallest_defect_px)
    discriminate = options.method == "gaussian" and len(good) >= FEWEST_TO_DISCRIMINATE
    two_scales = options.method == "gaussian" and not discriminate
    trunk = Trunk(layout, width, height, backbone_path, coarse=two_scales)
    gather = Gather(trunk, options.threads, progress)

    basis_paths = good
    if len(good) > _BASIS_IMAGES:
        basis_paths = [good[i * len(good) // _BASIS_IMAGES] for i in range(_BASIS_IMAGES)]
    sums = None
    if two_scales and basis_paths is good:
        read, sums = gather.features_and_detail(good, "Learning features")
    else:
        read = gather.features(basis_paths, "Learning features")
    projection = Projection.fit(read.features, FINE_DEPTH)
    if basis_paths is good:
        read = replace(read, features=projection.apply(read.features))
    else:
        read = gather.features(good, "Reading good parts", projection)
    kept = first_of_each(read.hashes)
    left_out = len(good) - len(kept)
    good = [good[index] for index in kept]
    check_count(len(good), good_dir, "different ")
    bad = Read(read.features[:0], (), ())
    if defects:
        bad = gather.features(defects, "Reading defects", projection)

    copies = made_up_copies(len(good), discriminate=discriminate)
    rehearsal = None
    if two_scales:
        sums = sums or gather.detail(good)
        synthetic, rehearsal = gather.rehearsed(good, projection, sums, copies=copies)
    else:
        synthetic = gather.synthetic(good, projection, copies=copies)
    memory = Memory(
        about=About(
            features_sha256=features_sha256(trunk), layout=layout, network_width=width, network_height=height,
            method=options.method, false_reject_rate=options.false_reject_rate,
            defect_share=options.defect_share, calibration=UNCALIBRATED,
        ),
        projection=projection,
        good=read.features[kept].astype(np.float16),
        good_hashes=tuple(read.hashes[index] for index in kept),
        defect=bad.features.astype(np.float16),
        defect_hashes=bad.hashes,
        synthetic=synthetic,
        detail=sums,
        rehearsal=rehearsal,
    )  # fmt: skip
    learned = learn(memory, discriminate=discriminate, progress=progress)
    manifest = _manifest(trunk, options, learned, taught_pictures([read.pictures[index] for index in kept]))
    return write(
        models_dir / options.name, manifest, learned, trunk,
        check=(good, memory.good), progress=progress, left_out=left_out,
    )  # fmt: skip


def check_count(images: int, folder: Path, which: str = "") -> None:
    """Raise ConfigError for too few or too many good images."""
    if not FEWEST_IMAGES <= images <= MOST_IMAGES:
        raise ConfigError(
            f"{folder}: {images} {which}images; teach-in takes {FEWEST_IMAGES} to {MOST_IMAGES}"
        )


def _size(layout: InputLayout, smallest_defect_px: float | None) -> tuple[int, int]:
    """The network's input. Raises ConfigError where so small a defect takes too large a network."""
    size = choose_size(layout.width_px, layout.height_px, smallest_defect_px)
    if smallest_defect_px is None or size[0] * size[1] <= MOST_PIXELS:
        return size
    least = least_defect_px(layout.width_px, layout.height_px)
    raise ConfigError(
        f"--smallest-defect {smallest_defect_px:g}: takes a network input of {size[0]}x{size[1]} pixels, "
        f"which is too large. Give {least} or more for {layout.width_px}x{layout.height_px} pixels, "
        "or let the camera send its region of interest alone (Width, Height, OffsetX, OffsetY)"
    )


def made_up_copies(good: int, *, discriminate: bool) -> int:
    """How many images with made-up defects are made from each good one."""
    if discriminate:
        return max(_FEWEST_COPIES, _SYNTHETIC // good)
    return max(1, round(_SYNTHETIC_TO_CHECK / good))


@dataclass(frozen=True, slots=True)
class Learned:
    """A scorer with its calibration, and the memory that they came from."""

    memory: Memory
    fitted: Fitted
    blur: F32
    calibration: Calibration
    metrics: dict[str, float]


def learn(memory: Memory, *, discriminate: bool, progress: Progress) -> Learned:
    """Fit to all that `memory` holds. With `discriminate` a discriminator is learned, unless it has one."""
    about = memory.about
    good, defect = memory.good.astype(np.float32), memory.defect.astype(np.float32)
    blur = blur_kernel(_DISCRIMINATOR_BLUR if discriminate or memory.judges else BLUR_SIGMA[about.method])
    if memory.judges is not None:
        fitted = fit_again(good, defect, memory.synthetic, memory.judges, blur=blur, progress=progress)
    else:
        fitted = fit_and_check(
            about.method, good, defect, memory.synthetic,
            discriminate=discriminate, blur=blur, progress=progress,
        )  # fmt: skip
    made_up = fitted.synthetic_scores
    if memory.made_up_scores is not None:
        made_up = np.concatenate([memory.made_up_scores, made_up])
    if len(defect):
        calibration = fit_with_defects(fitted.good_scores, fitted.defect_scores, about.defect_share)
    else:
        calibration = fit_good_only(fitted.good_scores, about.false_reject_rate, made_up)
    about = msgspec.structs.replace(about, calibration=calibration)
    memory = replace(memory, about=about)
    if fitted.judges is not None:  # what they have learned from is not needed again
        about = msgspec.structs.replace(about, known=fitted.judges.known, half=fitted.judges.half)
        memory = replace(
            memory, about=about, judges=fitted.judges, made_up_scores=made_up,
            synthetic=memory.synthetic.take(np.zeros(0, dtype=np.int64)),
        )  # fmt: skip
    metrics = _metrics(fitted.good_scores, fitted.defect_scores, calibration)
    return Learned(memory, fitted, blur, calibration, metrics)


def write(
    folder: Path,
    manifest: Manifest,
    learned: Learned,
    trunk: Trunk,
    *,
    check: tuple[Sequence[Path], F16],
    progress: Progress,
    left_out: int,
) -> Taught:
    """Write the model folder, with its memory where that is not too large.

    Some of the images in `check`, with their features, are judged by the graph and by the fitted scorer.
    Raises ModelError, and writes nothing, where they differ.
    """
    progress("Writing the model", 0, 1)
    memory, fitted = learned.memory, learned.fitted
    fine_map = None
    if memory.detail is not None:
        assert memory.rehearsal is not None
        fine_map = FineMap.fit(
            memory.detail.fit(), memory.good.astype(np.float32), memory.synthetic, memory.rehearsal,
            fitted,
        )  # fmt: skip
    model = build_model(trunk, memory.projection, fitted.scorer, learned.blur, fine_map)
    parity = check_export(
        model, manifest, *check, trunk=trunk, scorer=fitted.scorer, blur=learned.blur, fine_map=fine_map
    )
    manifest = msgspec.structs.replace(manifest, metrics=manifest.metrics | parity.metrics(EXPORT))
    can_add = memory.size_bytes <= MOST_BYTES
    also = {MEMORY_NAME: lambda file: memory.save(file, model)} if can_add else {}
    manifest = write_model(folder, model, manifest, also=also)
    progress("Writing the model", 1, 1)
    return Taught(
        folder, manifest, fitted.good_scores, fitted.defect_scores, left_out, can_add,
        could_discriminate=memory.about.method == "gaussian" and memory.judges is None
        and len(memory.good) >= FEWEST_TO_DISCRIMINATE,
    )  # fmt: skip


def build_model(
    trunk: Trunk, projection: Projection, scorer: Scorer, blur: F32, fine_map: FineMap | None
) -> bytes:
    """The finished graph, serialised. With `fine_map` the map has half the cell size and is not blurred."""
    graph = GraphBuilder()
    levels = trunk.add_levels(graph)
    fine, grid = projection.add_to(graph, grid_features(graph, levels)), (trunk.rows, trunk.columns)
    finer = 1
    if isinstance(scorer, TwoScales):
        assert projection.coarse is not None
        assert fine_map is not None
        coarse = projection.coarse.add_to(graph, levels["stride16"])
        scorer.add_score(graph, fine, coarse, grid, blur)
        fine_map.add_to(graph, levels, fine, coarse, grid)
        finer = PER_CELL
    else:
        image_score(graph, scorer.add_to(graph, fine), *grid, blur)
    outputs: dict[str, tuple[int, ...]] = {
        SCORE: (),
        SCORE_MAP: (trunk.rows * finer, trunk.columns * finer),
    }
    model = finish(graph, trunk.layout, outputs, f"{scorer.name} anomaly score")
    return bytes(model.SerializeToString())


def _metrics(good: Floats, defect: Floats, calibration: Calibration) -> dict[str, float]:
    good_p = probability(good, calibration)
    metrics = {
        "held_out_good": float(len(good)),
        "held_out_overkill_rate": float((good_p >= 0.5).mean()),
        "held_out_good_p_defect_median": float(np.median(good_p)),
    }
    if len(defect):
        defect_p = probability(defect, calibration)
        metrics["held_out_image_auroc"] = auroc(good, defect)
        metrics["held_out_escape_rate"] = error_rates(good_p, defect_p, 0.5)["escape_rate"]
    return {key: round(value, 6) for key, value in metrics.items()}


def _manifest(trunk: Trunk, options: TeachOptions, learned: Learned, pictures: TaughtPictures) -> Manifest:
    memory = learned.memory
    return Manifest(
        format=1,
        name=options.name,
        task="anomaly",
        onnx=OnnxFile(file=ONNX_NAME, sha256=""),
        input=trunk.layout,
        labels=("anomaly",),
        decode="anomaly_map",
        thresholds={"defect": 0.5, "box": 0.5},
        calibration=learned.calibration,
        metrics=learned.metrics,
        how_made=HowMade(
            command=options.command,
            made_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            method=options.method,
            backbone=f"efficientnet_lite0 sha256 {file_sha256(trunk.backbone_path)[:16]}",
            good_images=len(memory.good),
            defect_images=len(memory.defect),
            network_width_px=trunk.network_width,
            network_height_px=trunk.network_height,
        ),
        pictures=pictures,
    )
