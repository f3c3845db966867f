"""A verdict in, an explanation out: by the language model if it can, by the template if not."""

from inspector.clock import NS_PER_MS, Clock
from inspector.errors import DataError, ModelError
from inspector.explain.causes import Cause, rank_causes
from inspector.explain.check import check
from inspector.explain.engine import DeadlineError, Engine, PreemptedError, Schema
from inspector.explain.facts import Facts, LineContext
from inspector.explain.gather import gather
from inspector.explain.grammar import schema_for
from inspector.explain.probe import PROBE
from inspector.explain.prompt import Prompt, build, retry
from inspector.explain.recall import Recall
from inspector.explain.recent import NOTHING_RECENT, Recent
from inspector.explain.reuse import Reuse
from inspector.explain.speech import SPEECH
from inspector.explain.symptoms import symptoms
from inspector.explain.template import Worded
from inspector.explain.terms import Language
from inspector.types import Explanation, ExplanationSource, VerdictRecord

_SKIP_BELOW = 0.6
"""No attempt when less than this share of the usual time is left."""
_FORGET = 0.9
"""With each attempt skipped, what is held to be the usual time shrinks by this, so that a slow
spell is not remembered for ever."""
_LATE_IN_A_ROW = 3
"""So many attempts that found no end make a fault."""
_ONLY_TEMPLATE = "; explanations come from the template"


class Explainer:
    """Explains verdicts. Never raises for a model that is missing, slow or wrong.

    `engine` None leaves the template. `fault` is set when the model fails, or is
    late several times in a row, and cleared by its next faithful answer; `standing` stays. `counters`
    count attempts of the language model and how they ended. `explain` and `probe` are for one
    thread at a time; `template` is for any.
    """

    def __init__(
        self,
        engine: Engine | None,
        context: LineContext,
        clock: Clock,
        *,
        fault: str = "",
        recall: Recall | None = None,
        standing: str = "",
        language: Language = "en",
    ) -> None:
        self._engine = engine
        self._context = context
        self._recall = recall
        self._clock = clock
        self._usual_ns = 0.0
        self._late_in_a_row = 0
        self._fault = fault + _ONLY_TEMPLATE if fault else ""
        self._standing = standing
        self._language: Language = language
        self._speech = SPEECH[language]
        self._reuse = Reuse(self._speech.lexicon)
        self._interrupted = False
        names = ("asked", "written", "refused", "late", "failed", "skipped", "reused")
        self.counters: dict[str, float] = dict.fromkeys(names, 0.0)

    @property
    def fault(self) -> str:
        """What a person should know, or ""."""
        return "; ".join(said for said in (self._fault, self._standing) if said)

    @property
    def model_fault(self) -> str:
        """What is wrong with the language model itself, or ""; a damaged knowledge file is not."""
        return self._fault

    def stand(self, fault: str) -> None:
        """Add what a person should know for as long as this process lives."""
        self._standing = "; ".join(said for said in (self._standing, fault) if said)

    @property
    def engine(self) -> Engine | None:
        """The language model, for those who ask it other things."""
        return self._engine

    @property
    def has_model(self) -> bool:
        """Whether there is a language model at all."""
        return self._engine is not None

    def explain(
        self,
        record: VerdictRecord,
        deadline_ns: int,
        images: tuple[bytes, ...] = (),
        recent: Recent = NOTHING_RECENT,
    ) -> Explanation:
        """Return an explanation of `record` by `deadline_ns` (CLOCK_MONOTONIC). `images` show the part.

        `recent` is the line as it was with this part; what it adds is code's, also where a model writes.
        `latency_ms` counts from the call. When the model is wrong it is told so and asked once
        more, if there is time; after that, and when it is late, the text is the template's. An incident
        that differs from an earlier one in its figures alone gets the earlier words and its own figures.
        Raises PreemptedError when `interrupt` was called, until `rearm`.
        """
        started_ns = self._clock.now_ns()
        facts, causes = self._found(record, recent)
        written = self._reuse.again(facts, causes[0])
        if written is None:
            written = self._write(facts, causes, images, started_ns, deadline_ns)
        else:
            self.counters["reused"] += 1
        return self._explanation(written, facts, causes[0], started_ns)

    def template(self, record: VerdictRecord, recent: Recent = NOTHING_RECENT) -> Explanation:
        """Return the template's explanation, within a millisecond or two."""
        started_ns = self._clock.now_ns()
        facts, causes = self._found(record, recent)
        return self._explanation(None, facts, causes[0], started_ns)

    def _found(
        self, record: VerdictRecord, recent: Recent = NOTHING_RECENT
    ) -> tuple[Facts, tuple[Cause, ...]]:
        facts = gather(record, self._context, recent)
        known = self._recall.fitting(symptoms(facts)) if self._recall else ()
        return self._speech.localise(facts, rank_causes(facts, known))

    def probe(self, deadline_ns: int) -> bool:
        """Return whether the model really writes an answer that passes the check, by `deadline_ns`.

        The first call also fills the engine's cache with the constant part of the prompt, which
        takes longer than any later answer and so says nothing of the usual time.
        """
        self._reuse.forget(self._found(PROBE)[0])  # a probe is a real answer
        explanation = self.explain(PROBE, deadline_ns)
        self._usual_ns = 0.0
        answered = explanation.source is ExplanationSource.LLM
        if self.has_model and not answered and not self._fault:
            self._fault = (
                "the language model did not pass its first probe (late, or not faithful); "
                "explanations come from the template until an answer of its own passes"
            )
        return answered

    def interrupt(self) -> None:
        """Have `explain` give up, within one token, or before its next attempt. From any thread.

        It stands until `rearm`, so that it is not lost between the call of `explain` and the model.
        """
        self._interrupted = True
        if self._engine is not None:
            self._engine.interrupt()

    def rearm(self) -> None:
        """What was interrupted is over: `explain` works again."""
        self._interrupted = False

    def close(self) -> None:
        """Free the model. `explain` gives the template afterwards."""
        if self._engine is not None:
            self._engine.close()

    def _explanation(
        self, written: Worded | None, facts: Facts, cause: Cause, started_ns: int
    ) -> Explanation:
        worded = self._speech.with_beside(written or self._speech.template(facts, cause), facts)
        engine = self._engine if written else None
        return Explanation(
            verdict_id=facts.verdict.verdict_id,
            part_id=facts.verdict.part_id,
            text=worded.text,
            cause=worded.cause,
            recommended_action=worded.recommended_action,
            source=ExplanationSource.LLM if engine else ExplanationSource.TEMPLATE,
            cited=tuple(str(fact_id) for fact_id in worded.cited),
            model_sha256=engine.model_sha256 if engine else "",
            latency_ms=(self._clock.now_ns() - started_ns) / NS_PER_MS,
        )

    def _write(
        self,
        facts: Facts,
        causes: tuple[Cause, ...],
        images: tuple[bytes, ...],
        now_ns: int,
        deadline_ns: int,
    ) -> Worded | None:
        if self._engine is None:
            return None
        if deadline_ns - now_ns <= _SKIP_BELOW * self._usual_ns:
            self._usual_ns *= _FORGET
            self.counters["skipped"] += 1
            return None
        try:
            written = self._checked(self._engine, facts, causes, images, deadline_ns)
        except PreemptedError:
            raise
        except DeadlineError:
            self._usual_ns = max(self._usual_ns, float(self._clock.now_ns() - now_ns))
            self._late()
        except ModelError as error:
            self.counters["failed"] += 1
            self._fault = f"{error}{_ONLY_TEMPLATE}"
        else:
            return written
        return None

    def _checked(
        self,
        engine: Engine,
        facts: Facts,
        causes: tuple[Cause, ...],
        images: tuple[bytes, ...],
        deadline_ns: int,
    ) -> Worded | None:
        lexicon = self._speech.lexicon
        prompt = build(facts, causes, self._language, images)
        schema = schema_for(facts, causes, lexicon)
        for attempt in (1, 2):
            answer = self._complete(engine, prompt, schema, deadline_ns)
            try:
                written = check(answer, facts, causes, lexicon)
            except DataError as problem:
                self.counters["refused"] += 1
                if attempt == 1 and deadline_ns - self._clock.now_ns() > self._usual_ns:
                    prompt = retry(prompt, str(problem))
                    continue
                return None
            self.counters["written"] += 1
            if len(causes) == 1:  # else the model has chosen among them
                self._reuse.learn(written.text.removesuffix(causes[0].likely).rstrip(), written.cited, facts)
            self._fault = ""
            return written
        return None

    def _complete(self, engine: Engine, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:
        if self._interrupted:
            raise PreemptedError("the language model was needed for something else")
        started_ns = self._clock.now_ns()
        self.counters["asked"] += 1
        answer = engine.complete(prompt, schema, deadline_ns)
        took_ns = float(self._clock.now_ns() - started_ns)
        self._usual_ns = (3 * self._usual_ns + took_ns) / 4 if self._usual_ns else took_ns
        self._late_in_a_row = 0
        return answer

    def _late(self) -> None:
        self.counters["late"] += 1
        self._late_in_a_row += 1
        if self._late_in_a_row >= _LATE_IN_A_ROW:
            self._fault = (
                f"the language model was late {self._late_in_a_row} times in a row; leave it a core "
                f"of its own, or raise explainer.deadline_s{_ONLY_TEMPLATE}"
            )
