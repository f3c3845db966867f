"""INT8 by post-training calibration, refused where it costs more accuracy than allowed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.images import list_images, read_image
from inspector.detect.model.graph_file import load_graph
from inspector.detect.model.manifest import Calibration, Manifest, OnnxFile, load_manifest
from inspector.detect.model.model_folder import write_model
from inspector.detect.quantizing.byte_entry import byte_range, with_byte_entry
from inspector.detect.quantizing.parity import Judged, Parity, compare, image_auroc, judge_with
from inspector.detect.quantizing.q_dq import (
    Activations,
    Range,
    activations,
    convolutions,
    quantized,
)
from inspector.detect.quantizing.ranges import measure_ranges
from inspector.detect.quantizing.scoring import LARGEST_RESIDUAL, with_convolved_scoring
from inspector.errors import ConfigError, ModelError

Progress = Callable[[str, int, int], None]

FEWEST_IMAGES: Final = 4
_MOST_RANGE_IMAGES: Final = 60
_GOOD: Final = ("train_good", "test_good", "good")
_DEFECT: Final = ("test_defect", "train_defect", "defect")
_STEEPEST: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeOptions:
    """`largest_loss` is of image AUROC, `most_flips` of verdicts on held-out images.

    `for_gpu` writes symmetric int8 alone, as TensorRT asks; else the graph is made for CPUs.
    """

    name: str
    largest_loss: float = 0.003
    most_flips: int = 0
    for_gpu: bool = False
    threads: int = 2
    command: str = ""


@dataclass(frozen=True, slots=True)
class Quantized:
    """What it costs, on held-out images. AUROC is NaN without good or without defective ones."""

    folder: Path
    manifest: Manifest
    parity: Parity
    auroc_before: float
    auroc_after: float
    bytes_before: int
    bytes_after: int


def quantize(
    folder: Path,
    data: Path,
    models_dir: Path,
    *,
    options: QuantizeOptions,
    progress: Progress = lambda _what, _done, _total: None,
) -> Quantized:
    """Write models_dir/NAME, the int8 form of the model in `folder`.

    Of the images in `data` every second one sets ranges and calibration, the others measure the loss.
    Raises ModelError, and writes nothing, when that is over `options`' limits.
    """
    manifest = load_manifest(folder)
    path = folder / manifest.onnx.file
    original = load_graph(path)
    chosen = convolutions(original)
    if not chosen or any(node.op_type == "QuantizeLinear" for node in original.graph.node):
        raise ModelError(f"{path}: {'is quantized already' if chosen else 'has no convolutions to quantize'}")
    chosen = [name for name in chosen if _has_inputs(original, name)]
    good, defect = _images(data)
    fit_good, held_good = good[0::2], good[1::2]
    fit_defect, held_defect = defect[0::2], defect[1::2]
    measured = _ranges(original, chosen, [*fit_good, *fit_defect], manifest, options, progress)
    chosen, ranges = _without_scoring(original, chosen, measured)
    how: Activations = "symmetric" if options.for_gpu else "asymmetric"
    source, one_scale = original, set[str]()
    if not options.for_gpu:
        exact = byte_range(original)
        ranges |= {name: Range(*values) for name, values in exact.items() if name in ranges}
        scoring = with_convolved_scoring(original)
        one_scale = set(scoring.residuals)
        chosen = [*chosen, *scoring.residuals, *scoring.compared]
        ranges |= {cells: measured[cells] for cells in scoring.compared.values()}
        ranges |= dict.fromkeys(scoring.residuals.values(), Range(-LARGEST_RESIDUAL, LARGEST_RESIDUAL))
        source = with_byte_entry(scoring.model)
    model = quantized(source, chosen, ranges, how, one_scale)
    data_after = model.SerializeToString()

    before = CpuRun(path.read_bytes(), str(folder), threads=options.threads)
    after = CpuRun(data_after, f"{folder} in int8", threads=options.threads)

    def judged(run: CpuRun, of: Manifest, paths: Sequence[Path], what: str) -> list[Judged]:
        return judge_with(run, of, paths, progress=progress, what=what)

    fit = [*fit_good, *fit_defect]
    calibration = transferred(
        manifest.calibration,
        _scores(judged(before, manifest, fit, "Scores in float32")),
        _scores(judged(after, manifest, fit, "Scores in int8")),
    )
    changed = msgspec.structs.replace(
        manifest,
        name=options.name,
        onnx=OnnxFile(file=manifest.onnx.file, sha256=""),
        calibration=calibration,
    )
    held = [*held_good, *held_defect]
    first = judged(before, manifest, held, "Held-out in float32")
    second = judged(after, changed, held, "Held-out in int8")
    parity = compare(first, second, manifest, changed)
    count = len(held_good)
    result = Quantized(
        folder=models_dir / options.name,
        manifest=changed,
        parity=parity,
        auroc_before=image_auroc(first[:count], first[count:]),
        auroc_after=image_auroc(second[:count], second[count:]),
        bytes_before=path.stat().st_size,
        bytes_after=len(data_after),
    )
    _gate(result, options)
    changed = msgspec.structs.replace(
        changed,
        metrics=manifest.metrics | _metrics(result),
        how_made=msgspec.structs.replace(
            manifest.how_made, command=options.command, method=f"{manifest.how_made.method}, int8"
        ),
    )
    return replace(result, manifest=write_model(result.folder, data_after, changed))


def transferred(
    calibration: Calibration, before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]
) -> Calibration:
    """The calibration that gives int8 scores `after` the probabilities of the scores `before`.

    A line through both in the calibration's own scale, by least squares; where the scores hardly vary
    only its height is fitted.
    """
    x, y = (_scaled(values, calibration) for values in (after, before))
    slope = 1.0
    if len(x) >= FEWEST_IMAGES and float(x.std()) > 0.1:
        slope = float(np.clip(np.polyfit(x, y, 1)[0], 1 / _STEEPEST, _STEEPEST))
    offset = float(np.mean(y - slope * x))
    return msgspec.structs.replace(
        calibration,
        slope=calibration.slope * slope,
        offset=calibration.offset + calibration.slope * offset,
    )


def _scaled(scores: npt.NDArray[np.float64], calibration: Calibration) -> npt.NDArray[np.float64]:
    values = np.clip(scores, 1e-6, None if calibration.scale == "ln" else 1 - 1e-6)
    x = np.log(values)
    return np.asarray(x - np.log1p(-values) if calibration.scale == "logit" else x)


def _gate(result: Quantized, options: QuantizeOptions) -> None:
    loss = result.auroc_before - result.auroc_after
    if loss > options.largest_loss:
        raise ModelError(
            f"int8 loses {loss:.4f} of image AUROC ({result.auroc_before:.4f} to {result.auroc_after:.4f}), "
            f"more than the {options.largest_loss:g} allowed; nothing was written"
        )
    flips = result.parity.flips
    if len(flips) > options.most_flips:
        raise ModelError(
            f"int8 turns {len(flips)} of {result.parity.images} held-out verdicts, "
            f"{options.most_flips} allowed; the first is {flips[0]}; nothing was written"
        )


def _metrics(result: Quantized) -> dict[str, float]:
    values = {
        "int8_image_auroc_loss": result.auroc_before - result.auroc_after,
        "int8_held_out_images": float(result.parity.images),
    }
    known = {key: round(value, 6) for key, value in values.items() if np.isfinite(value)}
    return known | result.parity.metrics("int8")


def _scores(judged: Sequence[Judged]) -> npt.NDArray[np.float64]:
    return np.array([item.decoded.anomaly_score for item in judged], dtype=np.float64)


def _images(data: Path) -> tuple[list[Path], list[Path]]:
    """Good and defective images of `data`; a folder without the known names is all good."""
    good, defect = (
        [path for name in names if (data / name).is_dir() for path in list_images(data / name)]
        for names in (_GOOD, _DEFECT)
    )
    if not good and not defect:
        good = list_images(data)
    if len(good) + len(defect) < FEWEST_IMAGES:
        raise ConfigError(
            f"{data}: {len(good) + len(defect)} images; quantizing takes {FEWEST_IMAGES} or more"
        )
    return good, defect


def _ranges(  # noqa: PLR0917 - one step of `quantize`, with what that has gathered
    model: onnx.ModelProto,
    chosen: Sequence[str],
    paths: Sequence[Path],
    manifest: Manifest,
    options: QuantizeOptions,
    progress: Progress,
) -> dict[str, Range]:
    some = paths[:: max(1, len(paths) // _MOST_RANGE_IMAGES)]

    def tell(done: int) -> None:
        progress("Measuring ranges", done, len(some))

    tell(0)
    return measure_ranges(
        model,
        activations(model, chosen),
        (read_image(path, manifest.input)[None] for path in some),
        threads=options.threads,
        progress=tell,
    )


def _without_scoring(
    model: onnx.ModelProto, chosen: Sequence[str], ranges: dict[str, Range]
) -> tuple[list[str], dict[str, Range]]:
    """Leave what follows the backbone's features in float32: it costs little time, and there every step
    of 1/256 is seen in the score."""
    if not any(name.startswith("block") for name in chosen):
        return list(chosen), ranges
    kept = [name for name in chosen if name.startswith(("stem", "block"))]
    wanted = set(activations(model, kept))
    return kept, {name: value for name, value in ranges.items() if name in wanted}


def _has_inputs(model: onnx.ModelProto, name: str) -> bool:
    """Kernels over one channel that blur or average are no layers of a network."""
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.output[0] == name)
    dims = weights[node.input[1]]
    return bool(np.prod(dims) > dims[2] * dims[3])
