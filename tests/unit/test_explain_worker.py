"""Every verdict handed in comes back as one explanation, the urgent ones first."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.errors import InvariantError, ModelError
from inspector.explain.backlog import Backlog
from inspector.explain.engine import PreemptedError, Schema, Usage
from inspector.explain.explainer import Explainer
from inspector.explain.facts import LineContext
from inspector.explain.opinion import OpinionFit
from inspector.explain.pressure import Pressure
from inspector.explain.probe import PROBE
from inspector.explain.prompt import Prompt
from inspector.explain.recent import NOTHING_RECENT
from inspector.explain.second_opinion import SecondOpinion
from inspector.explain.start import start
from inspector.explain.worker import ExplainWorker, is_wanted
from inspector.strict_data import check
from inspector.types import (
    Action,
    Explanation,
    ExplanationSource,
    Opinion,
    OpinionRequest,
    ResultStatus,
    VerdictRecord,
)


def record(
    verdict_id: str, *, action: Action = Action.REJECT, decided_ns: int = 0, seq: int = 1
) -> VerdictRecord:
    verdict = msgspec.structs.replace(
        PROBE.verdict, verdict_id=verdict_id, action=action, decided_ns=decided_ns, seq=seq
    )
    return VerdictRecord(verdict=verdict, evidence=PROBE.evidence)


def ids(records: list[VerdictRecord]) -> list[str]:
    return [found.verdict.verdict_id for found in records]


def test_backlog_takes_the_urgent_then_the_newest() -> None:
    backlog = Backlog(capacity=9, patience_ns=100)
    backlog.put(record("old", decided_ns=1))
    backlog.put(record("new", decided_ns=2))
    backlog.put(record("stop", action=Action.STOP, decided_ns=0))
    backlog.put(record("hold", action=Action.HOLD, decided_ns=5))
    taken = []
    while (found := backlog.take()) is not None:
        taken.append(found)
    assert ids(taken) == ["stop", "new", "old", "hold"]


def test_backlog_is_bounded_and_gives_back_what_had_to_go() -> None:
    backlog = Backlog(capacity=2, patience_ns=100)
    backlog.put(record("stop", action=Action.STOP))
    backlog.put(record("pass", action=Action.PASS, decided_ns=9))
    assert ids(backlog.put(record("reject", decided_ns=1))) == ["pass"]
    assert ids(backlog.put(record("hold", action=Action.HOLD, decided_ns=8))) == ["hold"]
    assert len(backlog) == 2


def test_backlog_gives_up_what_is_too_old() -> None:
    backlog = Backlog(capacity=9, patience_ns=100)
    backlog.put(record("a", decided_ns=0))
    backlog.put(record("b", decided_ns=50))
    assert ids(backlog.expire(99)) == []
    assert ids(backlog.expire(100)) == ["a"]
    assert ids(backlog.expire(1000)) == ["b"]


@pytest.mark.parametrize(("explain", "wanted"), [("all", True), ("not_passed", False)])
def test_passed_parts_are_explained_only_on_request(explain: str, wanted: bool) -> None:
    config = check({"explain": explain}, ExplainerConfig)
    assert is_wanted(config, record("p", action=Action.PASS)) is wanted
    assert is_wanted(config, record("r"))


@dataclass
class GatedEngine:
    """Answers only when it is let; then wrongly, so that each explanation is the template's."""

    gate: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    broken: bool = False
    model_sha256: str = "cd" * 32
    usage: Usage = field(default_factory=Usage)

    def complete(self, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:  # noqa: ARG002  the protocol's
        self.asked.set()
        self.gate.wait(10)
        if self.broken:
            raise TypeError("a defect of ours")
        return "wrong"

    def choose(self, prompt: Prompt, choices: tuple[str, ...], deadline_ns: int) -> tuple[float, ...]:  # noqa: ARG002  the protocol's
        raise ModelError("not asked in these tests")

    def interrupt(self) -> None:
        """Nothing to give up."""

    def close(self) -> None:
        self.gate.set()


def collect(worker: ExplainWorker, count: int) -> list[Explanation]:
    waited, found = threading.Event(), list[Explanation]()
    for _ in range(500):
        found += worker.collect()
        if len(found) >= count:
            break
        waited.wait(0.01)
    return found


def test_every_record_comes_back_once_whatever_the_model_does() -> None:
    clock, engine = SystemClock(), GatedEngine()
    worker = ExplainWorker(Explainer(engine, LineContext(), clock), clock, deadline_s=60, capacity=2)
    assert engine.asked.wait(10)  # it is busy with the probe
    now_ns = clock.now_ns()
    for n in range(4):
        worker.submit(record(f"v{n}", decided_ns=now_ns + n))
    worker.submit(record("too old", action=Action.STOP, decided_ns=now_ns - 61 * NS_PER_S))
    assert not worker.is_warm
    early = worker.collect()
    assert {found.verdict_id for found in early} == {"v0", "v1", "v2", "too old"}
    engine.gate.set()
    late = collect(worker, 1)
    assert [found.verdict_id for found in late] == ["v3"]
    assert {found.source for found in early + late} == {ExplanationSource.TEMPLATE}
    assert worker.counters["overtaken"] == 4
    assert worker.is_warm
    assert "did not pass its first probe" in worker.fault
    worker.close()
    assert not any(thread.name == "explainer" for thread in threading.enumerate())


def test_a_part_that_waits_keeps_the_line_as_it_was_with_it() -> None:
    clock, engine = SystemClock(), GatedEngine()
    worker = ExplainWorker(Explainer(engine, LineContext(), clock), clock, deadline_s=60, capacity=1)
    assert engine.asked.wait(10)  # it is busy with the probe
    recent = NOTHING_RECENT
    for n in range(12):
        one = record(f"v{n}", decided_ns=clock.now_ns())
        recent = recent.with_part(one.verdict)
        worker.submit(one, (), recent)
    gone = {found.verdict_id: found.text for found in worker.collect()}
    engine.gate.set()
    (last,) = collect(worker, 1)
    assert "of the last" not in gone["v8"]
    assert "10 of the last 10 parts were rejected" in gone["v9"]
    assert "11 of the last 11 parts were rejected" in gone["v10"]
    assert "12 of the last 12 parts were rejected" in last.text
    worker.close()


def test_without_a_model_the_template_answers_at_once_and_no_thread_runs() -> None:
    clock = SystemClock()
    explainer = start(ExplainerConfig(model="none"), LineContext(), clock)
    worker = ExplainWorker(explainer, clock, deadline_s=30)
    worker.submit(record("v1"))
    assert [found.verdict_id for found in worker.collect()] == ["v1"]
    assert worker.fault == ""
    assert worker.is_warm
    assert not any(thread.name == "explainer" for thread in threading.enumerate())
    worker.close()


@pytest.mark.parametrize("model", ["no-such-model", "qwen2.5-coder-1.5b", "/nowhere/model.gguf"])
def test_a_missing_model_is_a_fault_that_says_what_to_do(
    model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path))
    explainer = start(ExplainerConfig(model=model), LineContext(), SystemClock())
    assert not explainer.has_model
    assert "models pull" in explainer.fault or "models list" in explainer.fault or model in explainer.fault
    assert explainer.explain(PROBE, 1 << 62).source is ExplanationSource.TEMPLATE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_of_ours_in_the_thread_is_not_silent() -> None:
    clock, engine = SystemClock(), GatedEngine(broken=True)
    worker = ExplainWorker(Explainer(engine, LineContext(), clock), clock, deadline_s=60)
    engine.gate.set()
    with pytest.raises(InvariantError):
        collect(worker, 1)
    worker.close()


@dataclass
class PatientEngine:
    """Answers an opinion at once; an explanation only when it is let, or interrupted."""

    gate: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    let: bool = False
    interrupts: int = 0
    choices: int = 0
    chosen: threading.Event = field(default_factory=threading.Event)
    ends_when_interrupted: bool = False
    hits: list[bool] = field(default_factory=list)
    preempts: int = 0
    model_sha256: str = "ef" * 32
    usage: Usage = field(default_factory=Usage)

    def complete(self, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:  # noqa: ARG002  the protocol's
        if "PROBE1" in prompt[-1].content:
            return "wrong"
        self.gate.clear()
        self.asked.set()
        if not self.let:
            self.gate.wait(10)
            if not self.let:
                raise PreemptedError("interrupted")
        return "wrong"

    def choose(self, prompt: Prompt, choices: tuple[str, ...], deadline_ns: int) -> tuple[float, ...]:  # noqa: ARG002  the protocol's
        self.choices += 1
        self.chosen.set()
        if self.preempts:
            self.preempts -= 1
            raise PreemptedError("interrupted")
        return 0.1, 0.9

    def interrupt(self) -> None:
        self.interrupts += 1
        self.let = self.let or self.ends_when_interrupted
        self.gate.set()
        if self.ends_when_interrupted:  # the explanation ends by itself at this very moment
            self.hits.append(self.chosen.wait(0.2))

    def close(self) -> None:
        self.let = True
        self.gate.set()


FIT = OpinionFit(model_sha256="ef" * 32, slope=1.0, offset=0.0, weight=0.5, gain_nats=0.1, parts=40)


def patient() -> tuple[ExplainWorker, PatientEngine]:
    clock, engine = SystemClock(), PatientEngine()
    second = SecondOpinion(engine, FIT, LineContext(), clock)
    worker = ExplainWorker(Explainer(engine, LineContext(), clock), clock, deadline_s=60, second=second)
    while not worker.is_warm:
        threading.Event().wait(0.005)
    return worker, engine


def part(verdict_id: str) -> VerdictRecord:
    made = record(verdict_id, decided_ns=SystemClock().now_ns())
    return VerdictRecord(verdict=msgspec.structs.replace(made.verdict, part_id="B1"), evidence=made.evidence)


def request(seconds: float) -> OpinionRequest:
    deadline_ns = SystemClock().now_ns() + int(seconds * NS_PER_S)
    return OpinionRequest(part_id="B2", evidence=PROBE.evidence, deadline_ns=deadline_ns)


def first_opinions(worker: ExplainWorker) -> list[Opinion]:
    opinions: list[Opinion] = []
    for _ in range(500):
        opinions += worker.opinions()
        if opinions:
            break
        threading.Event().wait(0.01)
    return opinions


def test_an_opinion_is_not_hit_by_its_own_interrupt() -> None:
    worker, engine = patient()
    worker.submit(part("v1"))
    assert engine.asked.wait(10)
    engine.chosen.clear()
    engine.ends_when_interrupted = True
    worker.ask(request(30))
    assert engine.hits == [False]  # no opinion was at work while it interrupted
    assert [found.part_id for found in first_opinions(worker)] == ["B2"]
    worker.close()


def test_an_opinion_that_was_interrupted_is_asked_for_again() -> None:
    worker, engine = patient()
    engine.preempts = 1
    worker.ask(request(30))
    assert [found.part_id for found in first_opinions(worker)] == ["B2"]
    worker.close()


def test_an_opinion_interrupts_an_explanation_which_is_then_begun_again() -> None:
    worker, engine = patient()
    assert worker.offers_opinions
    worker.submit(part("v1"))
    assert engine.asked.wait(10)
    engine.asked.clear()
    worker.ask(request(30))
    opinions = first_opinions(worker)
    assert [found.part_id for found in opinions] == ["B2"]
    assert opinions[0].p_defect == pytest.approx(0.75)
    assert engine.asked.wait(10)
    engine.let = True
    engine.gate.set()
    assert [found.verdict_id for found in collect(worker, 1)] == ["v1"]
    assert worker.counters["interrupted"] == 1
    worker.close()


def test_an_opinion_that_cannot_come_in_time_is_not_asked_for() -> None:
    worker, engine = patient()
    asked = engine.choices
    worker.ask(request(-1))
    worker.submit(part("v1"))
    assert engine.asked.wait(10)  # requests go first, so it has been seen by now
    assert engine.choices == asked
    assert worker.opinions() == []
    assert worker.counters["opinions_late"] == 1
    worker.close()


def test_while_the_detector_needs_the_machine_the_template_writes_and_says_how_often() -> None:
    worker, engine = patient()
    worker.submit(part("at work"))
    assert engine.asked.wait(10)
    worker.submit(part("waiting"))
    worker.hold(True)
    worker.submit(part("new"))
    assert not worker.offers_opinions
    found = collect(worker, 3)
    assert {each.verdict_id for each in found} == {"at work", "waiting", "new"}
    assert {each.source for each in found} == {ExplanationSource.TEMPLATE}
    assert worker.counters["shed"] == 3
    worker.hold(False)
    assert worker.offers_opinions
    worker.close()


def test_a_model_that_is_silent_for_long_is_probed_again() -> None:
    clock, engine = SystemClock(), GatedEngine()
    engine.gate.set()
    worker = ExplainWorker(Explainer(engine, LineContext(), clock), clock, deadline_s=60, probe_every_s=0.02)
    for _ in range(500):
        if worker.counters["asked"] >= 6:  # two attempts a probe
            break
        threading.Event().wait(0.01)
    assert worker.counters["asked"] >= 6
    worker.close()


def test_pressure_rises_near_the_budget_and_falls_well_below_it() -> None:
    pressure = Pressure(budget_ns=100)
    result = PROBE.evidence.results[0]

    def see(latency_ns: int, times: int) -> None:
        for _ in range(times):
            pressure.see(msgspec.structs.replace(result, received_ns=0, finished_ns=latency_ns))

    see(50, 50)
    assert not pressure.is_high
    see(85, 3)
    assert pressure.is_high
    see(70, 200)
    assert pressure.is_high
    see(50, 200)
    assert not pressure.is_high
    for _ in range(3):
        pressure.see(msgspec.structs.replace(result, status=ResultStatus.DROPPED))
    assert pressure.is_high


@pytest.mark.parametrize(("answers", "ready"), [(True, True), (False, False)])
def test_a_model_is_ready_by_its_own_answers_whatever_else_is_wrong(answers: bool, ready: bool) -> None:
    said = (
        '{"cause":1,"text":"Part PROBE1 was rejected because cam1 found a scratch while vibration1 was '
        'at 7.8 mm/s, above its alarm limit of 7.1 mm/s.","cited":[1,2,3]}'
    )

    class Answering(GatedEngine):
        def complete(self, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:
            super().complete(prompt, schema, deadline_ns)
            return said if answers else "wrong"

    engine = Answering()
    engine.gate.set()
    explainer = Explainer(engine, LineContext(), SystemClock(), standing="knowledge/fmea.csv is damaged")
    worker = ExplainWorker(explainer, SystemClock(), deadline_s=60)
    try:
        _until(lambda: worker.is_warm)
        assert worker.is_ready is ready
        assert "fmea.csv is damaged" in worker.fault
    finally:
        worker.close()


def test_no_model_is_never_ready() -> None:
    explainer = Explainer(None, LineContext(), SystemClock())
    worker = ExplainWorker(explainer, SystemClock(), deadline_s=60)
    assert worker.is_warm
    assert not worker.is_ready
    worker.close()


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
