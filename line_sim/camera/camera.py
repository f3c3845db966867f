"""The virtual camera: power, cable, inputs and faults, around the device."""

import ipaddress
import socket
import threading
from collections.abc import Callable
from dataclasses import replace

from inspector.clock import Clock
from inspector.errors import ConfigError, DeviceError, InvariantError
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.device import Device
from line_sim.camera.device_clock import DeviceClock
from line_sim.camera.event import line_edge
from line_sim.camera.faults import FaultKnobs
from line_sim.camera.gvcp import GVCP_PORT, ResendRequest
from line_sim.camera.inputs import LINES, Inputs
from line_sim.camera.link import Link
from line_sim.camera.powered import Powered, Wiring
from line_sim.camera.source import FrameSource
from line_sim.camera.statistics import CameraStatistics, Counters

_SOCKETS_BUSY_RETRY_S = 0.2
_MOVE_S = 0.2


class VirtualCamera:
    """A GigE Vision 2.0 camera made of software, on UDP port 3956 of `config.address`.

    `start` and `stop` belong to one owner; everything else may be called from any thread.
    """

    def __init__(
        self, config: VirtualCameraConfig, source: FrameSource, *, clock: Clock | None = None
    ) -> None:
        self.config = config
        self._powered: Powered | None = None
        self.clock = DeviceClock(clock, drift_ppm=config.clock_drift_ppm)
        counters, inputs, link = Counters(), Inputs(), Link()
        effects = _Effects(lambda: self._powered, self._move)
        device = Device(config, self.clock, counters, effects, inputs)
        self._wiring = Wiring(
            device=device,
            clock=self.clock,
            source=source,
            counters=counters,
            inputs=inputs,
            link=link,
            knobs=lambda: self._knobs,
        )
        self._knobs = config.faults
        self._life = threading.Lock()  # of `_powered` and `_reboot_thread`
        self._reboot_thread: threading.Thread | None = None
        self._stopping = threading.Event()
        device.set_ptp_lie(config.faults.ptp_lie)

    def __enter__(self) -> "VirtualCamera":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Power up: open the sockets and serve. Raises DeviceError where the address is taken."""
        with self._life:
            if self._powered is not None or self._reboot_thread is not None:
                raise InvariantError("the camera runs already")
            self._stopping.clear()
            self._powered = Powered(self.config, self._wiring)
            self._powered.start()

    def stop(self) -> None:
        """Power off: end the threads and close the sockets. Does nothing when not started."""
        self._stopping.set()
        with self._life:
            reboot = self._reboot_thread
        if reboot is not None:
            reboot.join()
        with self._life:
            self._power_off()

    @property
    def alive(self) -> bool:
        """Whether the camera runs or is rebooting; False after a crash in the frame source too."""
        powered = self._powered
        return self._reboot_thread is not None or (powered is not None and powered.alive)

    @property
    def statistics(self) -> CameraStatistics:
        return self._wiring.counters.snapshot()

    # -- the line ------------------------------------------------------------------------------------

    def pulse_line(
        self,
        line: str,
        *,
        at_ns: int | None = None,
        subject: object = None,
        encoder: int | None = None,
        width_us: float = 1000.0,
    ) -> bool:
        """Give a pulse on Line0 or Line1; return whether a frame will come of it.

        `at_ns` is the CLOCK_MONOTONIC time of its rising edge (None: now); it may lie ahead, and
        then the exposure starts at that time. `subject` goes to the frame source with the request,
        `encoder` is the encoder's position then (None: the one last set).
        """
        self._check_line(line)
        rise_ns = self.clock.now_ns() if at_ns is None else at_ns
        fall_ns = rise_ns + round(width_us * 1000)
        if encoder is not None:
            self.set_encoder(encoder)
        self._wiring.inputs.pulse(line, rise_ns, fall_ns)
        rising = self._edge(line, rise_ns, subject, encoder, rising=True)
        falling = self._edge(line, fall_ns, subject, encoder, rising=False)
        return rising or falling

    def set_line(self, line: str, high: bool, *, subject: object = None) -> bool:
        """Hold a line high or low; return whether a frame will come of the edge."""
        self._check_line(line)
        if not self._wiring.inputs.hold(line, high=high):
            return False
        return self._edge(line, self.clock.now_ns(), subject, None, rising=high)

    def set_encoder(self, ticks: int) -> None:
        """Say where the line's encoder is now."""
        self._wiring.inputs.encoder = ticks

    # -- faults --------------------------------------------------------------------------------------

    @property
    def faults(self) -> FaultKnobs:
        return self._knobs

    def set_faults(self, knobs: FaultKnobs) -> None:
        """Change what goes wrong, from the next packet on; the generator starts from the seed."""
        self._knobs = knobs
        self._wiring.device.set_ptp_lie(knobs.ptp_lie)
        powered = self._powered
        if powered is not None:
            powered.stream.set_faults(knobs)

    def unplug(self, seconds: float) -> None:
        """Pull the cable for a while: nothing gets in or out, the camera keeps its state."""
        self._wiring.link.pull(seconds)

    def reboot(self, down_s: float = 3.0) -> None:
        """Lose power for a while: sockets vanish and settings are lost. Returns at once."""
        with self._life:
            if self._powered is None or self._reboot_thread is not None:
                return
            name = f"camera {self.config.serial} reboot"
            self._reboot_thread = threading.Thread(
                target=self._reboot, args=(down_s,), name=name, daemon=True
            )
            self._reboot_thread.start()

    def _reboot(self, down_s: float) -> None:
        with self._life:
            self._power_off()
        self._wiring.counters.add("reboots")
        while not self._stopping.wait(down_s):
            try:
                powered = Powered(self.config, self._wiring)
            except DeviceError:
                down_s = _SOCKETS_BUSY_RETRY_S  # another program took the port meanwhile
                continue
            with self._life:
                self._powered = powered
                powered.start()
            break
        with self._life:
            self._reboot_thread = None

    def _power_off(self) -> None:
        if self._powered is not None:
            self._powered.power_off()
            self._powered = None
        self.clock.reset()

    def _move(self, address: int) -> bool:
        """Take another address of this host, as FORCEIP asks for; the camera reboots there."""
        text = str(ipaddress.IPv4Address(address))
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((text, GVCP_PORT))
            config = replace(self.config, address=text, mac=self.config.mac_bytes.hex(":"))
        except (OSError, ConfigError):
            return False
        self.config = config
        self._wiring.device.moved(config)
        self.reboot(_MOVE_S)
        return True

    def _check_line(self, line: str) -> None:
        if line not in LINES:
            raise InvariantError(f"the camera has no line {line!r}, only {' and '.join(LINES)}")

    def _edge(self, line: str, at_ns: int, subject: object, encoder: int | None, *, rising: bool) -> bool:
        powered = self._powered
        if powered is None:
            return False
        powered.notify(line_edge(line, rising=rising), at_ns, 0)
        wanted = self._wiring.device.acquisition_settings().trigger_activation
        if wanted not in ("AnyEdge", "RisingEdge" if rising else "FallingEdge"):
            return False
        return powered.acquisition.pulse(line, at_ns, subject, encoder)


class _Effects:
    """What commands set off, called by the device on the control thread."""

    def __init__(self, powered: Callable[[], Powered | None], move: Callable[[int], bool]) -> None:
        self._powered = powered
        self.move = move

    @property
    def acquiring(self) -> bool:
        powered = self._powered()
        return powered is not None and powered.acquisition.running

    def settings_changed(self) -> None:
        if (powered := self._powered()) is not None:
            powered.acquisition.settings_changed()

    def start_acquisition(self) -> None:
        if (powered := self._powered()) is not None:
            powered.acquisition.start()

    def stop_acquisition(self) -> None:
        if (powered := self._powered()) is not None:
            powered.acquisition.stop()

    def software_trigger(self) -> None:
        if (powered := self._powered()) is not None:
            powered.acquisition.pulse("Software", None)

    def action(self, at_ns: int | None) -> None:
        if (powered := self._powered()) is not None:
            powered.action(at_ns)

    def fire_test_packet(self) -> None:
        if (powered := self._powered()) is not None:
            powered.fire_test_packet()

    def resend(self, request: ResendRequest) -> None:
        if (powered := self._powered()) is not None:
            powered.resend(request)
