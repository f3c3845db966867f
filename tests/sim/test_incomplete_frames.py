"""Packets that never come, through the whole cell: from the wire to the verdict that says what is missing."""

from collections.abc import Callable
from pathlib import Path

from whole_cell import Demo, assert_every_part_judged

from inspector.store.reader import SessionReader
from inspector.topics import RESULTS, VERDICTS
from inspector.types import Decision, ReasonCode, ResultStatus

PARTS = 6
# Nine of ten packets are lost, those that are sent again too: no frame can be completed.
SCENARIO = f"""
parts: {PARTS}
parts_per_s: 2.0
camera: {{packet_loss: 0.9}}
sensors:
  - {{id: vibration1, kind: vibration, unit: mm/s, mean: 1.8, sigma: 0.15, lead_ms: 8}}
  - {{id: gripper1, kind: gripper_force, unit: N, mean: 42.0, sigma: 0.8, lead_ms: 10}}
"""


def test_an_incomplete_frame_is_never_judged_and_its_part_says_what_is_missing(
    demo: Callable[..., Demo], tmp_path: Path
) -> None:
    (tmp_path / "cable.yaml").write_text(SCENARIO)
    run = demo("--scenario", str(tmp_path / "cable.yaml"), "--seed", "3")
    summary = run.summary()
    assert_every_part_judged(summary, PARTS)
    assert (summary["late"], summary["escapes"], summary["pending"]) == (0, 0, PARTS)
    session = SessionReader(Path(summary["session"]))
    results = list(session.messages(RESULTS))
    assert results
    assert {each.status for each in results} == {ResultStatus.INVALID_FRAME}
    assert all(each.p_defect is None and not each.detections for each in results)
    verdicts = [record.verdict for record in session.messages(VERDICTS) if record.verdict.part_id]
    assert len(verdicts) == PARTS
    for verdict in verdicts:
        assert any(each.partition(".")[0] == "vision" for each in verdict.missing)
        assert "vision" not in verdict.modalities
        assert verdict.decision is Decision.PENDING
        assert verdict.reason_code is ReasonCode.EVIDENCE_MISSING
        assert verdict.failsafe
