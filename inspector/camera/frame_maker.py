"""Makes a frame of what the producer tells about a filled buffer."""

import time
from collections.abc import Callable
from typing import Any

from genicam import gentl

from inspector.camera.camera_time import CameraTime
from inspector.camera.exposure import facts_reader
from inspector.camera.frame_ids import FrameIds
from inspector.camera.frame_time import FrameTime
from inspector.camera.gentl_errors import GENTL_ERRORS, reason
from inspector.camera.pixel_format import PixelLayout, layout_of
from inspector.camera.pixels import Pixels
from inspector.clock import Clock
from inspector.errors import ConfigError, DataError
from inspector.types import FrameMeta

# ConfigError: the pixel format was changed while frames come.
_UNUSABLE: tuple[type[Exception], ...] = (*GENTL_ERRORS, ConfigError)
_MISSING_PACKETS, _RECEIVED_NS = 1000, 1001  # BUFFER_INFO commands of our producer


class FrameMaker:
    """One for each acquisition, made when it starts. Belongs to the camera's thread.

    `arrivals` is fed with the arrival of frames, for cameras whose clock cannot be read directly.
    """

    def __init__(
        self,
        *,
        camera_id: str,
        node_map: Any,
        tl_type: str,
        own_producer: bool,
        ids: FrameIds,
        arrivals: CameraTime | None,
        times: FrameTime,
        delivered_bits: int,
        clock: Clock,
    ) -> None:
        """Raises ConfigError for a pixel format that we do not take, or what the producer raises."""
        self._camera_id = camera_id
        self._own_producer = own_producer
        self._ids = ids
        self._arrivals = arrivals
        self._times = times
        self._delivered_bits = delivered_bits
        self._clock = clock
        self._layout = layout_of(int(node_map.PixelFormat.get_int_value()), camera_id)
        self._size = int(node_map.Width.value), int(node_map.Height.value)
        self._facts = facts_reader(node_map, tl_type)

    def make(self, raw: Any) -> tuple[FrameMeta, Pixels]:
        """Return what is known of the frame, and its pixels where they are. Raises DataError."""
        received_ns = self._received_ns(raw)
        try:
            missing = self._missing_packets(raw)
            facts = self._facts(raw, complete=missing == 0)
            layout, width, height, padding = self._geometry(raw)
            pixels = Pixels.of(raw.raw_buffer, layout, width, height, padding, self._delivered_bits)
        except _UNUSABLE as error:
            raise DataError(f"camera {self._camera_id}: unusable frame: {reason(error)}") from error
        exposure_ns = round(facts.exposure_us * 1000)
        start_ns, off_ns = self._exposure_start(raw, received_ns, exposure_ns, complete=missing == 0)
        meta = FrameMeta(
            camera_id=self._camera_id,
            frame_id=self._ids.of(_optional(lambda: raw.frame_id)),
            exposure_start_ns=start_ns,
            exposure_us=facts.exposure_us,
            received_ns=received_ns,
            width_px=width,
            height_px=height,
            pixel_format=pixels.pixel_format,
            encoder_ticks=facts.encoder_ticks,
            missing_packets=missing,
            clock_uncertainty_us=None if off_ns is None else off_ns / 1000,
        )
        return meta, pixels

    def _exposure_start(
        self, raw: Any, received_ns: int, exposure_ns: int, *, complete: bool
    ) -> tuple[int, int | None]:
        """Return when exposure began, and how far off that may be (None: not known)."""
        latest_ns = received_ns - exposure_ns
        stamp_ns = _optional(lambda: raw.timestamp_ns)
        if not stamp_ns:  # a camera without a clock says 0
            return latest_ns, None
        if complete and self._arrivals is not None:
            self._arrivals.observe(stamp_ns, received_ns, slack_ns=exposure_ns)
        return self._times.start_of(stamp_ns, latest_ns)

    def _geometry(self, raw: Any) -> tuple[PixelLayout, int, int, int]:
        """The frame's own, or what is set for one that does not tell (its leader was lost)."""
        try:
            layout = layout_of(int(raw.pixel_format), self._camera_id)
            return layout, int(raw.width), int(raw.height), int(raw.padding_x)
        except gentl.GenericException:
            return self._layout, *self._size, 0

    def _received_ns(self, raw: Any) -> int:
        now_ns = self._clock.now_ns()
        if not self._own_producer:
            return now_ns
        # Our producer notes the moment on its own thread, before Python had its turn.
        return now_ns - max(0, time.monotonic_ns() - int(raw.get_info_uint64(_RECEIVED_NS)))

    def _missing_packets(self, raw: Any) -> int:
        if self._own_producer:
            return int(raw.get_info_uint64(_MISSING_PACKETS))
        try:
            return 0 if raw.is_complete() else 1
        except gentl.GenericException:
            return 0  # a producer that does not say hands out whole frames only


def _optional(read: Callable[[], Any]) -> int | None:
    """Return what a buffer tells, None where it does not."""
    try:
        return int(read())
    except gentl.GenericException:
        return None
