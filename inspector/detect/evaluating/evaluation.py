"""Runs a model over a folder of labelled images: what it gets right, and how fast it is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.evaluating.evaluate import auroc, best_f1, error_rates, f1_at, false_reject_at_escape
from inspector.detect.evaluating.pixel_figures import Map, Mask, PixelFigures, pixel_figures, to_mask_size
from inspector.detect.images import list_images, read_image
from inspector.detect.model.decode import Decoded, decode
from inspector.detect.model.manifest import InputLayout, Manifest, load_manifest
from inspector.detect.teaching.graph import SCORE_MAP
from inspector.errors import ConfigError

Progress = Callable[[str, int, int], None]
Kind = Literal["good", "defect"]

GOOD_FOLDER: Final = "test_good"
DEFECT_FOLDER: Final = "test_defect"
MASK_FOLDER: Final = "masks"
_MASK_PIXELS: Final = 1_000_000  # larger masks are compared at that size
_WARM_UP: Final = 3


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model says of one test image; `score_map` only of a model with one."""

    path: Path
    kind: Kind
    decoded: Decoded
    score_map: Map | None
    ms: float


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
    folder: Path, data: Path, *, escape_rate: float, threads: int, progress: Progress
) -> Evaluation:
    """Judge data/test_good and data/test_defect; data/masks/STEM.png mark defects (over 0: defective).

    Milliseconds are of the graph and its decoding, one image at a time, without reading the file. Raises
    ConfigError for data that will not do, ModelError for a model that cannot be run.
    """
    manifest = load_manifest(folder)
    good, defect = _folder(data, GOOD_FOLDER), _folder(data, DEFECT_FOLDER)
    if not good and not defect:
        raise ConfigError(f"{data}: no images in {GOOD_FOLDER} or {DEFECT_FOLDER}; see --help for the layout")
    run = CpuRun((folder / manifest.onnx.file).read_bytes(), str(folder), threads=threads)
    labelled: list[tuple[Path, Kind]] = [(path, "good") for path in good]
    labelled += [(path, "defect") for path in defect]
    for _ in range(_WARM_UP):
        run(read_image(labelled[0][0], manifest.input)[None])
    judgements = []
    for done, (path, kind) in enumerate(labelled):
        progress("Judging", done, len(labelled))
        judgements.append(_judge(run, manifest, path, kind))
    progress("Judging", len(labelled), len(labelled))
    return Evaluation(
        manifest, tuple(judgements), _figures(manifest, judgements, data / MASK_FOLDER, escape_rate)
    )


def _folder(data: Path, name: str) -> list[Path]:
    return list_images(data / name) if (data / name).is_dir() else []


def _judge(run: CpuRun, manifest: Manifest, path: Path, kind: Kind) -> Judgement:
    pixels = read_image(path, manifest.input)[None]
    start = perf_counter()
    outputs = run(pixels)
    decoded = decode(outputs, manifest)
    ms = (perf_counter() - start) * 1e3
    score_map = outputs.get(SCORE_MAP)
    if score_map is None and decoded.heatmap is not None:  # a model of another make: what it shows
        heat = decoded.heatmap
        score_map = np.frombuffer(heat.data, dtype=np.uint8).reshape(heat.height, heat.width)
    plain = None if score_map is None else np.asarray(score_map, dtype=np.float32)
    return Judgement(path, kind, decoded, plain, ms)


def _figures(
    manifest: Manifest, judgements: Sequence[Judgement], masks: Path, escape_rate: float
) -> dict[str, float]:
    def of(kind: Kind, what: Callable[[Decoded], float]) -> npt.NDArray[np.float64]:
        return np.array([what(each.decoded) for each in judgements if each.kind == kind], dtype=np.float64)

    good, defect = (of(kind, lambda decoded: decoded.anomaly_score) for kind in ("good", "defect"))
    good_p, defect_p = (of(kind, lambda decoded: decoded.p_defect) for kind in ("good", "defect"))
    limit = manifest.thresholds["defect"]
    rates = error_rates(good_p, defect_p, limit)
    pixels = _pixels(judgements, masks, manifest.input)
    times = np.array([each.ms for each in judgements])
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
    }


def _pixels(judgements: Sequence[Judgement], folder: Path, layout: InputLayout) -> PixelFigures:
    maps: list[Map] = []
    masks: list[Mask] = []
    for each in judgements:
        if each.score_map is None:
            continue
        mask = _mask(each, folder, layout)
        if mask is not None:
            masks.append(mask)
            maps.append(to_mask_size(each.score_map, (mask.shape[0], mask.shape[1])))
    return pixel_figures(maps, masks)


def _mask(judgement: Judgement, folder: Path, layout: InputLayout) -> Mask | None:
    """True where defective, at most _MASK_PIXELS; None for a defect that nobody marked."""
    path = folder / f"{judgement.path.stem}.png"
    if judgement.kind == "defect" and not path.is_file():
        return None
    if judgement.kind == "good":
        scale = min(1.0, (_MASK_PIXELS / (layout.width_px * layout.height_px)) ** 0.5)
        return np.zeros((round(layout.height_px * scale), round(layout.width_px * scale)), dtype=np.bool_)
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ConfigError(f"{path}: cannot be read as an image")
    scale = (_MASK_PIXELS / mask.size) ** 0.5
    if scale < 1.0:
        mask = cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(mask > (0 if scale >= 1.0 else 96), dtype=bool)
