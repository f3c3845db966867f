"""German and Chinese: every sentence is said, names and figures stay, and no name is taken for a phrase."""

import re

import msgspec
import pytest

from inspector.clock import SystemClock
from inspector.config import ExplainerConfig
from inspector.explain.causes import Cause, rank_causes
from inspector.explain.eval_cases import cases
from inspector.explain.facts import Facts, LineContext
from inspector.explain.gather import gather
from inspector.explain.probe import PROBE
from inspector.explain.speech import word_in
from inspector.explain.start import start
from inspector.explain.template import word
from inspector.explain.terms import Language
from inspector.types import Action, Heatmap, ReasonCode, ResultStatus, VerdictRecord

_WORD = re.compile(r"[^\W\d_]{2,}")
_SAME = {"px", "mm", "sensor", "score", "trigger", "plc", "image"}
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")


def incidents() -> list[VerdictRecord]:
    made = [case.record for case in cases(31, 120)]
    for reason in ReasonCode:
        for action in Action:
            for failsafe in (False, True):
                verdict = msgspec.structs.replace(
                    PROBE.verdict, reason_code=reason, action=action, failsafe=failsafe, confidence=0.6
                )
                made.append(VerdictRecord(verdict=verdict, evidence=PROBE.evidence))
                bare = msgspec.structs.replace(verdict, part_id="", p_defect=None, cause="")
                nothing = msgspec.structs.replace(PROBE.evidence, results=(), events=())
                made.append(VerdictRecord(verdict=bare, evidence=nothing))
    heat = Heatmap(width=2, height=2, data=bytes((255, 0, 0, 0)))
    for status in ResultStatus:
        seen = msgspec.structs.replace(PROBE.evidence.results[0], status=status, detections=(), heatmap=heat)
        evidence = msgspec.structs.replace(
            PROBE.evidence, results=(seen,), events=(), missing=("vision.cam1",)
        )
        made.append(VerdictRecord(verdict=PROBE.verdict, evidence=evidence))
    return made


def said(language: Language, facts: Facts, cause: Cause) -> tuple[str, str]:
    english, other = word(facts, cause), word_in(language, facts, cause)
    return (
        f"{english.text} | {english.cause} | {english.recommended_action}",
        f"{other.text} | {other.cause} | {other.recommended_action}",
    )


@pytest.mark.parametrize("language", ["de", "zh"])
def test_no_english_is_left_and_every_figure_is_kept(language: Language) -> None:
    for record in incidents():
        facts = gather(record, LineContext())
        for cause in rank_causes(facts):
            english, other = said(language, facts, cause)
            names = {*facts.names, *cause.must_name, record.verdict.cause}
            known = {w.lower() for name in names for w in _WORD.findall(name.replace("_", " "))}
            known |= {w.lower() for quantity in facts.quantities for w in _WORD.findall(quantity.unit)}
            left = {w.lower() for w in _WORD.findall(english.replace("_", " "))}
            left &= {w.lower() for w in _WORD.findall(other.replace("_", " "))}
            german = (
                {"in", "war", "an", "was", "station", "hand", "die", "normal", "format"}
                if language == "de"
                else set()
            )
            assert left - known - _SAME - german == set(), other
            if language == "de":
                assert not re.search(r"(?<![\w.])\d+\.\d", other), other
                other = re.sub(r"(?<=\d),(?=\d)", ".", other)
            assert sorted(_NUMBER.findall(english)) == sorted(_NUMBER.findall(other)), other


def test_a_german_explanation_reads_well() -> None:
    facts = gather(PROBE, LineContext())
    worded = word_in("de", facts, rank_causes(facts)[0])
    assert worded.text == (
        "Teil PROBE1 wurde ausgeschleust, Defektwahrscheinlichkeit 0,93, über den nötigen 0,75. "
        "Kamera cam1 sah einen Kratzer, Score 0,91, bei x 40, y 30, 90 x 30 px. "
        "Sensor vibration1 (Schwingung): 7,8 mm/s, auffällig, über der Alarmgrenze von 7,1 mm/s."
    )


@pytest.mark.parametrize("name", ["saw", "centre", "abnormal", "at", "and", "x", "\x020\x03", "limits"])
def test_a_name_is_never_taken_for_a_phrase(name: str) -> None:
    found = msgspec.structs.replace(PROBE.evidence.results[0].detections[0], label=name)
    result = msgspec.structs.replace(PROBE.evidence.results[0], detections=(found,))
    record = VerdictRecord(
        verdict=PROBE.verdict, evidence=msgspec.structs.replace(PROBE.evidence, results=(result,))
    )
    facts = gather(record, LineContext())
    worded = word_in("de", facts, rank_causes(facts)[0])
    assert facts.labels[0] in worded.text
    assert not set("\x02\x03") & set(worded.text + worded.cause)


def test_the_site_chooses_the_language_of_the_template_too() -> None:
    explainer = start(ExplainerConfig(language="zh"), LineContext(), SystemClock())
    assert explainer.fault == ""
    assert explainer.template(PROBE).text.startswith("工件 PROBE1 已剔除")
