"""The state of the device: its registers, who controls it, and what writing a register sets off."""

import ipaddress
import threading
from collections.abc import Callable
from typing import Protocol

from line_sim.camera.bootstrap import (
    CONFIGURATION_HEARTBEAT_DISABLE,
    SCPS_DO_NOT_FRAGMENT,
    SCPS_FIRE_TEST_PACKET,
    SCPS_SIZE_MASK,
)
from line_sim.camera.config import PixelFormat, VirtualCameraConfig
from line_sim.camera.control_channel import ControlChannel, Peer
from line_sim.camera.device_clock import DeviceClock
from line_sim.camera.feature_list import TRIGGER_SOURCES
from line_sim.camera.gvcp import CommandRefusedError, ResendRequest, Status
from line_sim.camera.memory import device_memory, power_up
from line_sim.camera.settings import AcquisitionMode, AcquisitionSettings, StreamSettings
from line_sim.camera.statistics import Counters

_TIMESTAMP_RESET, _TIMESTAMP_LATCH = 1, 2
_TRIGGER_SOURCE_NAMES = {value: name for name, value in TRIGGER_SOURCES}
_REGION = ("Width", "Height", "OffsetX", "OffsetY")


class Effects(Protocol):
    """What commands set off. Called on the control thread, without the device's lock.

    `acquiring` alone is read under the lock, and must not wait for another one.
    """

    @property
    def acquiring(self) -> bool: ...

    def settings_changed(self) -> None: ...

    def start_acquisition(self) -> None: ...

    def stop_acquisition(self) -> None: ...

    def software_trigger(self) -> None: ...

    def fire_test_packet(self) -> None: ...

    def resend(self, request: ResendRequest) -> None: ...


class Device:
    """Thread-safe. `effects` are called after the lock is given back."""

    def __init__(
        self, config: VirtualCameraConfig, clock: DeviceClock, counters: Counters, effects: Effects
    ) -> None:
        self.effects = effects
        self.mac = config.mac_bytes
        self._config = config
        self._clock = clock
        self._counters = counters
        self._lock = threading.RLock()
        self._channel = ControlChannel()
        self._memory = device_memory(config)
        self._pending: list[Callable[[], None]] = []
        self._on_write: dict[str, Callable[[], None]] = {
            "Width": self._geometry_changed,
            "Height": self._geometry_changed,
            "AcquisitionStart": self._start,
            "AcquisitionStop": self._stop,
            "TriggerSoftware": lambda: self._pending.append(self.effects.software_trigger),
            "StreamPacketSize": self._packet_size_written,
            "TimestampControl": self._timestamp_control_written,
            "DeviceReset": self._reset,
        }

    # -- the control channel ---------------------------------------------------------------------

    def heard(self, peer: Peer) -> None:
        """Note that a command came; of the primary application this is a heartbeat."""
        with self._lock:
            self._channel.heard(peer, self._clock.now_ns())

    def read(self, address: int, count: int, peer: Peer) -> bytes:
        """Return register memory for an application; raises CommandRefusedError."""
        with self._lock:
            self._channel.check_read(peer)
            return self._memory.read(address, count)

    def public_read(self, address: int, count: int) -> bytes:
        """Return what anybody may know, whoever has control (discovery)."""
        with self._lock:
            return self._memory.read(address, count)

    def write(self, address: int, data: bytes, peer: Peer) -> None:
        """Write register memory for an application and run what it sets off."""
        with self._lock:
            if address == self._memory.register("ControlPrivilege").address and len(data) == 4:
                value = int.from_bytes(data, "big")
                if self._channel.request(peer, value, self._clock.now_ns()):
                    self._control_released()
                self._memory.store("ControlPrivilege", value)
            else:
                self._channel.check_write(peer)
                self._check_region(address, data)
                names = self._memory.write(address, data, acquiring=self.effects.acquiring)
                for name in names:
                    if name in self._on_write:
                        self._on_write[name]()
                self._pending.append(self.effects.settings_changed)
            pending, self._pending = self._pending, []
        for effect in pending:
            effect()

    def check_heartbeat(self) -> None:
        """Take control back when the primary application has been silent for too long."""
        with self._lock:
            configuration = self._memory.integer("GvcpConfiguration")
            if configuration & CONFIGURATION_HEARTBEAT_DISABLE:
                return
            timeout_ms = self._memory.integer("HeartbeatTimeout")
            if not self._channel.expire(self._clock.now_ns(), timeout_ms):
                return
            self._counters.add("heartbeats_lost")
            self._control_released()
            pending, self._pending = self._pending, []
        for effect in pending:
            effect()

    def power_off(self) -> None:
        """Forget everything, as a camera without power does."""
        with self._lock:
            self._reset()
            self._pending.clear()

    def force_address(self, address: int) -> None:
        """FORCEIP: accept the address that the camera has; raises CommandRefusedError for another."""
        with self._lock:
            if self._channel.holder is not None:
                raise CommandRefusedError(Status.ACCESS_DENIED, "an application has control")
            if address not in (0, self._memory.integer("CurrentIp")):
                # The address belongs to the host; a camera made of software cannot move it.
                raise CommandRefusedError(Status.WRITE_PROTECT, "the address is that of the host")

    # -- what the other threads ask ----------------------------------------------------------------

    def stream_peers(self) -> frozenset[str]:
        """Return the addresses that may ask for packets again."""
        with self._lock:
            holder = self._channel.holder
            peers = {self.stream_settings().address}
            if holder is not None:
                peers.add(holder[0])
            return frozenset(peers)

    def acquisition_settings(self) -> AcquisitionSettings:
        with self._lock:
            memory = self._memory
            code = memory.integer("PixelFormat")
            limited = bool(memory.integer("AcquisitionFrameRateEnable"))
            return AcquisitionSettings(
                mode=AcquisitionMode(memory.integer("AcquisitionMode")),
                frame_count=memory.integer("AcquisitionFrameCount"),
                width=memory.integer("Width"),
                height=memory.integer("Height"),
                offset_x=memory.integer("OffsetX"),
                offset_y=memory.integer("OffsetY"),
                pixel_format=next(each for each in PixelFormat if each.code == code),
                exposure_us=memory.floating("ExposureTime"),
                gain_db=memory.floating("Gain"),
                frame_rate_hz=memory.floating("AcquisitionFrameRate") if limited else None,
                triggered=bool(memory.integer("TriggerMode")),
                trigger_source=_TRIGGER_SOURCE_NAMES[memory.integer("TriggerSource")],
                trigger_delay_us=memory.floating("TriggerDelay"),
            )

    def stream_settings(self) -> StreamSettings:
        with self._lock:
            packet_size = self._memory.integer("StreamPacketSize")
            return StreamSettings(
                address=str(ipaddress.IPv4Address(self._memory.integer("StreamDestination"))),
                host_port=self._memory.integer("StreamHostPort") & 0xFFFF,
                packet_size=packet_size & SCPS_SIZE_MASK,
                do_not_fragment=bool(packet_size & SCPS_DO_NOT_FRAGMENT),
                packet_delay_ns=self._memory.integer("StreamPacketDelay"),
            )

    def set_stream_source_port(self, port: int) -> None:
        with self._lock:
            self._memory.store("StreamSourcePort", port)

    # -- what a write sets off, under the lock -----------------------------------------------------

    def _check_region(self, address: int, data: bytes) -> None:
        """Refuse a region that would leave the sensor."""
        for name in _REGION:
            if self._memory.register(name).address == address and len(data) == 4:
                values = {each: self._memory.integer(each) for each in _REGION}
                values[name] = int.from_bytes(data, "big")
                if (
                    values["OffsetX"] + values["Width"] > self._config.width
                    or values["OffsetY"] + values["Height"] > self._config.height
                ):
                    raise CommandRefusedError(Status.INVALID_PARAMETER, "the region leaves the sensor")

    def _geometry_changed(self) -> None:
        payload = self._memory.integer("Width") * self._memory.integer("Height")
        self._memory.store("PayloadSize", payload)

    def _start(self) -> None:
        if not self.effects.acquiring:
            self._pending.append(self.effects.start_acquisition)

    def _stop(self) -> None:
        self._pending.append(self.effects.stop_acquisition)

    def _packet_size_written(self) -> None:
        value = self._memory.integer("StreamPacketSize")
        if value & SCPS_FIRE_TEST_PACKET:
            self._memory.store("StreamPacketSize", value & ~SCPS_FIRE_TEST_PACKET)
            self._pending.append(self.effects.fire_test_packet)

    def _timestamp_control_written(self) -> None:
        value = self._memory.integer("TimestampControl")
        if value & _TIMESTAMP_LATCH:
            self._memory.store("TimestampValue", self._clock.ticks())
        if value & _TIMESTAMP_RESET:
            self._clock.reset()

    def _control_released(self) -> None:
        """Nobody is there to receive: stop, and forget where the stream went."""
        self._stop()
        for name in ("ControlPrivilege", "StreamHostPort", "StreamDestination", "TLParamsLocked"):
            self._memory.store(name, 0)

    def _reset(self) -> None:
        source_port = self._memory.integer("StreamSourcePort")
        self._channel.release()
        self._stop()
        power_up(self._memory, self._config)
        self._memory.store("StreamSourcePort", source_port)
