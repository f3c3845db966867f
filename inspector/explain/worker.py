"""Explanations and opinions beside a service's own loop: hand things in, take them out, never wait."""

import queue
import threading
from typing import Generic, Literal, TypeVar

from inspector.clock import NS_PER_S, Clock
from inspector.config import ExplainerConfig
from inspector.errors import InvariantError
from inspector.explain.backlog import Backlog
from inspector.explain.engine import PreemptedError
from inspector.explain.explainer import Explainer
from inspector.explain.recent import NOTHING_RECENT, Recent
from inspector.explain.second_opinion import SecondOpinion
from inspector.types import Action, Explanation, Opinion, OpinionRequest, VerdictRecord

CAPACITY = 16
"""More than the model can write before they are old."""
PROBE_EVERY_S = 300.0
"""How long the model may be silent before it is asked whether it still can."""
_CLOSE_TIMEOUT_S = 10.0
_PROBE_S = 120.0
"""The first answer computes the constant prompt too: 18 s on a busy core with 1.5 B weights."""

T = TypeVar("T")
_Job = VerdictRecord | OpinionRequest | Literal["probe"]


def is_wanted(config: ExplainerConfig, record: VerdictRecord) -> bool:
    """Return whether the site wants this verdict explained."""
    return config.explain == "all" or record.verdict.action is not Action.PASS


class _Beside(Generic[T]):
    """What goes with that which waits, by the name of the verdict or part; `none` where nothing does.

    The oldest go. Under the lock to put.
    """

    def __init__(self, most: int, none: T) -> None:
        self._most = most
        self._none = none
        self._kept: dict[str, T] = {}

    def put(self, name: str, kept: T) -> None:
        if kept != self._none:
            self._kept[name] = kept
            for old in list(self._kept)[: -self._most]:
                del self._kept[old]

    def of(self, name: str) -> T:
        return self._kept.get(name, self._none)


class ExplainWorker:
    """Owns an `Explainer` and the one thread in which its language model is asked.

    Every record that was submitted comes back as one explanation, by its deadline. An opinion goes
    before every explanation and interrupts the one at work, which is begun again. `submit`, `ask`,
    `collect`, `hold` and `close` are for one thread and return at once. Without a model no thread is
    started and the template answers in `submit`.
    """

    def __init__(
        self,
        explainer: Explainer,
        clock: Clock,
        *,
        deadline_s: float,
        capacity: int = CAPACITY,
        second: SecondOpinion | None = None,
        probe_every_s: float = PROBE_EVERY_S,
    ) -> None:
        self._explainer = explainer
        self._second = second
        self._clock = clock
        self._probe_every_s = probe_every_s
        self._backlog = Backlog(capacity=capacity, patience_ns=int(deadline_s * NS_PER_S))
        self._requests: list[OpinionRequest] = []
        self._images = _Beside[tuple[bytes, ...]](2 * capacity, ())
        self._recent = _Beside(2 * capacity, NOTHING_RECENT)
        self._wake = threading.Condition()
        self._closing = False
        self._held = False
        self._explaining = False
        self._done: queue.SimpleQueue[Explanation] = queue.SimpleQueue()
        self._opinions: queue.SimpleQueue[Opinion] = queue.SimpleQueue()
        self._overtaken = self._shed = self._interrupted = 0
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
        """Whether the first probe is over, or there is no model to wait for. How it ended is in `fault`."""
        return self._warm or self._thread is None

    @property
    def is_ready(self) -> bool:
        """Whether there is a model, its first probe is over, and nothing is wrong with it itself."""
        return self._thread is not None and self._warm and not self._explainer.model_fault

    @property
    def offers_opinions(self) -> bool:
        """Whether the model is ready for `ask`, and not held."""
        return self._second is not None and self._thread is not None and self._warm and not self._held

    @property
    def opinion_ms(self) -> float:
        """How long an opinion takes; 0 when nothing is known of it."""
        return self._second.usual_ms if self._second is not None else 0.0

    @property
    def counters(self) -> dict[str, float]:
        """The explainer's; `overtaken`: the template because others went first; `shed`: because the

        detector needed the machine; `interrupted`: begun again after an opinion.
        """
        own = {"overtaken": self._overtaken, "shed": self._shed, "interrupted": self._interrupted}
        second = self._second.counters if self._second is not None else {}
        return {**self._explainer.counters, **second, **{name: float(n) for name, n in own.items()}}

    def submit(
        self, record: VerdictRecord, images: tuple[bytes, ...] = (), recent: Recent = NOTHING_RECENT
    ) -> None:
        """Take a verdict to be explained. When too many wait, the least urgent get the template.

        `images` show the part, for a model that sees; `recent` is the line with this part as its newest.
        """
        if self._thread is None:
            self._done.put(self._explainer.template(record, recent))
            return
        with self._wake:
            self._recent.put(record.verdict.verdict_id, recent)
        if self._held:
            self._give_template([record], shed=True)
            return
        with self._wake:
            self._images.put(record.verdict.verdict_id, images)
            gone = self._backlog.put(record)
            self._wake.notify()
        self._give_template(gone)

    def ask(self, request: OpinionRequest, images: tuple[bytes, ...] = ()) -> None:
        """Take a request for an opinion. None comes when there is no time for it. `images`: see `submit`."""
        if not self.offers_opinions:
            return
        with self._wake:
            self._images.put(request.part_id, images)
            self._queue(request)
            self._interrupt()
            self._wake.notify()

    def hold(self, held: bool) -> None:
        """While `held`, the model rests: what waits and what comes gets the template, and is counted."""
        if held == self._held or self._thread is None:
            return
        with self._wake:
            self._held = held
            gone = self._backlog.expire(1 << 62) if held else []
            if held:
                self._requests.clear()
                self._interrupt()
        self._give_template(gone, shed=True)

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

    def opinions(self) -> list[Opinion]:
        """Return the opinions that are ready."""
        ready: list[Opinion] = []
        while not self._opinions.empty():
            ready.append(self._opinions.get())
        return ready

    def close(self) -> None:
        """Give up what waits and free the model."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._explainer.close()
        if self._thread is not None:
            self._thread.join(_CLOSE_TIMEOUT_S)

    def _queue(self, request: OpinionRequest) -> None:
        self._requests.append(request)
        self._requests.sort(key=lambda waiting: waiting.deadline_ns)

    def _interrupt(self) -> None:
        """Interrupt the explanation at work. Under the lock: else the next job, an opinion, might be hit."""
        if self._explaining:
            self._explainer.interrupt()

    def _give_template(self, records: list[VerdictRecord], *, shed: bool = False) -> None:
        for record in records:
            if shed:
                self._shed += 1
            else:
                self._overtaken += 1
            self._done.put(self._explainer.template(record, self._recent.of(record.verdict.verdict_id)))

    # -- the model's thread ----------------------------------------------------------------------

    def _run(self) -> None:
        job: _Job | None = "probe"
        while job is not None:
            try:
                self._do(job)
            except PreemptedError:
                self._again(job)
            with self._wake:
                self._explaining = False
                self._explainer.rearm()
            job = self._next()

    def _do(self, job: _Job) -> None:
        if isinstance(job, OpinionRequest):
            images = self._images.of(job.part_id)
            opinion = self._second.give(job, images) if self._second is not None else None
            if opinion is not None:
                self._opinions.put(opinion)
        elif isinstance(job, VerdictRecord):
            name, deadline_ns = job.verdict.verdict_id, self._backlog.deadline_ns(job)
            images, recent = self._images.of(name), self._recent.of(name)
            self._done.put(self._explainer.explain(job, deadline_ns, images, recent))
        else:
            deadline_ns = self._clock.now_ns() + int(_PROBE_S * NS_PER_S)
            self._explainer.probe(deadline_ns)
            if self._second is not None:
                self._second.probe(deadline_ns)
            self._warm = True

    def _again(self, job: _Job) -> None:
        """What was interrupted waits again; while the model rests, an explanation gets the template."""
        if isinstance(job, OpinionRequest):
            with self._wake:
                if not self._held:
                    self._queue(job)
            return
        if not isinstance(job, VerdictRecord):
            return
        if self._held:
            self._give_template([job], shed=True)
            return
        self._interrupted += 1
        with self._wake:
            gone = self._backlog.put(job)
        self._give_template(gone)

    def _next(self) -> _Job | None:
        with self._wake:
            while not self._closing:
                if self._requests:
                    return self._requests.pop(0)
                record = None if self._held else self._backlog.take()
                if record is not None:
                    self._explaining = True
                    return record
                if not self._wake.wait(self._probe_every_s) and not self._held:
                    self._explaining = True
                    return "probe"
        return None
