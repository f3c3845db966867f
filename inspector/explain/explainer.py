"""A verdict in, an explanation out: by the language model if it can, by the template if not."""

from inspector.clock import NS_PER_MS, Clock
from inspector.errors import DataError, ModelError
from inspector.explain.causes import Cause, rank_causes
from inspector.explain.check import check, schema_for
from inspector.explain.engine import DeadlineError, Engine, Schema
from inspector.explain.facts import Facts, LineContext, gather
from inspector.explain.prompt import Prompt, build, retry
from inspector.explain.template import Worded, word
from inspector.types import Explanation, ExplanationSource, VerdictRecord

_SKIP_BELOW = 0.6
"""No attempt when less than this share of the usual time is left."""
_FORGET = 0.9
"""With each attempt skipped, what is held to be the usual time shrinks by this, so that a slow
spell is not remembered for ever."""


class Explainer:
    """Explains one verdict at a time. Never raises for a model that is missing, slow or wrong.

    `engine` None leaves the template. `fault` is what a person should know, or "": it is set when
    the model fails by itself (not for lack of time) and cleared by the next good answer.
    """

    def __init__(self, engine: Engine | None, context: LineContext, clock: Clock, *, fault: str = "") -> None:
        self._engine = engine
        self._context = context
        self._clock = clock
        self._usual_ns = 0.0
        self.fault = fault
        self.counters: dict[str, float] = dict.fromkeys(
            ("llm", "template", "late", "refused", "retried", "failed", "skipped"), 0.0
        )

    def explain(self, record: VerdictRecord, deadline_ns: int) -> Explanation:
        """Return an explanation of `record` by `deadline_ns` (CLOCK_MONOTONIC).

        `latency_ms` counts from the call. One that comes too late already gets the template.
        """
        started_ns = self._clock.now_ns()
        facts = gather(record, self._context)
        causes = rank_causes(facts)
        worded = self._ask(facts, causes, started_ns, deadline_ns)
        source = ExplanationSource.TEMPLATE if worded is None else ExplanationSource.LLM
        if worded is None:
            worded = word(facts, causes[0])
        self.counters["template" if source is ExplanationSource.TEMPLATE else "llm"] += 1
        by_model = source is ExplanationSource.LLM and self._engine is not None
        return Explanation(
            verdict_id=record.verdict.verdict_id,
            part_id=record.verdict.part_id,
            text=worded.text,
            cause=worded.cause,
            recommended_action=worded.recommended_action,
            source=source,
            cited=tuple(str(fact_id) for fact_id in worded.cited),
            model_sha256=self._engine.model_sha256 if by_model and self._engine else "",
            latency_ms=(self._clock.now_ns() - started_ns) / NS_PER_MS,
        )

    def template(self, record: VerdictRecord) -> Explanation:
        """Return the template's explanation at once, for a verdict that the model has no time for."""
        return self.explain(record, deadline_ns=0)

    def probe(self, record: VerdictRecord, deadline_ns: int) -> bool:
        """Return whether the model really writes an answer that passes the check, by `deadline_ns`.

        Also fills the engine's cache with the constant part of the prompt.
        """
        before = self._usual_ns
        self._usual_ns = 0.0
        explained = self.explain(record, deadline_ns)
        self._usual_ns = self._usual_ns or before
        return explained.source is ExplanationSource.LLM

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def _ask(self, facts: Facts, causes: tuple[Cause, ...], now_ns: int, deadline_ns: int) -> Worded | None:
        if self._engine is None or deadline_ns <= now_ns:
            return None
        if deadline_ns - now_ns < _SKIP_BELOW * self._usual_ns:
            self._usual_ns *= _FORGET
            self.counters["skipped"] += 1
            return None
        prompt, schema = build(facts, causes), schema_for(facts, causes)
        try:
            answer = self._complete(self._engine, prompt, schema, deadline_ns)
            try:
                return check(answer, facts, causes)
            except DataError as problem:
                self.counters["refused"] += 1
                if deadline_ns - self._clock.now_ns() < self._usual_ns:
                    return None
                self.counters["retried"] += 1
                again = retry(prompt, answer, str(problem))
            return check(self._complete(self._engine, again, schema, deadline_ns), facts, causes)
        except DeadlineError:
            self.counters["late"] += 1
            self._usual_ns = max(self._usual_ns, float(self._clock.now_ns() - now_ns))
        except ModelError as error:
            self.counters["failed"] += 1
            self.fault = f"{error}; explanations come from the template"
        except DataError:
            self.counters["refused"] += 1
        return None

    def _complete(self, engine: Engine, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:
        started_ns = self._clock.now_ns()
        answer = engine.complete(prompt, schema, deadline_ns)
        took_ns = float(self._clock.now_ns() - started_ns)
        self._usual_ns = took_ns if not self._usual_ns else (3 * self._usual_ns + took_ns) / 4
        self.fault = ""
        return answer
