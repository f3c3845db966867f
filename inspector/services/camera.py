"""The camera service: one camera's frames into shared memory, once."""

from inspector.bus import FramePublisher
from inspector.camera.acquisition import Camera, open_camera
from inspector.services.loop import Context

_FETCH_MS = 50  # short, so that heartbeats go out and a stop is heeded in between
_OPEN_S = 0.5  # a wait for the camera; the loop tries again, with backoff


class CameraService:
    """A camera that is lost is opened again, for ever; meanwhile the service says why it waits."""

    def __init__(self, context: Context, camera_id: str) -> None:
        self._context = context
        self._config = next(camera for camera in context.site.cameras if camera.id == camera_id)
        self._camera: Camera = open_camera(self._config, context.clock, wait_s=_OPEN_S)
        self._frames: FramePublisher | None = None
        self._frame_bytes = 0
        self._camera.start()

    def step(self) -> int | None:
        camera = self._camera
        if camera.lost:
            camera.reconnect(wait_s=_OPEN_S)
            camera.start()
        view = camera.fetch(_FETCH_MS)
        if view is not None:
            with view:
                slot = self._publisher(view.size_bytes).loan(view.size_bytes)
                view.write_to(slot.pixels)  # the one copy, which unpacks on the way
                slot.send(view.meta)
            self._context.metrics.observe_ns("acquire", view.meta.received_ns - view.meta.exposure_start_ns)
        self._report()
        return self._context.clock.now_ns()  # the wait is in the fetch

    def close(self) -> None:
        self._camera.close()

    def _publisher(self, frame_bytes: int) -> FramePublisher:
        """Shared memory is laid out when the first frame has told its size."""
        if self._frames is None:
            self._frames = self._context.bus.frame_publisher(self._config.id, frame_bytes)
        return self._frames

    def _report(self) -> None:
        statistics = self._camera.statistics
        counters = self._context.counters
        counters["frames"] = statistics.frames
        counters["frames_incomplete"] = statistics.incomplete
        counters["frames_lost"] = statistics.lost
        counters["frames_invalid"] = statistics.invalid
        counters["missing_packets"] = statistics.missing_packets
        counters["reconnects"] = statistics.reconnects
        counters["clock_jumps"] = self._camera.clock_jumps
        self._context.degraded = ""


def make(context: Context, argument: str) -> CameraService:
    return CameraService(context, argument)
