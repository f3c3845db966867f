"""The demo's figures come from the times in the messages, stage by stage."""

import pytest

from inspector.services.demo_summary import Measured, percentiles, summarise
from inspector.types import (
    Action,
    Decision,
    FrameResult,
    PartEvidence,
    ReasonCode,
    ResultStatus,
    Verdict,
    VerdictRecord,
)

MS = 1_000_000


def record(verdict_id: str, *, with_frame: bool = True) -> VerdictRecord:
    result = FrameResult(
        camera_id="cam1",
        frame_id=1,
        exposure_start_ns=0,
        received_ns=8 * MS,
        model_sha256="m",
        status=ResultStatus.OK,
        p_defect=0.1,
        started_ns=9 * MS,
        finished_ns=19 * MS,
    )
    verdict = Verdict(
        verdict_id=verdict_id,
        part_id="P1",
        seq=1,
        decision=Decision.CONFIRMED_ACTION,
        action=Action.PASS,
        reason_code=ReasonCode.GOOD,
        confidence=0.9,
        p_defect=0.1,
        weights={},
        skew_ms=0.0,
        modalities=(),
        missing=(),
        cause="",
        trigger_ns=0,
        decided_ns=20 * MS,
        deadline_ns=250 * MS,
        valid_until_ns=500 * MS,
        failsafe=False,
        config_sha256="c",
        model_sha256="m",
    )
    evidence = PartEvidence(
        part_id="P1",
        trigger_ns=0,
        results=(result,) if with_frame else (),
        window_start_ns=-50 * MS,
        window_end_ns=50 * MS,
    )
    return VerdictRecord(verdict=verdict, evidence=evidence)


def test_latency_counts_from_frame_complete_to_the_subscriber_and_the_stages_add_up() -> None:
    measured = Measured(
        {"v1": record("v1"), "v2": record("v2", with_frame=False)}, {"v1": 22 * MS, "v2": 9 * MS}
    )
    counters = {
        "camera.cam1": {"frames_lost": 2.0, "frames_incomplete": 1.0},
        "detector": {"frames_dropped": 4.0},
    }
    summary = summarise({"parts": 2}, measured, counters)
    assert summary["latency_ms"] == {"p50": 14.0, "p95": 14.0, "p99": 14.0}
    stages = {name: times["p50"] for name, times in summary["stages_ms"].items()}
    assert stages == {"acquire": 8.0, "queue": 1.0, "detect": 10.0, "decide": 1.0, "deliver": 2.0}
    assert sum(stages.values()) - stages["acquire"] == pytest.approx(14.0)
    assert summary["frames_lost"] == 7
    assert summary["parts"] == 2


def test_no_frames_give_no_figures_rather_than_zeros() -> None:
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None}
