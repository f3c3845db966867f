"""From an engine file to a network that slots can run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.detect.cuda.decode_plan import DecodeParameters, decode_parameters
from inspector.detect.cuda.engine_file import (
    LibraryName,
    Precision,
    Wanted,
    check_header,
    engine_name,
    read_engine,
)
from inspector.detect.cuda.tensorrt_library import TensorRt, find_tensorrt
from inspector.detect.model.decode import output_names
from inspector.detect.model.manifest import Manifest
from inspector.detect.teaching.graph import SCORE, SCORE_MAP
from inspector.errors import ModelError


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """`engine` is TensorRT's, `numpy_type` its library's nptype. `new_context` makes execution contexts, to
    which `scratch_bytes` of device memory must be given. `runtime_cache` gives what to keep for the next
    start, b"" for nothing.
    """

    engine: Any
    max_batch: int
    new_context: Callable[[], Any]
    scratch_bytes: int
    runtime_cache: Callable[[], bytes]
    numpy_type: Callable[[Any], npt.DTypeLike]


def find_engine_file(
    folders: list[Path], manifest: Manifest, precision: Precision, arch: str, name: str = ""
) -> tuple[Path, TensorRt]:
    """The engine file for this model and GPU, built with a library that is installed here.

    Raises ModelError that says how to build one.
    """
    libraries = []
    names: tuple[LibraryName, ...] = ("tensorrt", "tensorrt_rtx")
    for library in names:
        try:
            libraries.append(find_tensorrt(library))
        except ModelError:
            continue
    if not libraries:
        find_tensorrt()
    for library_here in libraries:
        wanted = wanted_here(manifest, precision, arch, library_here)
        for folder in folders:
            if (folder / engine_name(wanted)).is_file():
                return folder / engine_name(wanted), library_here
    raise ModelError(
        f"no {precision} engine of {manifest.name} for {arch}: build one with "
        f"'inspector engine build {name or manifest.name} --precision {precision} --arch {arch}'"
    )


def load_engine(  # noqa: PLR0917 - what an engine file is checked against
    path: Path, manifest: Manifest, precision: Precision, arch: str, library: TensorRt, cache: bytes
) -> LoadedEngine:
    """Check the header, then load the plan. Raises EngineFileError for a file that another would replace, and
    ModelError where the plan is right and TensorRT cannot load it, such as for want of memory.
    """
    header, plan = read_engine(path)
    check_header(path, header, wanted_here(manifest, precision, arch, library))
    api = library.api
    log = library.new_log()
    engine = api.Runtime(log).deserialize_cuda_engine(plan)
    if engine is None:
        raise ModelError(f"{path}: TensorRT cannot load it ({'; '.join(log.messages) or 'no reason given'})")
    given = api.ExecutionContextAllocationStrategy.USER_MANAGED  # contexts of a slot share their memory
    scratch_bytes = int(engine.device_memory_size_v2)
    if not library.ahead_of_time:
        maker = _context_maker(lambda: engine.create_execution_context(given), log)
        return LoadedEngine(engine, header.max_batch, maker, scratch_bytes, lambda: b"", api.nptype)
    config = engine.create_runtime_config()
    config.set_execution_context_allocation_strategy(given)
    # Compiled for every batch size at the start and not behind our back later, under a captured graph.
    config.dynamic_shapes_kernel_specialization_strategy = api.DynamicShapesKernelSpecializationStrategy.EAGER
    kept = config.create_runtime_cache()
    if cache:
        kept.deserialize(cache)
    config.set_runtime_cache(kept)
    maker = _context_maker(lambda: engine.create_execution_context(config), log)
    return LoadedEngine(
        engine, header.max_batch, maker, scratch_bytes, lambda: bytes(kept.serialize()), api.nptype
    )


def network_outputs(
    engine: Any, manifest: Manifest, numpy_type: Callable[[Any], npt.DTypeLike]
) -> tuple[dict[str, tuple[tuple[int, ...], npt.DTypeLike]], DecodeParameters | None]:
    """Shapes and types of one image's outputs, and the decoding kernel's parameters.

    Only our own score map is decoded on the device; of other decodes the outputs leave as they are.
    `numpy_type` is the library's nptype. Raises ModelError for an output whose memory cannot be taken
    beforehand, or whose type NumPy lacks.
    """
    outputs: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {}
    for name in output_names(manifest):
        shape = tuple(engine.get_tensor_shape(name))
        if shape[:1] == (-1,):  # as the model gives it for one image: ours without a batch axis
            shape = shape[1:] if name in {SCORE, SCORE_MAP} else (1, *shape[1:])
        if min(shape, default=1) < 0:
            raise ModelError(
                f"{manifest.name}: the length of output {name} depends on the frame, which the GPU engine "
                "does not take; export the model without its last filter, or run it with engine: openvino"
            )
        outputs[name] = (shape, _numpy_type(engine, name, manifest, numpy_type))
    if set(outputs) != {SCORE, SCORE_MAP}:
        return outputs, None
    rows, columns = outputs[SCORE_MAP][0]
    return outputs, decode_parameters(rows, columns, manifest)


def _numpy_type(
    engine: Any, name: str, manifest: Manifest, numpy_type: Callable[[Any], npt.DTypeLike]
) -> npt.DTypeLike:
    kind = engine.get_tensor_dtype(name)
    try:
        found = np.dtype(numpy_type(kind))
    except TypeError as error:  # bfloat16, fp8, int4
        raise ModelError(
            f"{manifest.name}: output {name} is {kind}, which cannot be read; cast it to float"
        ) from error
    if name in {SCORE, SCORE_MAP} and found != np.float32:  # as the decoding kernel reads them
        raise ModelError(f"{manifest.name}: output {name} is {found}, it must be float32")
    return found


def wanted_here(manifest: Manifest, precision: Precision, arch: str, library: TensorRt) -> Wanted:
    """What an engine file must be for."""
    return Wanted(
        model_sha256=manifest.onnx.sha256,
        precision=precision,
        arch=arch,
        library=library.name,
        library_version=library.version,
    )


def _context_maker(create: Callable[[], Any], log: Any) -> Callable[[], Any]:
    def make() -> Any:
        context = create()
        if context is None:
            raise ModelError(
                f"TensorRT cannot make an execution context ({'; '.join(log.messages) or 'no reason given'})"
            )
        return context

    return make
