"""The virtual camera: device, stream, sensor and their two threads put together."""

import threading

from inspector.clock import Clock
from inspector.errors import InvariantError
from line_sim.camera.acquisition import Acquisition
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.control_server import ControlServer
from line_sim.camera.device import Device
from line_sim.camera.device_clock import DeviceClock
from line_sim.camera.execute import CommandExecutor
from line_sim.camera.faults import FaultKnobs
from line_sim.camera.gvcp import ResendRequest
from line_sim.camera.source import FrameSource
from line_sim.camera.statistics import CameraStatistics, Counters
from line_sim.camera.stream import Stream

_JOIN_TIMEOUT_S = 10.0
_LINES = ("Line0", "Line1")
_SOFTWARE = "Software"


class VirtualCamera:
    """A GigE Vision 1.2 camera made of software, on UDP port 3956 of `config.address`.

    `start` and `stop` belong to one owner; everything else may be called from any thread.
    """

    def __init__(
        self, config: VirtualCameraConfig, source: FrameSource, *, clock: Clock | None = None
    ) -> None:
        self.config = config
        self.clock = DeviceClock(clock, drift_ppm=config.clock_drift_ppm)
        self._source = source
        self._counters = Counters()
        self._device = Device(config, self.clock, self._counters, self)
        self._stream: Stream | None = None
        self._server: ControlServer | None = None
        self._acquisition: Acquisition | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "VirtualCamera":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Power up: open the sockets and serve. Raises DeviceError where the address is taken."""
        if self._threads:
            raise InvariantError("the camera runs already")
        stream = Stream(self.config, self._counters)
        try:
            executor = CommandExecutor(self._device, self._counters)
            server = ControlServer(
                self.config.address, executor, self._device.check_heartbeat, self._counters
            )
        except BaseException:
            stream.close()
            raise
        self._stream, self._server = stream, server
        self._device.set_stream_source_port(stream.source_port)
        self._acquisition = Acquisition(
            config=self.config,
            device=self._device,
            stream=stream,
            source=self._source,
            clock=self.clock,
            counters=self._counters,
        )
        name = f"camera {self.config.serial}"
        self._threads = [
            threading.Thread(target=server.run, name=f"{name} control"),
            threading.Thread(target=self._acquisition.run, name=f"{name} acquisition"),
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def stop(self) -> None:
        """Power off: end the threads and close the sockets. Does nothing when not started."""
        if self._server is None or self._acquisition is None or self._stream is None:
            return
        self._server.stop()
        self._acquisition.close()
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT_S)
            if thread.is_alive():
                raise InvariantError(f"{thread.name} does not end; does its frame source hang?")
        self._server.close()
        self._stream.close()
        self._device.power_off()
        self._threads = []
        self._server = self._acquisition = self._stream = None

    @property
    def alive(self) -> bool:
        """Whether both threads run; False after a crash in the frame source too."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    @property
    def statistics(self) -> CameraStatistics:
        return self._counters.snapshot()

    def pulse_line(self, line: str, *, at_ns: int | None = None, subject: object = None) -> bool:
        """Give a rising edge on Line0 or Line1; return whether a frame will come of it.

        `at_ns` is the CLOCK_MONOTONIC time of the edge (None: now); it may lie ahead, and then
        the exposure starts at that time. `subject` goes to the frame source with the request.
        """
        if line not in _LINES:
            raise InvariantError(f"the camera has no line {line!r}, only {' and '.join(_LINES)}")
        if self._acquisition is None:
            return False
        return self._acquisition.pulse(line, at_ns, subject)

    def set_faults(self, knobs: FaultKnobs) -> None:
        """Change what goes wrong on the link, from the next packet on."""
        if self._stream is not None:
            self._stream.set_faults(knobs)

    # -- effects of commands, called by the device on the control thread ---------------------------

    @property
    def acquiring(self) -> bool:
        return self._acquisition is not None and self._acquisition.running

    def settings_changed(self) -> None:
        if self._acquisition is not None:
            self._acquisition.settings_changed()

    def start_acquisition(self) -> None:
        if self._acquisition is not None:
            self._acquisition.start()

    def stop_acquisition(self) -> None:
        if self._acquisition is not None:
            self._acquisition.stop()

    def software_trigger(self) -> None:
        if self._acquisition is not None:
            self._acquisition.pulse(_SOFTWARE, None, None)

    def fire_test_packet(self) -> None:
        if self._stream is not None:
            self._stream.send_test_packet(self._device.stream_settings())

    def resend(self, request: ResendRequest) -> None:
        if self._stream is not None:
            self._stream.resend(request, self._device.stream_settings())
