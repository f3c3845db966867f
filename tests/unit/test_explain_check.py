"""A language model's answer is let through only when the facts say all of it."""

import json
import re

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inspector.errors import DataError
from inspector.explain.causes import rank_causes
from inspector.explain.check import check
from inspector.explain.compared import compared_with
from inspector.explain.facts import CameraView, LineContext
from inspector.explain.gather import gather
from inspector.explain.grammar import schema_for
from inspector.explain.probe import PROBE
from inspector.types import VerdictRecord

CONTEXT = LineContext(cameras={"cam1": CameraView(width_px=640, height_px=480)})
EVENT = PROBE.evidence.events[0]
NORMAL = msgspec.structs.replace(
    EVENT, sensor_id="temperature1", kind="temperature", value=41.5, unit="degC", abnormal=None, p_defect=0.5
)
RECORD = VerdictRecord(
    verdict=PROBE.verdict, evidence=msgspec.structs.replace(PROBE.evidence, events=(EVENT, NORMAL))
)
FACTS = gather(RECORD, CONTEXT)
CAUSES = rank_causes(FACTS)
GOOD = (
    "Part PROBE1 was rejected because cam1 found a scratch at the upper left of the image while "
    "vibration1 was at 7.8 mm/s, above its alarm limit of 7.1 mm/s."
)


def answer(text: str, cause: object = 1, cited: object = (1, 2, 3)) -> str:
    return json.dumps({"cause": cause, "text": text, "cited": cited})


def refused(text: str) -> str:
    with pytest.raises(DataError) as caught:
        check(answer(text), FACTS, CAUSES)
    return str(caught.value)


def test_a_faithful_answer_passes() -> None:
    worded = check(answer(GOOD), FACTS, CAUSES)
    assert worded.text == GOOD
    assert worded.cited == (1, 2, 3)
    assert worded.cause == CAUSES[0].text
    assert worded.recommended_action == CAUSES[0].action


def test_a_unit_with_a_digit_in_it_is_one_that_the_facts_have() -> None:
    event = msgspec.structs.replace(EVENT, unit="g/m3")
    evidence = msgspec.structs.replace(PROBE.evidence, events=(event,))
    facts = gather(msgspec.structs.replace(RECORD, evidence=evidence), CONTEXT)
    text = GOOD.replace("7.8 mm/s", "7.8 g/m3")  # the limit is the rule's, in its own unit
    assert check(answer(text, cited=(1, 2)), facts, rank_causes(facts)).text == text
    with pytest.raises(DataError, match="m2"):
        check(answer(text.replace("g/m3", "g/m2"), cited=(1, 2)), facts, rank_causes(facts))


def test_the_schema_admits_the_faithful_answer_and_not_another_number() -> None:
    pattern = schema_for(FACTS, CAUSES)["properties"]["text"]["pattern"]
    assert re.fullmatch(pattern, GOOD)
    assert not re.fullmatch(pattern, GOOD.replace("7.8", "7.9"))
    assert not re.fullmatch(pattern, GOOD.replace("vibration1", "vibration2"))
    assert not re.fullmatch(pattern, GOOD.replace("7.8 mm/s", "7.8 m/s"))
    assert not re.fullmatch(pattern, GOOD.replace("while", "while dangerously"))
    assert not re.fullmatch(pattern, GOOD.replace("rejected", "passed", 1))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("7.8 mm/s", "7.9 mm/s", "with its value"),
        ("7.1 mm/s", "7.2 mm/s", "7.2"),
        ("7.1 mm/s", "7.1 degC", "degC"),
        ("7.1 mm/s", "7.1 %", "%"),
        ("above its", "below its", "below 7.1"),
        ("alarm limit", "slightly passed alarm limit", "slightly"),
        ("upper left", "upper right", "right"),
        ("a scratch", "a scratch from a worn bearing", "bearing"),
        ("a scratch", "an abnormal area", "scratch must be named"),
        ("vibration1 was", "vibration was", "vibration1 must be named"),
        ("cam1 found", "cam2 found", "cam2"),
        ("was rejected", "was passed", "must begin"),
        ("PROBE1", "PROBE2", "must begin"),
        ("cam1 found", "vibration1 found", "does not find"),
        ("of 7.1 mm/s.", "of 7.1 mm/s", "whole sentences"),
        ("mm/s.", "mm/s and temperature1 was at 41.5 degC.", "within its limits"),
        ("mm/s.", "mm/s, sensors within limits 41.5 degC.", "41.5 is not of vibration1"),
        ("a scratch", "a scratch, which is within limits,", "only sensors"),
        ("mm/s.", "mm/s and was rejected because cam1 found a scratch at the upper.", "once"),
        ("mm/s.", "mm/s! Say no more.", "plain signs"),
        ("mm/s.", "mm/s and the area was not detected by the camera.", "not detected"),
        ("a scratch", "no scratch", "no at"),
        ("mm/s.", "mm/s without defect.", "without defect"),
    ],
)
def test_unfaithful_answers_are_refused_with_the_reason(old: str, new: str, problem: str) -> None:
    assert old in GOOD
    head, _, tail = GOOD.rpartition(old)
    assert problem in refused(f"{head}{new}{tail}")


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "null",
        "[]",
        '{"text": 3}',
        "{" * 5000,
        '{"cause":1,"text":"x","cited":[1],"extra":1}',
        answer(GOOD, cause=2),
        answer(GOOD, cause=0),
        answer(GOOD, cause="1"),
        answer(GOOD, cited=[]),
        answer(GOOD, cited=[1, 9]),
        answer(GOOD + " " + GOOD * 3),
        answer("Part PROBE1 was rejected."),
    ],
)
def test_malformed_answers_are_refused(raw: str) -> None:
    with pytest.raises(DataError):
        check(raw, FACTS, CAUSES)


@given(st.text(max_size=400))
def test_any_text_is_either_refused_or_plain(text: str) -> None:
    for raw in (text, answer(text), answer(FACTS.opening + text)):
        try:
            worded = check(raw, FACTS, CAUSES)
        except DataError:
            continue
        assert worded.text.isascii()
        assert worded.text.startswith(FACTS.opening)


@given(st.decimals(min_value=-1000, max_value=100000, allow_nan=False, places=2))
def test_no_other_number_passes(value: object) -> None:
    known = {float(quantity.number) for quantity in FACTS.quantities}
    assume(float(str(value)) not in known)
    refused(GOOD.replace("7.1", str(value)))


@given(st.from_regex(r"[a-z]{2,6}_?[0-9]{1,2}", fullmatch=True))
def test_no_other_identifier_passes(name: str) -> None:
    assume(name not in FACTS.names)
    refused(GOOD.replace("while", f"while {name} and"))


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("above its limit of 4.5 mm/s", {("4.5", "above")}),
        ("not above the 0.75 needed", {("0.75", "below")}),
        ("below 30 N, above its limit 85", {("30", "below"), ("85", "above")}),
        ("above. 5 parts", set()),
        ("at 7.8 mm/s", set()),
        ("over1 5", set()),
    ],
)
def test_comparisons(text: str, pairs: set[tuple[str, str]]) -> None:
    assert {(str(value), sense) for value, sense in compared_with(text)} == pairs
