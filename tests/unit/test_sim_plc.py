"""The PLC's program: one action for each part, by its deadline, whatever the cell does."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from line_sim.parts import PlannedPart, part_id_of
from line_sim.plc import Plc
from line_sim.plc_outputs import Acknowledge, Act, Brake, Fields, Note, PlcOutput
from line_sim.score import score_line

MS = 1_000_000
UTC = 1_763_822_831_000_000_000
DEADLINE_MS = 100


def _part(number: int, defect: str | None = None) -> PlannedPart:
    return PlannedPart(number, part_id_of(number), defect, number)


def _verdict(number: int, action: str = "PASS", seq: int | None = None, **changes: Any) -> bytes:
    decision = {"HOLD": "PENDING", "STOP": "EMERGENCY_BRAKE"}.get(action, "CONFIRMED_ACTION")
    data: dict[str, Any] = {
        "verdict_id": f"v{number}",
        "part_id": part_id_of(number) if number else "",
        "seq": number if seq is None else seq,
        "decision": decision,
        "action": action,
        "reason": "GOOD",
        "cause": "",
        "missing": "",
        "confidence": 0.9,
        "p_defect": 0.1,
        "failsafe": False,
        "skew_ms": 0.0,
        "latency_ms": 5.0,
        "trigger_utc_ns": UTC,
        "valid_until_utc_ns": UTC + 10**9,
        "model": "0" * 12,
        "config": "0" * 12,
        "ok": action == "PASS",
        "ng": action == "REJECT",
    }
    return json.dumps({**data, **changes, "ready": True}).encode()


def _acts(outputs: list[PlcOutput]) -> list[tuple[int, str]]:
    return [(o.part_number, o.action) for o in outputs if isinstance(o, Act)]


def _notes(outputs: list[PlcOutput], event: str) -> list[Fields]:
    return [o.fields for o in outputs if isinstance(o, Note) and o.event == event]


def _acks(outputs: list[PlcOutput]) -> list[str]:
    return [o.action for o in outputs if isinstance(o, Acknowledge)]


def test_a_verdict_in_time_is_obeyed_and_acknowledged() -> None:
    plc = Plc(DEADLINE_MS)
    plc.trigger(_part(1, "crack"), 0)
    outputs = plc.verdict(_verdict(1, "REJECT"), 40 * MS, UTC)
    assert _acts(outputs) == [(1, "REJECT")]
    assert _acks(outputs) == ["REJECT"]
    note = _notes(outputs, "verdict")[0]
    assert (note["since_trigger_ms"], note["in_time"], note["defect"]) == (40.0, True, "crack")
    assert plc.tick(200 * MS) == []
    assert plc.hold_until_ns() is None


def test_at_the_deadline_the_failsafe_acts_and_a_later_verdict_does_not() -> None:
    plc = Plc(DEADLINE_MS)
    plc.trigger(_part(1), 0)
    assert plc.hold_until_ns() == plc.next_deadline_ns() == 100 * MS + 1
    assert plc.tick(100 * MS) == []
    outputs = plc.tick(100 * MS + 1)
    assert _acts(outputs) == [(1, "HOLD")]
    assert len(_notes(outputs, "late")) == 1
    later = plc.verdict(_verdict(1), 130 * MS, UTC)
    assert _acts(later) == []
    assert _acks(later) == ["HOLD"]  # what was done, not what was asked for
    score = score_line(plc.outcomes(), plc.counts())
    assert (score.late, score.parts_with_one_verdict, score.overkill) == (1, 1, 1)


def test_a_stale_verdict_is_not_acted_on() -> None:
    plc = Plc(DEADLINE_MS)
    plc.trigger(_part(1), 0)
    outputs = plc.verdict(_verdict(1, valid_until_utc_ns=UTC - 1), 40 * MS, UTC)
    assert _acts(outputs) == []
    assert _notes(outputs, "verdict")[0]["stale"] is True
    assert _acts(plc.tick(101 * MS)) == [(1, "HOLD")]
    assert score_line(plc.outcomes(), plc.counts()).stale == 1


def test_a_second_verdict_is_a_duplicate_and_the_same_one_again_is_not() -> None:
    plc = Plc(DEADLINE_MS)
    plc.trigger(_part(1), 0)
    plc.verdict(_verdict(1), 40 * MS, UTC)
    again = plc.verdict(_verdict(1), 50 * MS, UTC)
    assert _acts(again) == []
    other = plc.verdict(_verdict(1, "REJECT", seq=2, verdict_id="w"), 60 * MS, UTC)
    assert _acts(other) == []
    score = score_line(plc.outcomes(), plc.counts())
    assert (score.duplicates, score.redelivered, score.violations) == (1, 1, 0)


def test_an_emergency_brakes_at_once_and_says_how_fast() -> None:
    plc = Plc(DEADLINE_MS)
    plc.urgent(10 * MS)
    plc.urgent(12 * MS)  # the same emergency, said by another sensor
    outputs = plc.verdict(_verdict(0, "STOP", seq=1, verdict_id="e"), 14 * MS, UTC)
    assert [o.cause for o in outputs if isinstance(o, Brake)] == [""]
    assert _notes(outputs, "emergency")[0]["since_urgent_ms"] == 4.0
    assert _acks(outputs) == ["STOP"]
    counts = plc.counts()
    assert (counts.emergencies_raised, counts.emergencies_braked) == (1, 1)


def test_an_emergency_without_an_answer_is_missed() -> None:
    plc = Plc(DEADLINE_MS)
    plc.urgent(0)
    assert plc.hold_until_ns() == 100 * MS + 1
    assert _notes(plc.tick(101 * MS), "emergency_missed")
    assert plc.hold_until_ns() is None
    score = score_line(plc.outcomes(), plc.counts())
    assert score.emergencies_missed == 1


def test_a_part_in_flight_is_stopped_with_the_line() -> None:
    plc = Plc(DEADLINE_MS)
    plc.trigger(_part(1, "dent"), 0)
    outputs = plc.verdict(_verdict(1, "STOP", reason="EMERGENCY"), 20 * MS, UTC)
    assert _acts(outputs) == [(1, "STOP")]
    assert any(isinstance(o, Brake) for o in outputs)
    score = score_line(plc.outcomes(), plc.counts())
    assert (score.judged, score.stopped, score.escapes) == (0, 1, 0)


def test_an_undelivered_notice_is_the_verdict_but_late_and_explains_the_gap() -> None:
    plc = Plc(DEADLINE_MS)
    for number in (1, 2, 3):
        plc.trigger(_part(number), number * MS)
    plc.verdict(_verdict(1), 10 * MS, UTC)
    plc.verdict(_verdict(3), 12 * MS, UTC)
    notice = {"verdict_id": "v2", "part_id": part_id_of(2), "decision": "PENDING"}
    payload = json.dumps({**notice, "action": "HOLD", "reason": "LOW_CONFIDENCE", "expired_utc_ns": UTC})
    assert _acts(plc.undelivered(payload.encode(), 90 * MS)) == []
    assert _acts(plc.tick(200 * MS)) == [(2, "HOLD")]
    score = score_line(plc.outcomes(), plc.counts())
    assert score.complete
    assert (score.late, score.undelivered, score.violations) == (1, 1, 0)


def test_a_gap_that_nothing_explains_is_a_violation() -> None:
    plc = Plc(DEADLINE_MS)
    for number in (1, 4):
        plc.trigger(_part(number), 0)
        plc.verdict(_verdict(number), 10 * MS, UTC)
    assert plc.counts().violations == 2


def test_a_verdict_for_a_part_that_is_not_there_is_a_violation() -> None:
    plc = Plc(DEADLINE_MS)
    outputs = plc.verdict(_verdict(9), 0, UTC)
    assert _notes(outputs, "violation")[0]["text"] == "no such part is on the line"
    assert _acts(outputs) == []
    assert _acks(outputs) == []


def test_explanations_are_owed_for_every_part_that_did_not_pass() -> None:
    plc = Plc(DEADLINE_MS)
    for number, action in ((1, "PASS"), (2, "REJECT"), (3, "HOLD")):
        plc.trigger(_part(number), 0)
        plc.verdict(_verdict(number, action), 10 * MS, UTC)
    assert plc.missing_explanations() == 2
    for name in ("v2", "v2", "v3"):
        text = {"verdict_id": name, "part_id": "", "text": "t" * 300, "cause": "crack"}
        plc.explanation(json.dumps(text).encode(), 20 * MS)
    assert plc.missing_explanations() == 0
    assert plc.counts().explanations == 2
    outputs = plc.explanation(b"{" * 5000, 30 * MS)
    assert len(_notes(outputs, "violation")) == 2  # too long, and not JSON


def test_the_latch_follows_the_state() -> None:
    plc = Plc(DEADLINE_MS)
    assert plc.latched is None
    for latched in (True, False):
        state = {"state": "ContinuousExecution", "emergency_latched": latched, "utc_ns": UTC}
        plc.notice("state", json.dumps(state).encode(), 0)
        assert plc.latched is latched


steps = st.lists(
    st.one_of(
        st.tuples(st.just("trigger"), st.integers(1, 12)),
        st.tuples(st.sampled_from(["PASS", "REJECT", "HOLD", "STOP"]), st.integers(0, 12)),
        st.tuples(st.just("undelivered"), st.integers(0, 12)),
        st.tuples(st.just("garbage"), st.integers(0, 3)),
        st.tuples(st.just("urgent"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 300)),
    ),
    max_size=50,
)


@given(steps)
def test_each_part_gets_one_action_by_its_deadline_in_any_history(history: list[tuple[str, int]]) -> None:
    plc, now_ns, triggered = Plc(DEADLINE_MS), 0, dict[int, int]()
    acted: dict[int, int] = {}
    for seq, (what, number) in enumerate(history, start=1):
        now_ns += MS
        outputs = plc.tick(now_ns)
        if what == "trigger" and number not in triggered:
            plc.trigger(_part(number), now_ns)
            triggered[number] = now_ns
        elif what == "undelivered":
            notice = {"verdict_id": f"u{seq}", "part_id": part_id_of(number), "action": "HOLD"}
            outputs += plc.undelivered(json.dumps(notice).encode(), now_ns)
        elif what == "garbage":
            outputs += plc.verdict(b"\x00{[]"[number:], now_ns, UTC)
        elif what == "urgent":
            plc.urgent(now_ns)
        elif what == "wait":
            for _ in range(number):
                now_ns += MS
                for part, _ in _acts(plc.tick(now_ns)):
                    assert part not in acted
                    acted[part] = now_ns
                due = plc.next_deadline_ns()
                assert due is None or due > now_ns
        elif what != "trigger":
            outputs += plc.verdict(_verdict(number, what, seq, verdict_id=f"v{seq}"), now_ns, UTC)
        for part, _ in _acts(outputs):
            assert part not in acted
            acted[part] = now_ns
    plc.tick(now_ns + 1000 * MS)
    assert plc.undecided() == 0
    assert plc.hold_until_ns() is None
    for part, at_ns in acted.items():
        assert at_ns <= triggered[part] + (DEADLINE_MS + 1) * MS + MS
    outcomes = plc.outcomes()
    assert {o.part_id for o in outcomes} == {part_id_of(n) for n in triggered}
    assert all(o.action is not None for o in outcomes)
