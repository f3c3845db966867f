"""Teach-in: from a folder of good parts to a model folder. One-class, on the CPU, no torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from inspector.detect.evaluating.evaluate import auroc, error_rates
from inspector.detect.images import common_layout, list_images, read_image
from inspector.detect.model.manifest import (
    Calibration,
    HowMade,
    Manifest,
    OnnxFile,
    file_sha256,
)
from inspector.detect.model.model_folder import ONNX_NAME, write_model
from inspector.detect.model.network_size import choose_size
from inspector.detect.risk.calibration import (
    Floats,
    fit_good_only,
    fit_with_defects,
    probability,
)
from inspector.detect.teaching.detail import PER_CELL, Detail, add_detail_features
from inspector.detect.teaching.features import Projection, Trunk, extract, extract_detail
from inspector.detect.teaching.gaussian import GaussianScorer
from inspector.detect.teaching.graph import (
    F32,
    SCORE,
    SCORE_MAP,
    GraphBuilder,
    finish,
    grid_features,
    image_score,
)
from inspector.detect.teaching.held_out import Method, Progress, Scorer, blur_kernel, fit_and_check
from inspector.detect.teaching.synthetic import Image, Synthetic, spoil_all
from inspector.errors import ConfigError

FEWEST_IMAGES: Final = 5
MOST_IMAGES: Final = 500
DEPTH: Final = 32  # principal axes kept of 64 features
BLUR_SIGMA: Final = {"gaussian": 1.5, "bank": 1.0}  # cells
_DISCRIMINATOR_BLUR: Final = 0.7
FEWEST_TO_DISCRIMINATE: Final = 100  # with fewer good images the Gaussian stands alone: it gains nothing
_SYNTHETIC: Final = 200  # synthetic images, or two for each good one, that the discriminator learns from
_FEWEST_COPIES: Final = 2
_SYNTHETIC_TO_CHECK: Final = 40  # about as many tell where defects score, for the limit
_BASIS_IMAGES: Final = 64  # images that the principal axes are computed from


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachOptions:
    """`size` is the network's input (width, height) in pixels, None chooses from the images.

    `false_reject_rate` sets p_defect = 0.5 where no defects are given to calibrate with.
    `defect_share` is the share of defective parts that the line makes, where they are given.
    """

    name: str
    method: Method = "gaussian"
    size: tuple[int, int] | None = None
    false_reject_rate: float = 0.001
    defect_share: float = 0.5
    threads: int = 2
    command: str = ""


@dataclass(frozen=True, slots=True)
class Taught:
    """What teach-in made: the folder, its manifest, and the held-out scores behind it."""

    folder: Path
    manifest: Manifest
    good_scores: Floats
    defect_scores: Floats


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
    (held_out.fit_and_check). Raises ConfigError for images or options that will not do.
    """
    good = list_images(good_dir)
    if not FEWEST_IMAGES <= len(good) <= MOST_IMAGES:
        raise ConfigError(f"{good_dir}: {len(good)} images; teach-in takes {FEWEST_IMAGES} to {MOST_IMAGES}")
    defects = list_images(defect_dir) if defect_dir else []
    layout = common_layout(good)
    width, height = options.size or choose_size(layout.width_px, layout.height_px)
    trunk = Trunk(layout, width, height, backbone_path)

    basis_paths = good
    if len(good) > _BASIS_IMAGES:
        basis_paths = [good[i * len(good) // _BASIS_IMAGES] for i in range(_BASIS_IMAGES)]

    def read(paths: Sequence[Path], what: str, projection: Projection | None = None) -> F32:
        return _features(
            trunk, paths, projection=projection, threads=options.threads,
            progress=progress, what=what,
        )  # fmt: skip

    basis = read(basis_paths, "Learning features")
    projection = Projection.fit(basis, DEPTH)
    if basis_paths is good:
        good_features = projection.apply(basis)
    else:
        good_features = read(good, "Reading good parts", projection)
    defect_features = read(defects, "Reading defects", projection) if defects else good_features[:0]

    discriminate = options.method == "gaussian" and len(good) >= FEWEST_TO_DISCRIMINATE
    copies = max(1, round(_SYNTHETIC_TO_CHECK / len(good)))
    copies = max(_FEWEST_COPIES, _SYNTHETIC // len(good)) if discriminate else copies
    synthetic = _synthetic(trunk, good, projection, copies=copies, threads=options.threads, progress=progress)
    blur = blur_kernel(_DISCRIMINATOR_BLUR if discriminate else BLUR_SIGMA[options.method])
    fitted = fit_and_check(
        options.method, good_features, defect_features, synthetic,
        discriminate=discriminate, blur=blur, progress=progress,
    )  # fmt: skip
    good_scores, defect_scores = fitted.good_scores, fitted.defect_scores
    if defects:
        calibration = fit_with_defects(good_scores, defect_scores, options.defect_share)
    else:
        calibration = fit_good_only(good_scores, options.false_reject_rate, fitted.synthetic_scores)
    detail = None
    if isinstance(fitted.scorer, GaussianScorer):  # the others' scores are on another scale
        detail = _detail(trunk, good, threads=options.threads, progress=progress)
    progress("Writing the model", 0, 1)
    manifest = _manifest(
        trunk,
        options,
        calibration=calibration,
        metrics=_metrics(good_scores, defect_scores, calibration),
        good=len(good),
        defects=len(defects),
    )
    folder = models_dir / options.name
    model = build_model(trunk, projection, fitted.scorer, blur, detail)
    manifest = write_model(folder, model, manifest)
    progress("Writing the model", 1, 1)
    return Taught(folder, manifest, good_scores, defect_scores)


def build_model(
    trunk: Trunk, projection: Projection, scorer: Scorer, blur: F32, detail: Detail | None
) -> bytes:
    """The finished graph, serialised. With `detail` the map has half the cell size and is not blurred."""
    graph = GraphBuilder()
    levels = trunk.add_levels(graph)
    cells = scorer.add_to(graph, projection.add_to(graph, grid_features(graph, levels)))
    fine = None
    if detail is not None:
        features = add_detail_features(graph, levels)
        fine = detail.add_to(graph, features, cells, trunk.rows, trunk.columns)
    image_score(graph, cells, trunk.rows, trunk.columns, blur, score_map=fine)
    finer = 1 if detail is None else PER_CELL
    outputs: dict[str, tuple[int, ...]] = {
        SCORE: (),
        SCORE_MAP: (trunk.rows * finer, trunk.columns * finer),
    }
    model = finish(graph, trunk.layout, outputs, f"{scorer.name} anomaly score")
    return bytes(model.SerializeToString())


def _detail(trunk: Trunk, paths: Sequence[Path], *, threads: int, progress: Progress) -> Detail:
    def images() -> Iterator[Image]:
        for done, path in enumerate(paths):
            progress("Learning detail", done, len(paths))
            yield read_image(path, trunk.layout)
        progress("Learning detail", len(paths), len(paths))

    return Detail.fit(extract_detail(trunk, images(), threads=threads))


def _features(
    trunk: Trunk,
    paths: Sequence[Path],
    *,
    projection: Projection | None,
    threads: int,
    progress: Progress,
    what: str,
) -> F32:
    def images() -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        for done, path in enumerate(paths):
            progress(what, done, len(paths))
            yield read_image(path, trunk.layout)
        progress(what, len(paths), len(paths))

    return np.stack(list(extract(trunk, images(), threads=threads, projection=projection)))


def _synthetic(
    trunk: Trunk, paths: Sequence[Path], projection: Projection, *,
    copies: int, threads: int, progress: Progress,
) -> Synthetic:  # fmt: skip
    total = copies * len(paths)
    changes: list[F32] = []

    def images() -> Iterator[Image]:
        what = "Making up defects"
        good = (read_image(path, trunk.layout) for path in paths)
        for image, change in spoil_all(good, copies, (trunk.rows, trunk.columns)):
            progress(what, len(changes), total)
            changes.append(change)
            yield image
        progress(what, total, total)

    features = np.stack(list(extract(trunk, images(), threads=threads, projection=projection)))
    return Synthetic(features, np.arange(len(paths)).repeat(copies), np.stack(changes))


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


def _manifest(
    trunk: Trunk,
    options: TeachOptions,
    *,
    calibration: Calibration,
    metrics: dict[str, float],
    good: int,
    defects: int,
) -> Manifest:
    return Manifest(
        format=1,
        name=options.name,
        task="anomaly",
        onnx=OnnxFile(file=ONNX_NAME, sha256=""),
        input=trunk.layout,
        labels=("anomaly",),
        decode="anomaly_map",
        thresholds={"defect": 0.5, "box": 0.5},
        calibration=calibration,
        metrics=metrics,
        how_made=HowMade(
            command=options.command,
            made_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            method=options.method,
            backbone=f"efficientnet_lite0 sha256 {file_sha256(trunk.backbone_path)[:16]}",
            good_images=good,
            defect_images=defects,
            network_width_px=trunk.network_width,
            network_height_px=trunk.network_height,
        ),
    )
