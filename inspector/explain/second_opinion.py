"""Ask the language model whether a part is defective, if the answer is worth something and can be in time."""

from inspector.clock import NS_PER_MS, Clock
from inspector.errors import ModelError
from inspector.explain.engine import DeadlineError, Engine, PreemptedError
from inspector.explain.facts import LineContext
from inspector.explain.gather import gather
from inspector.explain.opinion import CHOICES, OpinionFit, question
from inspector.explain.probe import PROBE
from inspector.explain.terms import Language
from inspector.types import Opinion, OpinionRequest, PartEvidence, VerdictRecord

_MARGIN = 1.2
"""Asked only with this much more time than the last answers took."""


class SecondOpinion:
    """For one thread at a time. Never raises for the model; `counters` say how the requests ended."""

    def __init__(self, engine: Engine, fit: OpinionFit, context: LineContext, clock: Clock) -> None:
        self._engine = engine
        self._fit = fit
        self._context = context
        self._clock = clock
        self._usual_ns = 0.0
        names = ("opinions_asked", "opinions_given", "opinions_late", "opinions_failed")
        self.counters: dict[str, float] = dict.fromkeys(names, 0.0)

    @property
    def usual_ms(self) -> float:
        """How long an answer takes; 0 before the first."""
        return self._usual_ns / NS_PER_MS

    def probe(self, deadline_ns: int) -> None:
        """Ask about a made-up part, so that `usual_ms` is known before the first real one."""
        self._raw(PROBE.evidence, deadline_ns)

    def give(self, request: OpinionRequest, images: tuple[bytes, ...] = ()) -> Opinion | None:
        """Return the opinion, or None when it has no time or the model fails.

        `images` are of the part, for a model that sees. `p_defect` is calibrated and as strong as it has
        earned. Raises PreemptedError.
        """
        began_ns = self._clock.now_ns()
        if request.deadline_ns - began_ns < _MARGIN * self._usual_ns:
            self.counters["opinions_late"] += 1
            return None
        raw = self._raw(request.evidence, request.deadline_ns, images)
        if raw is None:
            return None
        self.counters["opinions_given"] += 1
        return Opinion(
            part_id=request.part_id,
            p_defect=self._fit.p_defect(raw),
            latency_ms=(self._clock.now_ns() - began_ns) / NS_PER_MS,
            model_sha256=self._engine.model_sha256,
        )

    def _raw(self, evidence: PartEvidence, deadline_ns: int, images: tuple[bytes, ...] = ()) -> float | None:
        began_ns = self._clock.now_ns()
        self.counters["opinions_asked"] += 1
        try:
            raw = raw_opinion(
                self._engine,
                evidence,
                self._context,
                deadline_ns,
                language=self._fit.language,
                images=images,
            )
        except PreemptedError:
            raise
        except DeadlineError:
            self.counters["opinions_late"] += 1
            self._usual_ns = max(self._usual_ns, float(self._clock.now_ns() - began_ns))
            return None
        except ModelError:
            self.counters["opinions_failed"] += 1
            return None
        took_ns = float(self._clock.now_ns() - began_ns)
        self._usual_ns = (3 * self._usual_ns + took_ns) / 4 if self._usual_ns else took_ns
        return raw


def raw_opinion(
    engine: Engine,
    evidence: PartEvidence,
    context: LineContext,
    deadline_ns: int,
    *,
    language: Language = "en",
    images: tuple[bytes, ...] = (),
) -> float:
    """Return the model's own probability that the part is defective, not calibrated.

    Raises what `Engine.choose` raises. For calibration: ask it of every labelled part.
    """
    # No verdict is out: the facts are gathered beside a made-up one, and its statement is not shown.
    facts = gather(VerdictRecord(verdict=PROBE.verdict, evidence=evidence), context)
    return engine.choose(question(facts, language, images), CHOICES, deadline_ns)[-1]
