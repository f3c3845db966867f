"""From an ONNX graph to an engine file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from inspector.detect.cuda.arch import RTX_ARCHES
from inspector.detect.cuda.batch_graph import with_batch_axis
from inspector.detect.cuda.engine_file import EngineHeader, Precision
from inspector.detect.cuda.half_graph import with_half_precision
from inspector.detect.cuda.int8_graph import with_int8
from inspector.detect.cuda.tensorrt_library import TensorRt
from inspector.detect.cuda.turing_graph import without_matrix_products
from inspector.detect.quantizing.q_dq import Range
from inspector.errors import ConfigError, ModelError

Progress = Callable[[str, int, int], None]
"""Phase, steps done, steps in all; from the building thread."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """`ranges` are the activations', for int8. `workspace_bytes` bounds scratch memory.

    `sizes` fixes dynamic dimensions by name, for graphs that are not ours.
    """

    arch: str
    precision: Precision = "fp32"
    max_batch: int = 1
    ranges: Mapping[str, Range] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    workspace_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Built:
    """`report` is what the parser and the builder had to say, worst first; empty when all is well."""

    header: EngineHeader
    plan: bytes
    report: tuple[str, ...]
    timing_cache: bytes


def network_graph(model: onnx.ModelProto, options: BuildOptions) -> onnx.ModelProto:
    """The graph that the engine is built from: batched, and of the precision that is wanted. Pure.

    Raises ModelError when the graph cannot take batches and more than one image is wanted.
    """
    if options.precision == "int8":
        model = with_int8(model, options.ranges)
    if options.max_batch > 1 and not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        model = with_batch_axis(model)
    if options.precision == "fp16":
        model = with_half_precision(model)
    return without_matrix_products(model) if options.arch == "sm_75" else model


def build_engine(
    model: onnx.ModelProto,
    model_sha256: str,
    options: BuildOptions,
    library: TensorRt,
    *,
    timing_cache: bytes = b"",
    progress: Progress = lambda *_: None,
) -> Built:
    """Build a plan. Takes seconds to minutes; any thread.

    Raises ConfigError when the library cannot build for `options.arch`, ModelError when the graph
    is refused, with the parser's reason.
    """
    api = library.api
    log = library.new_log()
    builder = api.Builder(log)
    flags = 1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = api.OnnxParser(network, log)
    if not parser.parse(network_graph(model, options).SerializeToString()):
        raise ModelError(f"TensorRT refuses the graph: {_parser_error(parser)}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    # TF32 rounds the factors of float32 products to 10 bits: not what a threshold was set with.
    config.clear_flag(api.BuilderFlag.TF32)
    _set_arch(config, options.arch, library)
    _set_shapes(builder, config, network, options)
    if library.ahead_of_time:  # it may allocate in a run else, which a CUDA graph cannot hold
        config.set_flag(api.BuilderFlag.REQUIRE_USER_ALLOCATION)
    else:  # TensorRT for RTX times nothing before it sees the GPU
        config.set_timing_cache(config.create_timing_cache(timing_cache), ignore_mismatch=True)
    config.progress_monitor = _monitor(api, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelError(
            f"TensorRT could not build the engine: {'; '.join(log.messages) or 'no reason given'}"
        )
    data = bytes(plan)
    header = EngineHeader(
        model_sha256=model_sha256,
        precision=options.precision,
        arch=options.arch,
        library=library.name,
        library_version=library.version,
        max_batch=options.max_batch,
        plan_bytes=len(data),
    )
    kept = None if library.ahead_of_time else config.get_timing_cache()
    return Built(header, data, tuple(log.messages), bytes(kept.serialize()) if kept else b"")


def _set_arch(config: Any, arch: str, library: TensorRt) -> None:
    if not library.ahead_of_time:
        return  # it builds for the GPU that it finds, which the caller has made sure is `arch`
    if arch not in RTX_ARCHES:
        known = ", ".join(RTX_ARCHES)
        raise ConfigError(f"--arch {arch}: TensorRT for RTX builds for {known}; others need TensorRT itself")
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(library.api.ComputeCapability, arch.replace("_", "").upper()), 0)


def _set_shapes(builder: Any, config: Any, network: Any, options: BuildOptions) -> None:
    """Dynamic dimensions: the first is the batch, others must be fixed by `sizes`."""
    profile = builder.create_optimization_profile()
    dynamic = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        dims = list(tensor.shape)
        for axis, dim in enumerate(dims):
            if axis > 0 and dim < 0:
                name = tensor.get_dimension_name(axis)
                if name not in options.sizes:
                    raise ConfigError(f"input '{tensor.name}': dimension '{name}' has no fixed size")
                dims[axis] = options.sizes[name]
        if -1 in tuple(tensor.shape):
            dynamic = True
            least, most = [1, *dims[1:]], [options.max_batch, *dims[1:]]
            profile.set_shape(tensor.name, tuple(least), tuple(most), tuple(most))
    if dynamic:
        config.add_optimization_profile(profile)


def _parser_error(parser: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    lines = [
        f"{error.node_operator()} {error.node_name()}: {error.desc().strip().splitlines()[0]}"
        for error in errors
    ]
    return "; ".join(lines) or "no reason given"


def _monitor(api: Any, progress: Progress) -> Any:
    class Monitor(api.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            del parent_phase
            self._steps[phase_name] = num_steps
            progress(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, step + 1, self._steps.get(phase_name, step + 1))
            return True  # carry on

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.pop(phase_name, 1)
            progress(phase_name, steps, steps)

    return Monitor()
