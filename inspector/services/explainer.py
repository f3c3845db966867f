"""The explainer service: verdicts in, explanations and opinions out, at a priority that starves nobody."""

from inspector.clock import NS_PER_MS
from inspector.explain.facts import line_context
from inspector.explain.pictures import Pictures
from inspector.explain.pressure import Pressure
from inspector.explain.recent import NOTHING_RECENT
from inspector.explain.start import cap_memory, computes_here, sees, start, start_second
from inspector.explain.worker import ExplainWorker, is_wanted
from inspector.services.label_thresholds import label_thresholds
from inspector.services.loop import Context
from inspector.services.model_pause import ModelPause
from inspector.topics import EXPLANATIONS, HEALTH, OPINION_REQUESTS, OPINIONS, VERDICTS


class ExplainerService:
    """Wiring between the bus and the worker thread that owns the language model."""

    def __init__(self, context: Context) -> None:
        self._context = context
        site = context.site
        self._config = site.site.explainer
        # Subscribed before the model is loaded: what is decided meanwhile waits here.
        self._verdicts = context.bus.subscriber(VERDICTS)
        self._health = context.bus.subscriber(HEALTH)
        self._recent = NOTHING_RECENT
        self._explanations = context.bus.publisher(EXPLANATIONS)
        self._requests = context.bus.subscriber(OPINION_REQUESTS)
        self._opinions = context.bus.publisher(OPINIONS)
        seen = site.cameras if sees(self._config) else ()
        self._frames = [context.bus.frame_subscriber(camera.id) for camera in seen]
        self._pictures = Pictures()
        policy = site.site.decision
        self._pressure = Pressure((policy.deadline_ms - policy.delivery_margin_ms) * NS_PER_MS)
        self._in_time_ms = policy.deadline_ms - policy.delivery_margin_ms
        self._told = ""
        # Before the model is loaded, which computes too.
        self._pause = self._paused_for_frames()
        cap_memory(self._config)
        line = line_context(site, label_thresholds(site))
        explainer = start(self._config, line, context.clock, site.root)
        if not explainer.has_model:  # it could not be loaded
            self._end_pause()
        second = start_second(explainer, self._config, line, context.clock, site.root)
        self._worker = ExplainWorker(
            explainer, context.clock, deadline_s=self._config.deadline_s, second=second
        )

    def step(self) -> int | None:
        if self._pause is not None:
            self._pause.check()
        for frames in self._frames:
            for frame in frames.drain():
                self._pictures.add(frame)
        for health in self._health.drain():
            self._recent = self._recent.with_health(health)
        for record in self._verdicts.drain():
            self._recent = self._recent.with_part(record.verdict)
            for result in record.evidence.results:
                self._pressure.see(result)
            if is_wanted(self._config, record):
                self._worker.submit(record, self._pictures.of(record.evidence), self._recent)
        self._worker.hold(self._pressure.is_high)
        for request in self._requests.drain():
            self._worker.ask(request, self._pictures.of(request.evidence))
        for opinion in self._worker.opinions():
            self._opinions.send(opinion)
        for explanation in self._worker.collect():
            self._explanations.send(explanation)
        self._tell()
        return None

    def close(self) -> None:
        self._worker.close()
        self._end_pause()

    def _paused_for_frames(self) -> ModelPause | None:
        if not (self._config.pause_for_frames and computes_here(self._config)):
            return None
        return ModelPause(self._context.domain, [camera.id for camera in self._context.site.cameras])

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.close()
            self._pause = None

    def _tell(self) -> None:
        fault = self._worker.fault
        if fault and fault != self._told:
            self._context.fault("EXPLAINER_MODEL", fault)
        self._told = fault
        resting = "explanations come from the template: the detector is near its budget"
        self._context.degraded = fault or (resting if self._pressure.is_high else "")
        counters = self._context.counters
        for name, count in self._worker.counters.items():
            counters[name] = int(count)
        counters["model_ready"] = int(self._worker.is_ready)
        in_time = self._worker.opinion_ms <= self._in_time_ms
        offered = self._worker.offers_opinions and self._worker.is_ready and in_time
        counters["opinions_offered"] = int(offered)
        counters["detector_p99_ms"] = self._pressure.p99_ns() // NS_PER_MS
        counters["verdicts_dropped"] = self._verdicts.dropped


def make(context: Context, argument: str) -> ExplainerService:
    del argument
    return ExplainerService(context)
