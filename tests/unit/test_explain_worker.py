"""Every verdict handed in comes back as one explanation, the urgent ones first."""

import threading
from dataclasses import dataclass, field

import msgspec
import pytest

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.errors import InvariantError
from inspector.explain.backlog import Backlog
from inspector.explain.engine import Schema, Usage
from inspector.explain.explainer import Explainer
from inspector.explain.facts import LineContext
from inspector.explain.probe import PROBE
from inspector.explain.prompt import Prompt
from inspector.explain.start import start
from inspector.explain.worker import ExplainWorker, is_wanted
from inspector.types import Action, Explanation, ExplanationSource, VerdictRecord


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
    config = ExplainerConfig.model_validate({"explain": explain})
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
