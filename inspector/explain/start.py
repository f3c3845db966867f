"""From the configuration to an `Explainer` that works, with or without its language model."""

import resource
from pathlib import Path

from inspector.clock import Clock
from inspector.config import ExplainerConfig
from inspector.errors import ConfigError, ModelError
from inspector.explain.adapter import resolve_adapter
from inspector.explain.engine import Engine
from inspector.explain.explainer import Explainer
from inspector.explain.facts import LineContext
from inspector.explain.gguf_header import read_header
from inspector.explain.knowledge_load import load_knowledge
from inspector.explain.memory_plan import MIB, plan, shape_of
from inspector.explain.opinion_file import load_fit
from inspector.explain.recall import Recall
from inspector.explain.second_opinion import SecondOpinion
from inspector.explain.server import ServerEngine
from inspector.explain.weights import resolve

TEMPLATE_ONLY = "none"


def start(config: ExplainerConfig, context: LineContext, clock: Clock, root: Path = Path()) -> Explainer:
    """Return an explainer as `config` wants it; never raises for the model or the site's knowledge.

    Takes as long as the model takes to load (1 to 3 s for 1.5 B weights), and holds the
    interpreter's lock meanwhile: call it before the service says that it is ready. When the model
    is missing or damaged, `Explainer.fault` says what to do, and the template explains. Relative
    paths are relative to `root`.
    """
    recall, standing = _recall(config, root)
    engine: Engine | None = None
    fault = ""
    if has_model(config):
        try:
            engine = open_engine(config, clock, root)
        except (ModelError, ConfigError) as error:
            fault = str(error)
    return Explainer(
        engine, context, clock, fault=fault, recall=recall, standing=standing, language=config.language
    )


def start_second(
    explainer: Explainer, config: ExplainerConfig, context: LineContext, clock: Clock, root: Path = Path()
) -> SecondOpinion | None:
    """Return who gives second opinions; None when none are wanted, or none has earned a weight.

    A damaged calibration stops no explanation: it is a standing fault of `explainer`, and None.
    """
    engine = explainer.engine
    try:
        fit = load_fit(root) if config.opinions and engine is not None else None
    except ConfigError as error:
        explainer.stand(f"{error}; no second opinions are given")
        return None
    if engine is None or fit is None or fit.weight <= 0.0:
        return None
    if fit.model_sha256 != engine.model_sha256 or fit.language != config.language:
        return None
    return SecondOpinion(engine, fit, context, clock)


def cap_memory(config: ExplainerConfig) -> None:
    """Bound what this process may allocate; the weights, which are mapped, do not count (setrlimit(2))."""
    if config.memory_mib is not None:
        limit = config.memory_mib * 1024 * 1024
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))


def has_model(config: ExplainerConfig) -> bool:
    """Return whether `config` names a language model at all."""
    return config.server is not None or config.model != TEMPLATE_ONLY


def computes_here(config: ExplainerConfig) -> bool:
    """Return whether the model runs in this process, and not behind a server."""
    return config.server is None and config.model != TEMPLATE_ONLY


def sees(config: ExplainerConfig) -> bool:
    """Return whether the model takes images."""
    return config.server.images if config.server is not None else config.mmproj is not None


def _recall(config: ExplainerConfig, root: Path) -> tuple[Recall | None, str]:
    if config.knowledge is None:
        return None, ""
    try:
        return Recall(load_knowledge(root / config.knowledge.expanduser())), ""
    except (ModelError, ConfigError) as error:
        return None, f"{error}; causes come from the limits alone"


def open_engine(config: ExplainerConfig, clock: Clock, root: Path = Path()) -> Engine:
    """Load the model that `config` names, or find its server. Raises ModelError, ConfigError.

    The adapter's path is relative to `root`.
    """
    if config.server is not None:
        return ServerEngine(config.server, clock, max_tokens=config.max_tokens)
    if (folder := Path(config.model).expanduser()).is_dir():
        return _open_folder(folder, config, clock)
    model = resolve(config.model)
    # Imported here, because its library is 100 MB that a cell without a language model never needs.
    from inspector.explain.llama import LlamaEngine  # noqa: PLC0415

    if config.memory_mib is not None:
        _assert_that_it_fits(model.path, config, config.memory_mib)
    adapter = None
    if config.adapter is not None:
        adapter = resolve_adapter(root / config.adapter.expanduser(), model, config.model)
    return LlamaEngine(
        model.path,
        adapter.model_sha256 if adapter else model.sha256,
        clock,
        threads=config.threads,
        nice=config.nice,
        context_tokens=config.context_tokens,
        max_tokens=config.max_tokens,
        gpu_layers=config.gpu_layers,
        mmproj=config.mmproj,
        adapter=adapter.path if adapter else None,
    )


def _open_folder(folder: Path, config: ExplainerConfig, clock: Clock) -> Engine:
    if config.adapter is not None or config.mmproj is not None:
        raise ConfigError(
            "explainer.adapter and mmproj go with a GGUF file, not with a folder of safetensors"
        )
    try:
        # Its libraries are gigabytes that only a cell with such a folder has.
        from inspector.explain.transformers_engine import TransformersEngine  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"explainer.model {folder} is a folder of safetensors, which needs: "
            "pip install 'inspector-cell[llm]'"
        ) from error
    return TransformersEngine(
        folder,
        clock,
        threads=config.threads,
        context_tokens=config.context_tokens,
        max_tokens=config.max_tokens,
    )


def _assert_that_it_fits(path: Path, config: ExplainerConfig, cap_mib: int) -> None:
    """llama.cpp ends the process when an allocation fails; better not to begin."""
    shape = shape_of(read_header(path))
    # What is mapped is no allocation; with repacking off, the rest is.
    needed = plan(shape, config.context_tokens, 0).ram_bytes - shape.weights_bytes
    if needed > cap_mib * MIB:
        raise ModelError(
            f"{path.name} needs {needed // MIB} MiB beside its weights, explainer.memory_mib is {cap_mib}; "
            "raise it or take a smaller context_tokens"
        )
