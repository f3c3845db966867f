"""Explanations beside a service's own loop: hand verdicts in, take explanations out, never wait."""

import queue
import threading

from inspector.clock import NS_PER_S, Clock
from inspector.config import ExplainerConfig
from inspector.errors import InvariantError
from inspector.explain.backlog import Backlog
from inspector.explain.explainer import Explainer
from inspector.types import Action, Explanation, VerdictRecord

CAPACITY = 16
"""More than the model can write before they are old."""
_CLOSE_TIMEOUT_S = 10.0
_PROBE_S = 120.0
"""The first answer computes the constant prompt too: 18 s on a busy core with 1.5 B weights."""


def is_wanted(config: ExplainerConfig, record: VerdictRecord) -> bool:
    """Return whether the site wants this verdict explained."""
    return config.explain == "all" or record.verdict.action is not Action.PASS


class ExplainWorker:
    """Owns an `Explainer` and the one thread in which its language model is asked.

    Every record that was submitted comes back as one explanation, by its deadline. `submit`,
    `collect` and `close` are for one thread and return at once. Without a model no thread is
    started and the template answers in `submit`.
    """

    def __init__(
        self, explainer: Explainer, clock: Clock, *, deadline_s: float, capacity: int = CAPACITY
    ) -> None:
        self._explainer = explainer
        self._clock = clock
        self._backlog = Backlog(capacity=capacity, patience_ns=int(deadline_s * NS_PER_S))
        self._wake = threading.Condition()
        self._closing = False
        self._done: queue.SimpleQueue[Explanation] = queue.SimpleQueue()
        self._overtaken = 0
        self._warm = False
        self._thread: threading.Thread | None = None
        if explainer.has_model:
            self._thread = threading.Thread(target=self._run, name="explainer", daemon=True)
            self._thread.start()

    @property
    def fault(self) -> str:
        """What a person should know of the language model, or ""."""
        return self._explainer.fault

    @property
    def is_warm(self) -> bool:
        """Whether the probe is over, or there is no model to wait for. How it ended is in `fault`."""
        return self._warm or self._thread is None

    @property
    def counters(self) -> dict[str, float]:
        """The explainer's, and `overtaken`: those that got the template because others went first."""
        return {**self._explainer.counters, "overtaken": float(self._overtaken)}

    def submit(self, record: VerdictRecord) -> None:
        """Take a verdict to be explained. When too many wait, the least urgent get the template."""
        if self._thread is None:
            self._done.put(self._explainer.template(record))
            return
        with self._wake:
            gone = self._backlog.put(record)
            self._wake.notify()
        self._give_template(gone)

    def collect(self) -> list[Explanation]:
        """Return what is ready, oldest first. Call it often: those too old get the template here.

        Raises InvariantError when the thread has died of a defect of ours.
        """
        if self._thread is not None and not self._thread.is_alive() and not self._closing:
            raise InvariantError("the thread of the explanations has died")
        with self._wake:
            gone = self._backlog.expire(self._clock.now_ns())
        self._give_template(gone)
        ready: list[Explanation] = []
        while not self._done.empty():
            ready.append(self._done.get())
        return ready

    def close(self) -> None:
        """Give up what waits and free the model."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._explainer.close()
        if self._thread is not None:
            self._thread.join(_CLOSE_TIMEOUT_S)

    def _give_template(self, records: list[VerdictRecord]) -> None:
        for record in records:
            self._overtaken += 1
            self._done.put(self._explainer.template(record))

    def _run(self) -> None:
        self._explainer.probe(self._clock.now_ns() + int(_PROBE_S * NS_PER_S))
        self._warm = True
        while (record := self._next()) is not None:
            self._done.put(self._explainer.explain(record, self._backlog.deadline_ns(record)))

    def _next(self) -> VerdictRecord | None:
        with self._wake:
            while not self._closing:
                record = self._backlog.take()
                if record is not None:
                    return record
                self._wake.wait()
        return None
