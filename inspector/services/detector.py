"""The detector service: frames in, results out, several in flight."""

from collections import deque

from msgspec.structs import replace

from inspector.bus import FrameSubscriber
from inspector.clock import NS_PER_MS
from inspector.config_load import model_folder
from inspector.detect.drift import DriftMonitor
from inspector.detect.engines.batching import Feeder
from inspector.detect.load import load_detector
from inspector.detect.picture_drift import PictureMonitor
from inspector.detect.power.keeper import PowerKeeper
from inspector.detect.power.meter import EnergyMeter, cpu_meter, gpu_meter
from inspector.detect.power.modes import find_modes
from inspector.errors import DeviceError
from inspector.plc.fault_log import FaultLog
from inspector.services.loop import Context
from inspector.topics import RESULTS
from inspector.types import Frame, FrameResult, ResultStatus

_WAITING = 12  # frames held in shared memory until a slot is free; with those in flight below the bus' bound


class DetectorService:
    """Feeds the engine in order of arrival; what waits too long is dropped, and said so."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._config = context.site.site.detector
        self._frames: list[FrameSubscriber] = [
            context.bus.frame_subscriber(camera.id) for camera in context.site.cameras
        ]
        self._results = context.bus.publisher(RESULTS)
        self._waiting: deque[Frame] = deque()
        self._refused = {camera.id: FaultLog(context.name) for camera in context.site.cameras}
        folder = model_folder(context.site)
        self._engine = load_detector(
            replace(self._config, model=str(folder)),
            folder.parent,
            clock=context.clock,
            on_ready=context.bus.wake,
        )
        self._feeder = Feeder(self._engine)
        self._power = self._keeper()
        manifest = self._engine.manifest
        self._drift = {camera.id: DriftMonitor.of(manifest) for camera in context.site.cameras}
        self._pictures = {camera.id: PictureMonitor.of(manifest) for camera in context.site.cameras}

    def step(self) -> int | None:
        self._take_in()
        self._send_ready()
        for _ in range(len(self._waiting)):
            frame = self._waiting.popleft()
            if self._too_old(frame):
                self._drop(frame)
            else:
                self._waiting.append(frame)
            del frame  # it holds a place in shared memory
        self._feeder.feed(self._waiting, self._needed_ns, self._context.clock.now_ns())
        self._send_ready()
        self._tell_refused()
        self._keep_power()
        self._context.counters["frames_overrun"] = sum(frames.dropped for frames in self._frames)
        return None

    def close(self) -> None:
        try:
            self._power.close()
        except DeviceError as error:
            self._context.fault("POWER", str(error))
        self._engine.close()

    def _send_ready(self) -> None:
        for result in self._feeder.collect():
            self._results.send(result)
            self._power.note(result)
            self._context.counters["results"] += 1
            self._context.metrics.observe_ns("queue", result.started_ns - result.received_ns)
            self._context.metrics.observe_ns("detect", result.finished_ns - result.started_ns)
            self._watch_drift(result)
            self._watch_pictures(result)
            if result.status is ResultStatus.INVALID_FRAME:
                self._context.counters["frames_invalid"] += 1
                self._refused[result.camera_id].add("FRAME_INVALID", f"{result.camera_id}: {result.reason}")

    def _watch_drift(self, result: FrameResult) -> None:
        monitor = self._drift.get(result.camera_id)
        if monitor is None or result.p_defect is None:
            return
        drift = monitor.add(result.p_defect)
        if drift is None:
            return
        self._context.counters[f"drift_percent_{result.camera_id}"] = round(100 * drift.margin_used)
        self._context.counters[f"drifting_{result.camera_id}"] = int(drift.drifting)
        if drift.began:
            self._context.fault("DRIFT", f"{result.camera_id}: {drift.text}", camera_id=result.camera_id)

    def _watch_pictures(self, result: FrameResult) -> None:
        monitor = self._pictures.get(result.camera_id)
        if monitor is None or result.context is None:
            return
        drift = monitor.add(result.context)
        if drift is None:
            return
        self._context.counters[f"light_percent_{result.camera_id}"] = round(100 * drift.light)
        self._context.counters[f"focus_percent_{result.camera_id}"] = round(100 * drift.focus)
        self._context.counters[f"light_drifting_{result.camera_id}"] = int(drift.light_drifts)
        self._context.counters[f"focus_drifting_{result.camera_id}"] = int(drift.focus_drifts)
        if drift.began:
            self._context.fault("DRIFT", f"{result.camera_id}: {drift.text}", camera_id=result.camera_id)

    def _keeper(self) -> PowerKeeper:
        modes = find_modes(self._config.engine) if self._config.power == "lowest" else None
        meters = [meter for meter in (cpu_meter(), self._gpu_meter()) if meter is not None]
        decision = self._context.site.site.decision
        limit_ms = decision.deadline_ms - decision.delivery_margin_ms
        return PowerKeeper(meters, modes, limit_ms * NS_PER_MS, self._context.clock.now_ns())

    def _gpu_meter(self) -> EnergyMeter | None:
        return gpu_meter() if self._config.engine == "tensorrt" else None

    def _keep_power(self) -> None:
        now_ns = self._context.clock.now_ns()
        try:
            self._power.step(now_ns)
        except DeviceError as error:  # saving power is no reason to hold up a frame
            self._context.fault("POWER", f"{error}; power is left as it is from now on")
            self._power = PowerKeeper([], None, 0, now_ns)
        self._context.counters["energy_millijoules"] += self._power.new_millijoules()

    def _tell_refused(self) -> None:
        """A camera that is set up wrongly sends nothing but such frames: say so once in a while."""
        now_ns = self._context.clock.now_ns()
        for camera_id, refused in self._refused.items():
            for fault in refused.take(now_ns):
                self._context.fault(fault.code, fault.text, camera_id=camera_id)

    def _take_in(self) -> None:
        """Take what has arrived. A reader may hold few frames, so the oldest go while they come in."""
        for frames in self._frames:
            for frame in frames.drain():
                self._waiting.append(frame)
                if len(self._waiting) > _WAITING:
                    self._drop(self._waiting.popleft())
                del frame

    def _needed_ns(self, frame: Frame) -> int:
        """When the arbiter wants the result: the part's deadline counts from about the exposure."""
        decision = self._context.site.site.decision
        wanted_ms = decision.deadline_ms - decision.delivery_margin_ms
        return frame.meta.exposure_start_ns + wanted_ms * NS_PER_MS

    def _too_old(self, frame: Frame) -> bool:
        age_ns = self._context.clock.now_ns() - frame.meta.received_ns
        return age_ns > self._config.max_age_ms * NS_PER_MS

    def _drop(self, frame: Frame) -> None:
        """A dropped frame is a result too, so that its part need not wait for its deadline."""
        now_ns = self._context.clock.now_ns()
        self._context.counters["frames_dropped"] += 1
        dropped = FrameResult(
            camera_id=frame.meta.camera_id,
            frame_id=frame.meta.frame_id,
            exposure_start_ns=frame.meta.exposure_start_ns,
            clock_uncertainty_us=frame.meta.clock_uncertainty_us,
            received_ns=frame.meta.received_ns,
            width_px=frame.meta.width_px,
            height_px=frame.meta.height_px,
            model_sha256=self._engine.manifest.onnx.sha256,
            status=ResultStatus.DROPPED,
            reason="the detector was too far behind",
            p_defect=None,
            started_ns=now_ns,
            finished_ns=now_ns,
        )
        self._results.send(dropped)
        self._power.note(dropped)


def make(context: Context, argument: str) -> DetectorService:
    del argument
    return DetectorService(context)
