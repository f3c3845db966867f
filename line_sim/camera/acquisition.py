"""The sensor: waits for its trigger, exposes, takes the picture of the source and hands it on."""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from inspector.errors import DataError
from line_sim.camera.chunks import Chunk, trailing
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.device import Device
from line_sim.camera.device_clock import DeviceClock
from line_sim.camera.event import Event
from line_sim.camera.gvsp import ImageGeometry, block_id_of, image_block
from line_sim.camera.inputs import Inputs
from line_sim.camera.sensor import payload_of
from line_sim.camera.settings import AcquisitionMode, AcquisitionSettings
from line_sim.camera.source import FramePacing, FrameRequest, FrameSource, Image
from line_sim.camera.statistics import Counters
from line_sim.camera.stream import Stream

_NS_PER_S = 1_000_000_000
_NS_PER_US = 1_000


@dataclass(frozen=True, slots=True, order=True)
class _Exposure:
    start_ns: int
    subject: object = field(compare=False, default=None)
    encoder: int | None = field(compare=False, default=None)  # None: where it is at the exposure


Notify = Callable[[Event, int, int], None]
"""Called with the event, its host time and the frame's number, 0 without frame. Must not wait."""


class Acquisition:
    """One thread that takes and sends frames. Every method may be called from any thread."""

    def __init__(
        self,
        *,
        config: VirtualCameraConfig,
        device: Device,
        stream: Stream,
        source: FrameSource,
        clock: DeviceClock,
        counters: Counters,
        inputs: Inputs,
        notify: Notify,
    ) -> None:
        self._config = config
        self._device = device
        self._stream = stream
        self._source = source
        self._clock = clock
        self._counters = counters
        self._inputs = inputs
        self._notify = notify
        self._pacing = source if isinstance(source, FramePacing) else None
        self._changed = threading.Condition()
        self._closed = False
        self._running = False
        self._acquisition = 0  # counts the starts, so that a frame of an ended one is not sent
        self._cancelled = 0  # the last acquisition that was stopped by a command
        self._frame_id = 0
        self._waiting: list[_Exposure] = []
        self._exposing_until_ns = 0
        self._last_start_ns: int | None = None

    # -- commands --------------------------------------------------------------------------------

    def start(self) -> None:
        with self._changed:
            self._stream.forget_blocks()
            self._running = True
            self._acquisition += 1
            self._frame_id = 0
            self._waiting.clear()
            self._exposing_until_ns = 0
            self._last_start_ns = None
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._running = False
            self._cancelled = self._acquisition
            self._waiting.clear()
            self._changed.notify_all()

    @property
    def running(self) -> bool:
        return self._running

    def settings_changed(self) -> None:
        """Look at the settings again: the trigger may be off now, or the rate another one."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Stop and end `run`."""
        self.stop()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def pulse(
        self, source: str, at_ns: int | None, subject: object = None, encoder: int | None = None
    ) -> bool:
        """Take a trigger edge at a host time; return whether it will give a frame.

        An edge during an exposure is missed, as the sensor cannot start another one.
        """
        settings = self._device.acquisition_settings()
        now_ns = self._clock.now_ns()
        self._counters.add("pulses")
        with self._changed:
            armed = self._running and settings.triggered and settings.trigger_source == source
            if not armed:
                self._counters.add("pulses_ignored")
                return False
            start_ns = (now_ns if at_ns is None else at_ns) + round(settings.trigger_delay_us * _NS_PER_US)
            full = len(self._waiting) >= self._config.trigger_queue
            if full or start_ns < self._exposing_until_ns:
                self._counters.add("triggers_missed")
                self._notify(Event.FRAME_TRIGGER_MISSED, now_ns, 0)
                return False
            self._exposing_until_ns = start_ns + round(settings.exposure_us * _NS_PER_US)
            heapq.heappush(self._waiting, _Exposure(start_ns, subject, encoder))
            self._changed.notify_all()
            return True

    # -- the acquisition thread --------------------------------------------------------------------

    def run(self) -> None:
        """Take frames until closed."""
        while True:
            with self._changed:
                if self._closed:
                    return
                settings = self._device.acquisition_settings()
                exposure = self._next_exposure(settings)
                if exposure is None:
                    continue
                acquisition = self._acquisition
                self._frame_id += 1
                frame_id = self._frame_id
            payload = self._expose(exposure, frame_id, acquisition, settings)
            # Before the last frame leaves: who has it may start again at once.
            self._end_if_complete(frame_id, acquisition, settings)
            if payload is not None and not self._stream.drops_frame():
                self._send(payload, exposure, frame_id, acquisition, settings)

    def _next_exposure(self, settings: AcquisitionSettings) -> _Exposure | None:
        """Return the exposure that starts now; None after waiting, when things may have changed."""
        if not self._running:
            self._changed.wait()
            return None
        now_ns = self._clock.now_ns()
        if settings.triggered:
            if not self._waiting:
                self._changed.wait()
                return None
            due_ns = self._waiting[0].start_ns
        else:
            due_ns = self._free_run_start_ns(settings, now_ns)
        if due_ns > now_ns:
            self._changed.wait((due_ns - now_ns) / _NS_PER_S)
            return None
        if settings.triggered:
            return heapq.heappop(self._waiting)
        self._last_start_ns = due_ns
        return _Exposure(due_ns)

    def _free_run_start_ns(self, settings: AcquisitionSettings, now_ns: int) -> int:
        if self._last_start_ns is None:
            return now_ns
        period_ns = settings.exposure_us * _NS_PER_US
        if self._pacing is not None:
            period_ns = max(period_ns, self._pacing.interval_ns(self._frame_id + 1))
        elif settings.frame_rate_hz is not None:
            period_ns = max(period_ns, _NS_PER_S / settings.frame_rate_hz)
        due_ns = self._last_start_ns + round(period_ns)
        # Where the link is slower than the rate, frames are left out; they do not pile up. The sensor
        # exposes while it reads the frame before out, as real ones do: this exposure ends now.
        overlapped_ns = now_ns - round(settings.exposure_us * _NS_PER_US)
        return due_ns if now_ns - due_ns < period_ns else overlapped_ns

    def _expose(
        self, exposure: _Exposure, frame_id: int, acquisition: int, settings: AcquisitionSettings
    ) -> Image | None:
        """Return the pixels at the end of the exposure; None without picture or when stopped."""
        request = FrameRequest(
            frame_id=frame_id,
            exposure_start_ns=exposure.start_ns,
            exposure_us=settings.exposure_us,
            gain_db=settings.gain_db,
            width=self._config.width,
            height=self._config.height,
            pixel_format=settings.pixel_format.sfnc_name,
            subject=exposure.subject,
        )
        self._notify(Event.EXPOSURE_START, exposure.start_ns, frame_id)
        try:
            picture = self._source.frame(request)
            payload = payload_of(picture, request, settings, seed=self._config.noise_seed)
        except DataError:
            self._counters.add("source_errors")
            return None
        exposed_ns = exposure.start_ns + round(settings.exposure_us * _NS_PER_US)
        if not self._wait_until(exposed_ns, acquisition):
            return None
        self._notify(Event.EXPOSURE_END, exposed_ns, frame_id)
        return payload

    def _send(
        self,
        payload: Image,
        exposure: _Exposure,
        frame_id: int,
        acquisition: int,
        settings: AcquisitionSettings,
    ) -> None:
        target = self._device.stream_settings()
        ticks = self._clock.ticks_at(exposure.start_ns)
        if settings.chunks is not None:
            values = self._chunk_values(exposure, frame_id, ticks, settings)
            tail = trailing(len(payload), {each: values[each] for each in settings.chunks})
            payload = np.concatenate((payload, np.frombuffer(tail, dtype=np.uint8)))
        block = image_block(
            block_id_of(frame_id, extended=target.extended_ids),
            payload,
            ImageGeometry(
                pixel_format_code=settings.pixel_format.code,
                width=settings.width,
                height=settings.height,
                offset_x=settings.offset_x,
                offset_y=settings.offset_y,
            ),
            ticks,
            target.packet_size,
            extended_ids=target.extended_ids,
            chunks=settings.chunks is not None,
        )
        self._stream.send_block(block, target, lambda: self._cancelled < acquisition)

    def _chunk_values(
        self, exposure: _Exposure, frame_id: int, ticks: int, settings: AcquisitionSettings
    ) -> dict[Chunk, float]:
        return {
            Chunk.WIDTH: settings.width,
            Chunk.HEIGHT: settings.height,
            Chunk.OFFSET_X: settings.offset_x,
            Chunk.OFFSET_Y: settings.offset_y,
            Chunk.PIXEL_FORMAT: settings.pixel_format.code,
            Chunk.TIMESTAMP: ticks,
            Chunk.FRAME_ID: frame_id,
            Chunk.EXPOSURE_TIME: settings.exposure_us,
            Chunk.GAIN: settings.gain_db,
            Chunk.LINE_STATUS_ALL: self._inputs.status_at(exposure.start_ns),
            Chunk.ENCODER_VALUE: self._inputs.encoder if exposure.encoder is None else exposure.encoder,
        }

    def _wait_until(self, host_ns: int, acquisition: int) -> bool:
        """Wait; return whether the same acquisition still runs then."""
        with self._changed:
            while self._running and self._acquisition == acquisition:
                wait_ns = host_ns - self._clock.now_ns()
                if wait_ns <= 0:
                    return True
                self._changed.wait(wait_ns / _NS_PER_S)
            return False

    def _end_if_complete(self, frame_id: int, acquisition: int, settings: AcquisitionSettings) -> None:
        wanted = {
            AcquisitionMode.CONTINUOUS: None,
            AcquisitionMode.SINGLE_FRAME: 1,
            AcquisitionMode.MULTI_FRAME: settings.frame_count,
        }[settings.mode]
        if wanted is None or frame_id < wanted:
            return
        with self._changed:
            if self._acquisition != acquisition:
                return
            self._running = False
            self._waiting.clear()
