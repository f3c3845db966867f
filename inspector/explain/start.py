"""From the configuration to an `Explainer` that works, with or without its language model."""

from inspector.clock import Clock
from inspector.config import ExplainerConfig
from inspector.errors import ConfigError, ModelError
from inspector.explain.engine import Engine
from inspector.explain.explainer import Explainer
from inspector.explain.facts import LineContext
from inspector.explain.weights import resolve

TEMPLATE_ONLY = "none"


def start(config: ExplainerConfig, context: LineContext, clock: Clock) -> Explainer:
    """Return an explainer as `config` wants it; never raises for the model.

    Takes as long as the model takes to load (1 to 3 s for 1.5 B weights), and holds the
    interpreter's lock meanwhile: call it before the service says that it is ready. When the model
    is missing or damaged, `Explainer.fault` says what to do, and the template explains.
    """
    if config.model == TEMPLATE_ONLY:
        return Explainer(None, context, clock)
    try:
        return Explainer(open_engine(config, clock), context, clock)
    except (ModelError, ConfigError) as error:
        return Explainer(None, context, clock, fault=str(error))


def open_engine(config: ExplainerConfig, clock: Clock) -> Engine:
    """Load the model that `config` names. Raises ModelError, ConfigError."""
    model = resolve(config.model)
    # Imported here, because its library is 100 MB that a cell without a language model never needs.
    from inspector.explain.llama import LlamaEngine  # noqa: PLC0415

    return LlamaEngine(
        model.path,
        model.sha256,
        clock,
        threads=config.threads,
        nice=config.nice,
        context_tokens=config.context_tokens,
        max_tokens=config.max_tokens,
    )
