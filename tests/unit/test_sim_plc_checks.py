"""What the PLC accepts: the letter of the MQTT interface, and nothing that a controller chokes on."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from line_sim.plc_checks import SequenceCheck, check_verdict, read_flat

GOOD: dict[str, Any] = {
    "verdict_id": "a1b2c3-7",
    "part_id": "P000123",
    "seq": 7,
    "decision": "CONFIRMED_ACTION",
    "action": "REJECT",
    "reason": "DEFECT",
    "cause": "crack",
    "missing": "",
    "confidence": 0.97,
    "p_defect": 0.97,
    "failsafe": False,
    "skew_ms": 3.1,
    "latency_ms": 9.4,
    "trigger_utc_ns": 1763822831000000000,
    "valid_until_utc_ns": 1763822831500000000,
    "model": "0123456789ab",
    "config": "ba9876543210",
    "ok": False,
    "ng": True,
    "ready": True,
}
PASS = {"action": "PASS", "reason": "GOOD", "ok": True, "ng": False}
HOLD = {"decision": "PENDING", "action": "HOLD", "reason": "LOW_CONFIDENCE", "ng": False}
STOP = {"decision": "EMERGENCY_BRAKE", "action": "STOP", "reason": "EMERGENCY", "ng": False}


def _payload(**changes: Any) -> bytes:
    data = {k: v for k, v in {**GOOD, **changes}.items() if v is not ...}
    return json.dumps(data, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        PASS,
        HOLD,
        {**HOLD, "action": "REJECT", "ng": True, "failsafe": True},
        {**STOP, "part_id": ""},
        {**STOP, "reason": "LATCHED"},
        {"ok": 0, "ng": 1},
        {"p_defect": -1, "latency_ms": -1},
    ],
)
def test_a_right_verdict_is_taken_without_complaint(changes: dict[str, Any]) -> None:
    checked = check_verdict(_payload(**changes))
    assert checked.violations == ()
    assert checked.verdict is not None
    assert checked.verdict.action == changes.get("action", "REJECT")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cause": "x" * 65}, "65 characters"),
        ({"model": "y" * 60, "config": "z" * 60, "missing": "m" * 60, "cause": "c" * 60}, "at most 512"),
        ({"reason": "BECAUSE"}, "reason BECAUSE is unknown"),
        ({"reason": ...}, "reason is missing"),
        ({"confidence": 1.2}, "confidence"),
        ({"p_defect": 3}, "p_defect"),
        ({"skew_ms": "3"}, "skew_ms has the wrong type"),
        ({"seq": 7, "failsafe": 0}, "failsafe has the wrong type"),
        ({"model": None}, "model has the wrong type"),
        ({"action": "PASS", "ok": True, "ng": False, "part_id": ""}, "part_id is empty"),
    ],
)
def test_a_small_fault_is_noted_and_the_verdict_taken(changes: dict[str, Any], words: str) -> None:
    checked = check_verdict(_payload(**changes))
    assert any(words in violation for violation in checked.violations)
    assert checked.verdict is not None


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (_payload(ok=True, ng=True), "contradict"),
        (_payload(ok=True, ng=False), "contradict"),
        (_payload(**{**PASS, "ok": False}), "contradict"),
        (_payload(ready=False), "not whole"),
        (_payload(ready=...), "not whole"),
        (_payload(ready=...)[:-1] + b',"ready":true,"later":1}', "later is unknown"),
        (_payload()[:-1], "not a JSON object"),
        (_payload(verdict_id=""), "verdict_id is empty"),
        (_payload(seq="7"), "seq has the wrong type"),
        (_payload(seq=True), "seq has the wrong type"),
        (_payload(seq=2**63), "seq has the wrong type"),
        (_payload(decision="MAYBE"), "decision MAYBE"),
        (_payload(decision="PENDING", **PASS), "does not go with"),
        (_payload(cause=["crack"]), "cause is not flat"),
        (_payload(cause={"a": 1}), "cause is not flat"),
        (_payload(valid_until_utc_ns=...), "valid_until_utc_ns is missing"),
        (json.dumps({**GOOD, "cause": "Riß"}, ensure_ascii=False).encode(), "not ASCII"),
        (_payload(confidence=float("nan")), "NaN is not JSON"),
        (_payload().replace(b'"seq":7', b'"seq":7,"seq":8'), "twice"),
        (_payload() + b" " * 1024, "receive buffer"),
        (b"[" * 1000, "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b"", "not a JSON object"),
        (b"\xff\xfe", "not ASCII"),
    ],
)
def test_what_cannot_be_relied_on_is_not_acted_on(payload: bytes, words: str) -> None:
    checked = check_verdict(payload)
    assert checked.verdict is None
    assert any(words in violation for violation in checked.violations), checked.violations


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary(max_size=700) | json_values.map(lambda v: json.dumps(v).encode()))
def test_no_payload_breaks_the_check(payload: bytes) -> None:
    checked = check_verdict(payload)
    assert checked.verdict is None
    assert checked.violations


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), json_values, max_size=4))
def test_a_verdict_with_any_fields_spoilt_is_safe(changes: dict[str, Any]) -> None:
    checked = check_verdict(_payload(**changes))
    if checked.verdict is None:
        assert checked.violations
        return
    # Whatever got through is something that a controller can act on.
    verdict = checked.verdict
    assert verdict.action in {"PASS", "REJECT", "HOLD", "STOP"}
    assert verdict.verdict_id
    assert -(2**63) <= verdict.seq < 2**63
    data = json.loads(_payload(**changes))
    assert bool(data.get("ok")) == (verdict.action == "PASS")


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=200), st.integers(1, 300))
def test_read_flat_keeps_what_was_written(text: str, max_chars: int) -> None:
    data, violations = read_flat(json.dumps({"text": text}).encode(), 4096, max_chars)
    assert data == {"text": text}
    assert bool(violations) == (len(text) > max_chars)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40, unique=True))
def test_skipped_numbers_are_those_that_are_missing(missing: list[int]) -> None:
    check = SequenceCheck()
    sent = [n for n in range(1, 35) if n not in missing]
    for seq in sent:
        check.take(seq)
    assert check.skipped == sum(sent[0] < n < sent[-1] for n in missing)
    assert check.restarts == 0


def test_a_restart_and_a_number_that_goes_back_are_told_apart() -> None:
    check = SequenceCheck()
    assert [check.take(n) for n in (5, 6, 1, 2)] == [None] * 4
    assert check.restarts == 1
    assert check.take(9) == "seq jumped from 2 to 9"
    assert check.take(8) == "seq went back from 9 to 8"
    assert check.take(10) is None
