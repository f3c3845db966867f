"""Ask a model, or the template alone, every case, and judge what comes out."""

import time
from collections.abc import Callable, Sequence

from inspector.clock import NS_PER_S, Clock
from inspector.config import ExplainerConfig
from inspector.errors import ModelError
from inspector.explain.engine import Engine, Schema, Usage
from inspector.explain.eval_cases import Case
from inspector.explain.eval_score import Outcome, Score, outcome, score
from inspector.explain.explainer import Explainer
from inspector.explain.prompt import Prompt
from inspector.explain.recall import Recall
from inspector.explain.start import has_model, open_engine


class _Heard:
    """An engine that remembers what the model said before anyone checked it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.answers: list[str] = []
        self.problems: list[str] = []
        self.written_tokens = 0

    @property
    def model_sha256(self) -> str:
        return self._engine.model_sha256

    @property
    def usage(self) -> Usage:
        return self._engine.usage

    def complete(self, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:
        if self.answers:
            self.problems.append(prompt[-1].content.rpartition("Mind: ")[2])
        try:
            answer = self._engine.complete(prompt, schema, deadline_ns)
        except ModelError as error:
            self.problems.append(str(error))
            raise
        self.answers.append(answer)
        self.written_tokens += self.usage.written
        return answer

    def choose(self, prompt: Prompt, choices: tuple[str, ...], deadline_ns: int) -> tuple[float, ...]:
        return self._engine.choose(prompt, choices, deadline_ns)

    def interrupt(self) -> None:
        self._engine.interrupt()

    def forget(self) -> None:
        self.answers, self.problems, self.written_tokens = [], [], 0

    def close(self) -> None:
        self._engine.close()


def evaluate(
    config: ExplainerConfig,
    asked: Sequence[Case],
    clock: Clock,
    told: Callable[[Case, str, Outcome], None] = lambda _case, _text, _outcome: None,
) -> Score:
    """Return the score of the model that `config` names; "none" is the template alone.

    `told` hears of each case as soon as it is judged. The model reads its constant prompt before the
    first case, as in a cell. Raises ModelError, ConfigError when there is no such model.
    """
    heard = _Heard(open_engine(config, clock)) if has_model(config) else None
    outcomes: list[Outcome] = []
    try:
        if heard is not None:
            Explainer(heard, asked[0].context, clock, language=config.language).probe(
                clock.now_ns() + 600 * NS_PER_S
            )
        for case in asked:
            recall = Recall(case.known)
            explainer = Explainer(heard, case.context, clock, recall=recall, language=config.language)
            if heard is not None:
                heard.forget()
            began = time.perf_counter()
            published = explainer.explain(case.record, clock.now_ns() + int(config.deadline_s * NS_PER_S))
            took = time.perf_counter() - began
            recall.close()
            raw = heard.answers[0] if heard and heard.answers else None
            speed = heard.written_tokens / took if heard else 0.0
            problem = "; ".join(heard.problems) if heard else ""
            outcomes.append(
                outcome(
                    case,
                    published,
                    raw,
                    seconds=took,
                    tokens_per_s=speed,
                    problem=problem,
                    language=config.language,
                )
            )
            told(case, f"{published.text} [{published.cause}]", outcomes[-1])
    finally:
        if heard is not None:
            heard.close()
    name = config.server.model if config.server else config.model
    if config.adapter:
        name += " tuned"
    return score("template alone" if heard is None else name, outcomes)
