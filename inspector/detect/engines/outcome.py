"""What became of one frame in an engine, and the result that it makes."""

from dataclasses import dataclass

from inspector.detect.model.decode import Decoded
from inspector.types import Frame, FrameContext, FrameResult, ResultStatus


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reason` says why there is no `decoded`, for people."""

    frame: Frame
    status: ResultStatus
    reason: str
    decoded: Decoded | None
    context: FrameContext | None
    started_ns: int


def frame_result(outcome: Outcome, model_sha256: str, finished_ns: int) -> FrameResult:
    """The message for the other services. Pure."""
    meta, decoded = outcome.frame.meta, outcome.decoded
    return FrameResult(
        camera_id=meta.camera_id,
        frame_id=meta.frame_id,
        exposure_start_ns=meta.exposure_start_ns,
        clock_uncertainty_us=meta.clock_uncertainty_us,
        received_ns=meta.received_ns,
        width_px=meta.width_px,
        height_px=meta.height_px,
        model_sha256=model_sha256,
        status=outcome.status,
        reason=outcome.reason,
        context=outcome.context,
        p_defect=decoded.p_defect if decoded else None,
        anomaly_score=decoded.anomaly_score if decoded else None,
        detections=decoded.detections if decoded else (),
        heatmap=decoded.heatmap if decoded else None,
        started_ns=outcome.started_ns,
        finished_ns=finished_ns,
    )
