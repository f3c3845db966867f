"""The explainer service: verdicts in, explanations out, at a priority that starves nobody."""

from inspector.explain.facts import line_context
from inspector.explain.start import start
from inspector.explain.worker import ExplainWorker, is_wanted
from inspector.services.loop import Context
from inspector.topics import EXPLANATIONS, VERDICTS


class ExplainerService:
    """Wiring between the bus and the worker thread that owns the language model."""

    def __init__(self, context: Context) -> None:
        self._context = context
        site = context.site
        self._config = site.site.explainer
        # Subscribed before the model is loaded: what is decided meanwhile waits here.
        self._verdicts = context.bus.subscriber(VERDICTS)
        self._explanations = context.bus.publisher(EXPLANATIONS)
        self._told = ""
        explainer = start(self._config, line_context(site), context.clock, site.root)
        self._worker = ExplainWorker(explainer, context.clock, deadline_s=self._config.deadline_s)

    def step(self) -> int | None:
        for record in self._verdicts.drain():
            if is_wanted(self._config, record):
                self._worker.submit(record)
        for explanation in self._worker.collect():
            self._explanations.send(explanation)
        fault = self._worker.fault
        if fault and fault != self._told:
            self._context.fault("EXPLAINER_MODEL", fault)
        self._told = self._context.degraded = fault
        for name, count in self._worker.counters.items():
            self._context.counters[name] = int(count)
        self._context.counters["model_ready"] = int(self._worker.is_warm and not fault)
        self._context.counters["verdicts_dropped"] = self._verdicts.dropped
        return None

    def close(self) -> None:
        self._worker.close()


def make(context: Context, argument: str) -> ExplainerService:
    del argument
    return ExplainerService(context)
