"""The arbiter's rules, one by one."""

import msgspec
import pytest
from decide_line import MS, Line, opinions_offered, reading, result, setup_for, trigger
from msgspec.structs import replace

from inspector.config import DecisionConfig
from inspector.types import (
    Action,
    Command,
    CommandKind,
    Decision,
    Health,
    JudgedPart,
    Opinion,
    ReasonCode,
    ResultStatus,
    Resumed,
    ServiceState,
)


def test_confident_defect_is_rejected_as_soon_as_the_evidence_is_complete() -> None:
    line = Line(setup_for())
    assert line.at(1000, trigger=trigger(1, 1000)) == []
    (verdict,) = line.at(1022, result=result(1, 1002, 0.97))
    assert (verdict.decision, verdict.action) == (Decision.CONFIRMED_ACTION, Action.REJECT)
    assert verdict.confidence == pytest.approx(0.97)
    assert verdict.decided_ns == 1022 * MS
    assert verdict.weights == {"vision": 1.0}


def test_a_result_that_overtakes_its_trigger_is_kept_for_it() -> None:
    line = Line(setup_for())
    line.at(1018, result=result(1, 1001, 0.02))
    (verdict,) = line.at(1030, trigger=trigger(1, 1000, 1030))
    assert verdict.action is Action.PASS


def test_a_missing_modality_neither_vetoes_nor_confirms() -> None:
    alone = Line(setup_for())
    alone.at(0, trigger=trigger(1, 0))
    (by_vision,) = alone.at(20, result=result(1, 0, 0.8))
    assert by_vision.p_defect == pytest.approx(0.8)
    assert by_vision.decision is Decision.CONFIRMED_ACTION


def test_without_vision_the_part_is_held_at_its_deadline_and_says_what_is_missing() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    (verdict,) = line.at(500)
    assert verdict.decided_ns == 180 * MS
    assert (verdict.action, verdict.failsafe) == (Action.HOLD, True)
    assert verdict.reason_code is ReasonCode.EVIDENCE_MISSING
    assert verdict.missing == ("vision.cam1",)


def test_the_verdict_names_the_service_whose_outage_took_the_evidence() -> None:
    line = Line(setup_for())
    dead = Health(
        service="detector", pid=1, state=ServiceState.DEAD, detail="signal 9", at_ns=10 * MS, counters={}
    )
    line.at(0, trigger=trigger(1, 0))
    line.at(10, health=dead)
    (verdict,) = line.at(300)
    assert verdict.cause == "detector down"


def test_an_invalid_frame_is_evidence_missing_and_not_a_pass() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    (verdict,) = line.at(30, result=result(1, 0, None, status=ResultStatus.INVALID_FRAME))
    assert verdict.action is Action.HOLD
    assert verdict.missing == ("vision.cam1",)


def test_low_confidence_waits_for_readings_until_the_window_closes_then_is_pending() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    assert line.at(20, result=result(1, 0, 0.6)) == []
    (verdict,) = line.at(100)
    assert verdict.decided_ns == 50 * MS
    assert (verdict.decision, verdict.reason_code) == (Decision.PENDING, ReasonCode.LOW_CONFIDENCE)


def test_a_suspicious_reading_inside_the_window_counts_and_one_outside_does_not() -> None:
    inside, outside = Line(setup_for()), Line(setup_for())
    for line, at_ms in ((inside, -49.0), (outside, -51.0)):
        line.at(0, event=reading(1, at_ms, p=0.95))
        line.at(0, trigger=trigger(1, 0))
        line.at(20, result=result(1, 0, 0.6))
        line.at(100)
    assert inside.verdicts[0].action is Action.REJECT
    assert inside.verdicts[0].modalities == ("sensors", "vision")
    assert outside.verdicts[0].p_defect == pytest.approx(0.6)


def test_emergency_comes_first_takes_the_open_parts_and_latches_until_reset() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    stop, part = line.at(5, event=reading(1, 5, urgency=0.95))
    assert (stop.part_id, stop.decision, stop.action) == ("", Decision.EMERGENCY_BRAKE, Action.STOP)
    assert (part.part_id, part.decision) == ("P1", Decision.EMERGENCY_BRAKE)
    (latched,) = line.at(100, trigger=trigger(2, 100))
    assert latched.reason_code is ReasonCode.LATCHED
    line.at(200, command=reset(200))
    line.at(300, trigger=trigger(3, 300))
    (after,) = line.at(320, result=result(9, 300, 0.01))
    assert after.action is Action.PASS


def reset(received_ms: float) -> Command:
    return Command(kind=CommandKind.RESET, source="hmi", received_ns=round(received_ms * MS))


def test_a_reset_from_before_an_emergency_does_not_end_it() -> None:
    line = Line(setup_for())
    line.at(6, event=reading(1, 5, urgency=0.95))
    line.at(6, command=reset(4))  # of the same poll: events are taken before commands
    (latched,) = line.at(100, trigger=trigger(2, 100))
    assert latched.reason_code is ReasonCode.LATCHED
    line.at(200, command=reset(200))
    assert line.arbiter.latched_by is None


def test_an_emergency_from_before_a_reboot_can_be_reset() -> None:
    line = Line(setup_for())
    line.at(10, resumed=Resumed(latched_by=reading(1, 9_000_000, urgency=0.95)))
    (latched,) = line.at(100, trigger=trigger(2, 100))
    assert latched.reason_code is ReasonCode.LATCHED
    line.at(200, command=reset(200))
    assert line.arbiter.latched_by is None


@pytest.mark.parametrize("hertz", [10_000, 100_000])
def test_a_fast_sensor_does_not_push_its_own_alarm_out_of_the_evidence(hertz: int) -> None:
    line = Line(setup_for())
    line.at(1000, event=reading(1, 955, p=0.999))
    line.at(1000, trigger=trigger(1, 1000))
    for n in range(hertz // 10):
        at_ms = 955 + (n + 1) * 1000 / hertz
        line.at(at_ms, event=reading(n + 2, at_ms, p=0.01))
    line.at(1100, result=result(1, 1002, 0.02))
    line.at(1400)
    (record,) = line.records
    assert max(event.p_defect or 0.0 for event in record.evidence.events) == 0.999
    assert record.verdict.action is not Action.PASS
    assert len(record.evidence.events) <= 4096
    assert (line.arbiter.counters["readings_thinned"] > 0) == (hertz > 50_000)


def test_urgency_at_the_limit_is_not_over_it() -> None:
    line = Line(setup_for())
    assert line.at(0, event=reading(1, 0, urgency=0.8)) == []


def test_a_repeated_trigger_is_not_a_second_part() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    line.at(20, result=result(1, 0, 0.01))
    line.at(30, trigger=trigger(1, 0))
    line.at(1000)
    assert len(line.verdicts) == 1
    assert line.arbiter.counters["duplicate_triggers"] == 1


def test_a_trigger_after_its_own_deadline_is_pending_and_says_so() -> None:
    line = Line(setup_for())
    line.at(20, result=result(1, 0, 0.01))
    (verdict,) = line.at(5000, trigger=trigger(1, 0, 5000))
    assert verdict.reason_code is ReasonCode.TRIGGER_LATE
    assert (verdict.decision, verdict.action) == (Decision.PENDING, Action.HOLD)
    assert verdict.p_defect == pytest.approx(0.01), "what was known is still said"


def test_each_result_goes_to_the_nearest_part() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    line.at(60, trigger=trigger(2, 60))
    (second,) = line.at(70, result=result(2, 58, 0.99))
    assert second.part_id == "P2"
    (first,) = line.at(71, result=result(1, 3, 0.01))
    assert first.part_id == "P1"


def test_all_cameras_are_awaited_and_the_worst_view_decides() -> None:
    line = Line(setup_for(cameras=("cam1", "cam2")))
    line.at(0, trigger=trigger(1, 0))
    assert line.at(20, result=result(1, 0, 0.01)) == []
    (verdict,) = line.at(25, result=result(1, 1, 0.99, camera="cam2"))
    assert verdict.action is Action.REJECT


def test_an_opinion_is_asked_only_when_it_can_come_in_time_and_then_counts() -> None:
    setup = replace(setup_for(), decision=DecisionConfig(deadline_ms=2000, opinion_budget_ms=800))
    line = Line(setup)
    offered = opinions_offered()
    line.at(0, health=offered)
    line.at(0, trigger=trigger(1, 0))
    line.at(20, result=result(1, 0, 0.65))
    assert [request.part_id for request in line.asked] == ["P1"]
    opinion = Opinion(part_id="P1", p_defect=0.99, latency_ms=500, model_sha256="l" * 64)
    (verdict,) = line.at(600, opinion=opinion)
    assert verdict.action is Action.REJECT
    assert "opinion" in verdict.modalities
    late = Line(setup_for())
    late.at(0, health=offered)
    late.at(0, trigger=trigger(1, 0))
    late.at(20, result=result(1, 0, 0.65))
    assert late.asked == []


def test_after_the_deadline_only_the_failsafe_is_left() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    line.stall(300)  # the machine was too busy to let us run
    (verdict,) = line.verdicts
    assert (verdict.action, verdict.failsafe) == (Action.HOLD, True)


def test_an_arbiter_that_resumes_judges_what_was_left_open_and_nothing_twice() -> None:
    line = Line(setup_for())
    line.at(5000, resumed=Resumed(judged=(JudgedPart(part_id="P1", trigger_ns=3 * MS),), seq=7))
    assert line.at(5000, trigger=trigger(1, 0)) == [], "the same but for the host's reading of UTC"
    (verdict,) = line.at(5001, trigger=trigger(2, 100))
    assert (verdict.part_id, verdict.seq, verdict.action) == ("P2", 8, Action.HOLD)
    assert (verdict.reason_code, verdict.cause) == (ReasonCode.EVIDENCE_MISSING, "arbiter down")


def test_a_restart_does_not_release_an_emergency() -> None:
    line = Line(setup_for())
    line.at(5000, resumed=Resumed(latched_by=reading(1, 10, urgency=0.95)))
    (verdict,) = line.at(5010, trigger=trigger(1, 5010))
    assert (verdict.reason_code, verdict.action) == (ReasonCode.LATCHED, Action.STOP)


def test_one_sensor_gone_mad_pushes_out_no_other_readings() -> None:
    line = Line(setup_for(sensors=("force",)))
    mad = reading(0, 0)
    line.at(0, event=msgspec.structs.replace(mad, sensor_id="force", seq=1, p_defect=0.97))
    for index in range(3000):
        line.at(0, event=msgspec.structs.replace(mad, seq=index, observed_ns=index * 1000))
    line.at(10, trigger=trigger(1, 0))
    (verdict,) = line.at(20, result=result(1, 0, 0.6))
    assert verdict.action is Action.REJECT


def test_a_plc_that_counts_from_one_again_makes_new_parts() -> None:
    line = Line(setup_for())
    for at_ms in (1000, 9000):
        line.at(at_ms, trigger=trigger(1, at_ms))
        line.at(at_ms + 20, result=result(1, at_ms, 0.01))
    assert [verdict.part_id for verdict in line.verdicts] == ["P1", "P1"]
