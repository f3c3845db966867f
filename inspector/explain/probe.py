"""A made-up verdict that asks all that a real one does. For the health probe of a language model."""

from inspector.types import (
    Action,
    Decision,
    Detection,
    FrameResult,
    PartEvidence,
    Quality,
    ReasonCode,
    ResultStatus,
    SensorEvent,
    Verdict,
    VerdictRecord,
)

_P_DEFECT = 0.93

_RESULT = FrameResult(
    camera_id="cam1",
    frame_id=1,
    exposure_start_ns=0,
    received_ns=0,
    model_sha256="",
    status=ResultStatus.OK,
    p_defect=_P_DEFECT,
    detections=(Detection(label="scratch", score=0.91, box_px=(40, 30, 130, 60)),),
    started_ns=0,
    finished_ns=0,
)
_EVENT = SensorEvent(
    sensor_id="vibration1",
    kind="vibration",
    value=7.8,
    unit="mm/s",
    quality=Quality.GOOD,
    urgency=0.6,
    p_defect=0.8,
    abnormal="vibration 7.8 mm/s, above its alarm limit 7.1 mm/s",
    seq=1,
    observed_ns=0,
    received_ns=0,
)
PROBE = VerdictRecord(
    verdict=Verdict(
        verdict_id="probe",
        part_id="PROBE1",
        seq=1,
        decision=Decision.CONFIRMED_ACTION,
        action=Action.REJECT,
        reason_code=ReasonCode.DEFECT,
        confidence=_P_DEFECT,
        p_defect=_P_DEFECT,
        weights={},
        skew_ms=0.0,
        modalities=("sensors", "vision"),
        missing=(),
        cause="scratch",
        trigger_ns=0,
        decided_ns=0,
        deadline_ns=0,
        valid_until_ns=0,
        failsafe=False,
        config_sha256="",
        model_sha256="",
    ),
    evidence=PartEvidence(
        part_id="PROBE1",
        trigger_ns=0,
        results=(_RESULT,),
        events=(_EVENT,),
        window_start_ns=0,
        window_end_ns=0,
    ),
)
