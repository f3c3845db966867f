"""From a model folder to its engine files, with calibration, parity gate and timing cache."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import onnx

from inspector.detect.cuda.arch import CURRENT, arch_of
from inspector.detect.cuda.build import BuildOptions, Progress, build_engine, network_graph
from inspector.detect.cuda.engine_file import (
    EngineHeader,
    Precision,
    Wanted,
    engine_name,
    write_engine,
)
from inspector.detect.cuda.int8_graph import quantized_values
from inspector.detect.cuda.kept_file import keep, kept
from inspector.detect.cuda.tensorrt_library import TensorRt
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.engines.prepare import NetworkInput
from inspector.detect.images import list_images, read_image
from inspector.detect.model.graph_file import load_graph
from inspector.detect.model.manifest import Manifest, load_manifest
from inspector.detect.model.model_folder import ENGINES_FOLDER
from inspector.detect.quantizing.parity import Parity, compare, judge_with
from inspector.detect.quantizing.ranges import measure_ranges
from inspector.errors import ConfigError, ModelError

MOST_IMAGES: Final = 500  # for calibration and parity; more tell nothing new


@dataclass(frozen=True, slots=True)
class BuiltFile:
    path: Path
    header: EngineHeader
    report: tuple[str, ...]
    parity: Parity | None


def build_for_model(
    folder: Path,
    library: TensorRt,
    *,
    arches: tuple[str, ...],
    precision: Precision,
    max_batch: int,
    images: Path | None,
    output: Path | None,
    find_device: Callable[[], tuple[int, int]],
    progress: Progress,
) -> list[BuiltFile]:
    """Build one engine file for each of `arches` in `output`, or in the model's folder.

    `images` are for INT8 calibration and for the parity gate. `find_device` gives the compute
    capability of this machine's GPU. Raises ConfigError and ModelError with one clear line.
    """
    manifest = load_manifest(folder)
    model = load_graph(folder / manifest.onnx.file)
    if precision == "int8" and images is None:
        raise ConfigError("--precision int8 needs --images: a folder of images to measure ranges on")
    arches = _resolved(arches, library, find_device)
    paths = list_images(images)[:MOST_IMAGES] if images else []
    ranges = {}
    if precision == "int8":
        values = quantized_values(model)
        total = len(paths)
        ranges = measure_ranges(
            model,
            values,
            _inputs(paths, manifest),
            progress=lambda done: progress("Measuring ranges", done, total),
        )
    built = []
    for arch in arches:
        options = BuildOptions(arch=arch, precision=precision, max_batch=max_batch, ranges=ranges)
        parity = None
        if paths and arch == arches[0]:
            parity = _gate(
                model, network_graph(model, replace(options, max_batch=1)), manifest, paths, progress
            )
        cache = _timing_cache(library, arch)
        result = build_engine(
            model, manifest.onnx.sha256, options, library, timing_cache=kept(cache), progress=progress
        )
        wanted = Wanted(
            model_sha256=manifest.onnx.sha256, precision=precision, arch=arch,
            library=library.name, library_version=library.version,
        )  # fmt: skip
        path = (output or folder / ENGINES_FOLDER) / engine_name(wanted)
        try:
            write_engine(path, result.header, result.plan)
        except OSError as error:
            raise ModelError(f"{path}: cannot be written ({error.strerror})") from error
        if result.timing_cache:
            keep(cache, result.timing_cache)
        built.append(BuiltFile(path, result.header, result.report, parity))
    return built


def _gate(
    model: onnx.ModelProto,
    rewritten: onnx.ModelProto,
    manifest: Manifest,
    paths: list[Path],
    progress: Progress,
) -> Parity:
    """The rewritten graph must give the same verdicts, on the CPU. Raises ModelError when one flips.

    What the GPU itself adds (the order of sums) is not in it.
    """
    before, after = (
        judge_with(
            CpuRun(graph.SerializeToString(), manifest.name), manifest, paths, progress=progress, what=what
        )
        for graph, what in ((model, "Verdicts of the model"), (rewritten, "Verdicts at this precision"))
    )
    parity = compare(before, after, manifest, manifest)
    if not parity.passed:
        raise ModelError(
            f"{manifest.name}: {len(parity.flips)} of {parity.images} verdicts flip at this precision, "
            f"first {parity.flips[0]}; use a higher precision, or teach with more images"
        )
    return parity


def _resolved(
    arches: tuple[str, ...], library: TensorRt, find_device: Callable[[], tuple[int, int]]
) -> tuple[str, ...]:
    """Put the GPU's name for "current"; TensorRT itself builds for the GPU that is there alone."""
    if library.ahead_of_time and CURRENT not in arches:
        return arches
    here = arch_of(find_device())
    named = tuple(here if arch == CURRENT else arch for arch in arches)
    foreign = [arch for arch in named if arch != here]
    if foreign and not library.ahead_of_time:
        raise ConfigError(
            f"--arch {','.join(foreign)}: TensorRT builds for the GPU of this machine alone ({here}); "
            "TensorRT for RTX builds for others ahead of time"
        )
    return named


def _inputs(paths: list[Path], manifest: Manifest) -> Iterator[NetworkInput]:
    for path in paths:
        yield read_image(path, manifest.input)[None]


def _timing_cache(library: TensorRt, arch: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "inspector" / "tensorrt" / f"{library.name}-{library.version}-{arch}.timing"
