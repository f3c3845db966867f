"""An engine file that has gone stale (a newer TensorRT, a damaged disk) is built again at the start."""

import time
from pathlib import Path
from typing import Final

from inspector import log
from inspector.detect.cuda.build import BuildOptions, build_engine
from inspector.detect.cuda.engine_file import (
    EngineFileError,
    Precision,
    engine_name,
    read_engine,
    write_engine,
)
from inspector.detect.cuda.load_network import wanted_here
from inspector.detect.cuda.tensorrt_library import TensorRt
from inspector.detect.model.graph_file import load_graph
from inspector.detect.model.manifest import Manifest
from inspector.errors import ConfigError, ModelError

_MAX_BATCH: Final = 4  # as `inspector engine build` has it, where the old file does not tell


def renew_engine(  # noqa: PLR0917 - what an engine file is for
    path: Path, onnx_path: Path, manifest: Manifest, precision: Precision, arch: str, library: TensorRt,
    stale: EngineFileError,
) -> None:  # fmt: skip
    """Build `path` again from the model, and log it. Takes seconds to minutes.

    Raises `stale` as it was where its ranges are not known (int8 asks for images) or the file belongs to
    another model, GPU or precision; ModelError or ConfigError where the build fails.
    """
    if precision == "int8" or path.name != engine_name(wanted_here(manifest, precision, arch, library)):
        raise stale
    logger = log.get().bind(file=str(path), cause=str(stale))
    logger.warning("engine file is stale: it is built again, which may take minutes")
    start_s = time.monotonic()
    options = BuildOptions(arch=arch, precision=precision, max_batch=_old_max_batch(path))
    try:
        built = build_engine(load_graph(onnx_path), manifest.onnx.sha256, options, library)
        write_engine(path, built.header, built.plan)
    except OSError as error:
        raise ModelError(
            f"{path}: is stale and cannot be written ({error.strerror}); make its folder writable, or build "
            "it with 'inspector engine build'"
        ) from error
    except ConfigError as error:  # TensorRT for RTX does not build for this GPU
        raise ModelError(f"{stale} ({error})") from error
    logger.info("engine file was built again", seconds=round(time.monotonic() - start_s, 1))


def _old_max_batch(path: Path) -> int:
    try:
        header, _ = read_engine(path)
    except EngineFileError:
        return _MAX_BATCH
    return header.max_batch
