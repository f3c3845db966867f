"""Do two models judge alike? The gate that every export and quantization passes. Pure but for the runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.evaluating.evaluate import auroc
from inspector.detect.images import read_image
from inspector.detect.model.decode import HEATMAP_LIMIT, Decoded, decode
from inspector.detect.model.manifest import Manifest, load_manifest
from inspector.detect.quantizing.box_parity import box_shifts_px, lost_boxes
from inspector.errors import ConfigError, ModelError

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model says of one image."""

    path: Path
    decoded: Decoded


@dataclass(frozen=True, slots=True)
class Parity:
    """`flips` are the images whose verdicts (p_defect at the threshold) differ, worst first.

    `score_difference` is of anomaly_score, relative to the first model's highest score on these images.
    `heatmap_difference` is of heat maps as probabilities; None: neither model has one. `box_flips` counts
    images with a box that the other model has not; `box_shift_px` is how far a side of any other box lies
    from its counterpart's, None where no box has one.
    """

    images: int
    flips: tuple[Path, ...]
    score_difference: float
    p_defect_difference: float
    heatmap_difference: float | None
    box_flips: int
    box_shift_px: int | None

    @property
    def passed(self) -> bool:
        return not self.flips

    def metrics(self, kind: str) -> dict[str, float]:
        """For a manifest, by the names KIND_...; without what these models do not have, or is not finite."""
        values = {
            "score_difference": self.score_difference,
            "p_difference": self.p_defect_difference,
            "heatmap_difference": self.heatmap_difference,
            "flips": len(self.flips),
            "box_flips": self.box_flips,
            "box_shift_px": self.box_shift_px,
        }
        return {
            f"{kind}_{key}": round(float(value), 6)
            for key, value in values.items()
            if value is not None and np.isfinite(value)
        }

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"flips": [str(path) for path in self.flips], "passed": self.passed}


def judge(
    folder: Path, images: Sequence[Path], *, threads: int, progress: Progress, what: str
) -> tuple[Manifest, list[Judged]]:
    """Run a model folder over images. Raises ModelError, ConfigError."""
    manifest = load_manifest(folder)
    run = CpuRun((folder / manifest.onnx.file).read_bytes(), str(folder), threads=threads)
    return manifest, judge_with(run, manifest, images, progress=progress, what=what)


def judge_with(
    run: CpuRun, manifest: Manifest, images: Sequence[Path], *, progress: Progress, what: str
) -> list[Judged]:
    """Run a graph over images, decoded as `manifest` says."""
    judged = []
    for done, path in enumerate(images):
        progress(what, done, len(images))
        judged.append(Judged(path, decode(run(read_image(path, manifest.input)[None]), manifest)))
    progress(what, len(images), len(images))
    return judged


def compare(first: Sequence[Judged], second: Sequence[Judged], a: Manifest, b: Manifest) -> Parity:
    """Compare what two models say of the same images. Raises ConfigError for none."""
    if not first:
        raise ConfigError("parity needs at least one image")
    if (a.input.width_px, a.input.height_px) != (b.input.width_px, b.input.height_px):
        raise ModelError("the two models take frames of different sizes; they cannot be compared")
    differences = [abs(x.decoded.p_defect - y.decoded.p_defect) for x, y in zip(first, second, strict=True)]
    flipped = [
        index
        for index, (x, y) in enumerate(zip(first, second, strict=True))
        if _over(x.decoded, a) != _over(y.decoded, b)
    ]
    scores = np.array(
        [[x.decoded.anomaly_score, y.decoded.anomaly_score] for x, y in zip(first, second, strict=True)]
    )
    scale = max(float(np.abs(scores[:, 0]).max()), 1e-12)
    flipped.sort(key=lambda index: -differences[index])
    heat = [_heat_difference(x.decoded, y.decoded) for x, y in zip(first, second, strict=True)]
    boxes = [(x.decoded.detections, y.decoded.detections) for x, y in zip(first, second, strict=True)]
    return Parity(
        images=len(first),
        flips=tuple(first[index].path for index in flipped),
        score_difference=float(np.abs(scores[:, 0] - scores[:, 1]).max()) / scale,
        p_defect_difference=max(differences),
        heatmap_difference=max((each for each in heat if each is not None), default=None),
        box_flips=sum(bool(lost_boxes(x, y) or lost_boxes(y, x)) for x, y in boxes),
        box_shift_px=max((shift for x, y in boxes for shift in box_shifts_px(x, y)), default=None),
    )


def image_auroc(good: Sequence[Judged], defect: Sequence[Judged]) -> float:
    """NaN without good or without defective images."""
    return auroc(
        [item.decoded.anomaly_score for item in good], [item.decoded.anomaly_score for item in defect]
    )


def _over(decoded: Decoded, manifest: Manifest) -> bool:
    return decoded.p_defect >= manifest.thresholds["defect"]


def _heat_difference(a: Decoded, b: Decoded) -> float | None:
    if a.heatmap is None or b.heatmap is None:
        return None if a.heatmap is b.heatmap else 1.0
    if (a.heatmap.width, a.heatmap.height) != (b.heatmap.width, b.heatmap.height):
        return 1.0
    x, y = (_cells(decoded) for decoded in (a, b))
    return float(np.abs(x - y).max()) / 255.0


def _cells(decoded: Decoded) -> npt.NDArray[np.int16]:
    assert decoded.heatmap is not None
    assert max(decoded.heatmap.width, decoded.heatmap.height) <= HEATMAP_LIMIT
    return np.frombuffer(decoded.heatmap.data, dtype=np.uint8).astype(np.int16)
