"""An explanation always comes: from the model when it is right and in time, else from the template."""

import json
from dataclasses import dataclass, field

import msgspec
import pytest

from inspector.clock import NS_PER_S
from inspector.errors import ModelError
from inspector.explain.engine import DeadlineError, PreemptedError, Schema, Usage
from inspector.explain.explainer import Explainer
from inspector.explain.facts import LineContext
from inspector.explain.probe import PROBE
from inspector.explain.prompt import Prompt
from inspector.explain.recent import NOTHING_RECENT
from inspector.types import Action, ExplanationSource, Health, ServiceState, VerdictRecord

GOOD = json.dumps(
    {
        "cause": 1,
        "text": "Part PROBE1 was rejected because cam1 found scratch while vibration1 was at 7.8 mm/s.",
        "cited": [1, 2, 3],
    }
)
WRONG = GOOD.replace("7.8", "9.9")
LLM, TEMPLATE = ExplanationSource.LLM, ExplanationSource.TEMPLATE


@dataclass
class ManualClock:
    ns: int = 1_000

    def now_ns(self) -> int:
        return self.ns

    def utc_ns(self) -> int:
        return self.ns


@dataclass
class ScriptedEngine:
    """Answers what it was told to, and takes as long as it was told to."""

    clock: ManualClock
    script: list[str | ModelError]
    takes_s: float = 5.0
    prompts: list[Prompt] = field(default_factory=list)
    closed: bool = False
    model_sha256: str = "ab" * 32
    usage: Usage = field(default_factory=Usage)

    def complete(self, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:
        assert schema["required"] == ["cause", "text", "cited"]
        self.prompts.append(prompt)
        end_ns = self.clock.ns + int(self.takes_s * NS_PER_S)
        self.clock.ns = min(end_ns, deadline_ns)
        if end_ns > deadline_ns:
            raise DeadlineError("late")
        answer = self.script.pop(0) if self.script else GOOD
        if isinstance(answer, ModelError):
            raise answer
        return answer

    def choose(self, prompt: Prompt, choices: tuple[str, ...], deadline_ns: int) -> tuple[float, ...]:  # noqa: ARG002  the protocol's
        raise ModelError("not asked in these tests")

    def interrupt(self) -> None:
        """Nothing to give up."""

    def close(self) -> None:
        self.closed = True


def make(*script: str | ModelError, takes_s: float = 5.0) -> tuple[Explainer, ScriptedEngine, ManualClock]:
    clock = ManualClock()
    engine = ScriptedEngine(clock, list(script), takes_s)
    return Explainer(engine, LineContext(), clock), engine, clock


def incident(n: int, value: float = 7.8, part: str = "PROBE1") -> VerdictRecord:
    """The probe's incident with another kind of sensor, so that no earlier explanation fits it."""
    event = msgspec.structs.replace(
        PROBE.evidence.events[0],
        kind="vibration_" + "abcdefghijklmnop"[n],
        value=value,
        abnormal=f"vibration {value:g} mm/s, above its alarm limit 7.1 mm/s",
    )
    return VerdictRecord(
        verdict=msgspec.structs.replace(PROBE.verdict, part_id=part, verdict_id=f"v{n}"),
        evidence=msgspec.structs.replace(PROBE.evidence, events=(event,)),
    )


def in_s(clock: ManualClock, seconds: float) -> int:
    return clock.ns + int(seconds * NS_PER_S)


def test_a_faithful_answer_is_the_models() -> None:
    explainer, engine, clock = make(GOOD)
    explanation = explainer.explain(PROBE, in_s(clock, 30))
    assert explanation.source is LLM
    assert explanation.text == json.loads(GOOD)["text"]
    assert explanation.cited == ("1", "2", "3")
    assert explanation.model_sha256 == engine.model_sha256
    assert explanation.latency_ms == 5000.0
    assert (explanation.verdict_id, explanation.part_id) == ("probe", "PROBE1")


def test_an_interrupt_just_before_the_model_is_asked_is_not_lost() -> None:
    explainer, engine, clock = make(GOOD)
    explainer.interrupt()
    with pytest.raises(PreemptedError):
        explainer.explain(PROBE, in_s(clock, 30))
    assert engine.prompts == []
    explainer.rearm()
    assert explainer.explain(PROBE, in_s(clock, 30)).source is LLM


def test_a_wrong_answer_is_asked_for_again_with_the_reason() -> None:
    explainer, engine, clock = make(WRONG, GOOD)
    assert explainer.explain(PROBE, in_s(clock, 30)).source is LLM
    assert "7.8 mm/s" in engine.prompts[1][-1].content.splitlines()[-1]
    assert engine.prompts[0][:-1] == engine.prompts[1][:-1]


def test_two_wrong_answers_give_the_template() -> None:
    explainer, engine, clock = make(WRONG, "not json")
    explanation = explainer.explain(PROBE, in_s(clock, 30))
    assert explanation.source is TEMPLATE
    assert explanation.model_sha256 == ""
    assert "7.8 mm/s" in explanation.text
    assert len(engine.prompts) == 2


def test_no_second_attempt_without_the_time_for_it() -> None:
    explainer, engine, clock = make(WRONG, GOOD)
    assert explainer.explain(PROBE, in_s(clock, 7)).source is TEMPLATE
    assert len(engine.prompts) == 1


def test_late_is_the_template_by_the_deadline_and_three_times_a_fault() -> None:
    explainer, _, clock = make(takes_s=60.0)
    for n in range(3):
        assert explainer.fault == ""
        deadline_ns = in_s(clock, 30 + n)
        assert explainer.explain(PROBE, deadline_ns).source is TEMPLATE
        assert clock.ns <= deadline_ns
    assert "3 times in a row" in explainer.fault


def test_too_little_time_is_not_tried_but_not_for_ever() -> None:
    explainer, engine, clock = make()
    explainer.explain(PROBE, in_s(clock, 30))
    engine.takes_s = 1.0
    sources = [explainer.explain(incident(n), in_s(clock, 2)).source for n in range(12)]
    assert sources[0] is TEMPLATE
    assert sources[-1] is LLM


def test_a_dead_model_is_a_fault_and_templates() -> None:
    explainer, _, clock = make(ModelError("it is gone"), GOOD)
    assert explainer.explain(PROBE, in_s(clock, 30)).source is TEMPLATE
    assert explainer.fault == "it is gone; explanations come from the template"
    assert explainer.explain(PROBE, in_s(clock, 30)).source is LLM
    assert explainer.fault == ""


def test_without_a_model_there_is_the_template() -> None:
    explainer = Explainer(None, LineContext(), ManualClock(), fault="the model is not here")
    assert explainer.explain(PROBE, 10**12).source is TEMPLATE
    assert explainer.fault.startswith("the model is not here")
    assert not explainer.probe(10**12)
    explainer.close()


@pytest.mark.parametrize(("answers", "passes"), [((GOOD,), True), ((WRONG, WRONG), False)])
def test_probe_is_a_real_answer(answers: tuple[str, ...], passes: bool) -> None:
    explainer, engine, clock = make(*answers)
    assert explainer.probe(in_s(clock, 60)) is passes
    assert bool(explainer.fault) is not passes
    assert engine.prompts


def test_a_failed_probe_is_forgotten_with_the_first_answer_that_passes() -> None:
    explainer, _, clock = make(WRONG, WRONG, GOOD)
    explainer.probe(in_s(clock, 60))
    assert "until an answer of its own passes" in explainer.fault
    assert explainer.explain(PROBE, in_s(clock, 60)).source is LLM
    assert explainer.fault == ""


def test_template_needs_no_engine_time() -> None:
    explainer, engine, _ = make()
    assert explainer.template(PROBE).source is TEMPLATE
    assert not engine.prompts


def test_the_same_incident_again_has_its_words_and_the_new_figures() -> None:
    explainer, engine, clock = make()
    first = explainer.explain(PROBE, in_s(clock, 30))
    kind = PROBE.evidence.events[0].kind
    again = incident(0, 12.25, "B77-2")
    event = msgspec.structs.replace(again.evidence.events[0], kind=kind)
    again = VerdictRecord(
        verdict=again.verdict, evidence=msgspec.structs.replace(again.evidence, events=(event,))
    )
    second = explainer.explain(again, in_s(clock, 30))
    assert second.text == first.text.replace("PROBE1", "B77-2").replace("7.8", "12.25")
    assert second.source is LLM
    assert second.verdict_id == "v0"
    assert len(engine.prompts) == 1
    assert explainer.counters["reused"] == 1
    explainer.explain(incident(1), in_s(clock, 30))
    assert len(engine.prompts) == 2


def test_a_number_that_may_mean_two_things_is_asked_for_anew() -> None:
    explainer, engine, clock = make()
    same = msgspec.structs.replace(PROBE.evidence.results[0].detections[0], score=0.93)
    results = (msgspec.structs.replace(PROBE.evidence.results[0], detections=(same,)),)
    one = msgspec.structs.replace(PROBE.evidence, results=results)  # a score and a probability of 0.93
    text = json.loads(GOOD)["text"].replace("scratch", "scratch with a score of 0.93")
    engine.script.append(json.dumps({"cause": 1, "text": text, "cited": [1, 2, 3]}))
    explainer.explain(VerdictRecord(verdict=PROBE.verdict, evidence=one), in_s(clock, 30))
    explainer.explain(PROBE, in_s(clock, 30))
    assert len(engine.prompts) == 2


def test_close_frees_the_model() -> None:
    explainer, engine, _ = make()
    explainer.close()
    assert engine.closed


def test_words_that_are_used_again_get_the_trend_and_the_drift_of_today() -> None:
    explainer, engine, clock = make()
    rejected = [PROBE.verdict] * 2
    passed = [msgspec.structs.replace(PROBE.verdict, action=Action.PASS, cause="")] * 10
    recent = NOTHING_RECENT
    for verdict in passed + rejected:
        recent = recent.with_part(verdict)
    first = explainer.explain(PROBE, in_s(clock, 30), (), recent)
    written = json.loads(GOOD)["text"]
    assert first.text == f"{written} 2 of the last 12 parts were rejected, 2 of them for scratch."
    assert first.cited == ("1", "2", "3", "4")
    counters = {"light_percent_cam1": 80.0, "light_drifting_cam1": 1.0}
    dark = Health(service="detector", pid=1, state=ServiceState.READY, detail="", at_ns=0, counters=counters)
    again = explainer.explain(PROBE, in_s(clock, 30), (), recent.with_part(PROBE.verdict).with_health(dark))
    assert again.source is LLM
    assert again.text == (
        f"{written} 3 of the last 13 parts were rejected, 3 of them for scratch. "
        "Pictures of cam1 are darker than at teach-in, light 80 %."
    )
    assert explainer.explain(PROBE, in_s(clock, 30)).text == written
    assert len(engine.prompts) == 1
    assert explainer.counters["reused"] == 2
