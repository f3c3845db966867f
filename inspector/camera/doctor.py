"""Opens a camera, tries it, and says what stands in its way."""

from inspector.camera.acquisition import Camera, open_camera
from inspector.camera.examine import CameraFacts, CameraFinding, examine
from inspector.camera.host_facts import host_facts
from inspector.camera.ptp_check import ptp_registers
from inspector.clock import NS_PER_MS, NS_PER_S, Clock
from inspector.config import CameraConfig, SfncValue
from inspector.errors import DataError

_WAIT_MS = 200


def diagnose(config: CameraConfig, clock: Clock, *, try_s: float = 2.0) -> list[CameraFinding]:
    """Take what a free-running camera sends in `try_s`, and judge. Raises as `open_camera` does."""
    with open_camera(config, clock) as camera:
        camera.start()
        triggered = camera.read("TriggerMode") == "On"
        if not triggered:
            _fetch_for(camera, clock, try_s)
        facts = _facts(camera, triggered=triggered)
        camera.stop()
        return list(examine(host_facts(camera.address), facts))


def _fetch_for(camera: Camera, clock: Clock, seconds: float) -> None:
    deadline_ns = clock.now_ns() + round(seconds * NS_PER_S)
    # A free-running camera that is silent for its timeout counts as lost; look before that.
    patience_ns = (camera.config.frame_timeout_ms - _WAIT_MS) * NS_PER_MS
    last_ns = clock.now_ns()
    while clock.now_ns() < deadline_ns and clock.now_ns() - last_ns < max(patience_ns, 0):
        try:
            view = camera.fetch(min(_WAIT_MS, camera.config.frame_timeout_ms // 2))
        except DataError:
            continue  # counted by the camera
        if view is not None:
            view.release()
            last_ns = clock.now_ns()


def _facts(camera: Camera, *, triggered: bool) -> CameraFacts:
    ptp = ptp_registers(camera.features)
    limit = camera.read("DeviceLinkThroughputLimitMode") in {"On", None}
    link = (
        camera.read("DeviceLinkSpeed"),
        camera.read("DeviceLinkThroughputLimit") if limit else None,
    )
    speeds = [int(each) for each in link if isinstance(each, int | float) and each > 0]
    statistics = camera.statistics
    return CameraFacts(
        payload_bytes=int(_number(camera.read("PayloadSize")) or 0),
        packet_bytes=int(_number(camera.read("GevSCPSPacketSize")) or 0) or None,
        frame_rate_hz=None if triggered else _frame_rate(camera),
        link_bytes_per_s=min(speeds, default=None),
        exposure_us=_number(camera.read("ExposureTime")) or 0.0,
        ptp_enabled=None if ptp is None else ptp.enabled,
        ptp_problem=camera.ptp.problem,
        frames=statistics.frames,
        incomplete=statistics.incomplete + statistics.invalid,
        lost=statistics.lost,
    )


def _frame_rate(camera: Camera) -> float:
    enabled = camera.read("AcquisitionFrameRateEnable")
    rate = _number(camera.read("AcquisitionFrameRate"))
    # Not set: as fast as exposure and link allow, which is never too fast.
    return rate if rate is not None and enabled is not False else 0.0


def _number(value: SfncValue | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None
