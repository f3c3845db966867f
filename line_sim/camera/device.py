"""The state of the device: its registers, who controls it, and what writing a register sets off."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

from line_sim.camera import register_view
from line_sim.camera.bootstrap import SCPS_FIRE_TEST_PACKET, Configuration
from line_sim.camera.chunks import AT_POWER_UP, Chunk
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.control_channel import ControlChannel, Peer
from line_sim.camera.device_clock import DeviceClock
from line_sim.camera.event import Event
from line_sim.camera.geometry import Geometry
from line_sim.camera.gvcp import CommandRefusedError, ResendRequest, Status
from line_sim.camera.gvcp_messages import ActionRequest
from line_sim.camera.inputs import Inputs
from line_sim.camera.memory import device_memory, power_up
from line_sim.camera.ptp import Ptp, PtpState
from line_sim.camera.selected import Selected
from line_sim.camera.settings import AcquisitionSettings, MessageSettings, StreamSettings
from line_sim.camera.statistics import Counters

_TIMESTAMP_RESET, _TIMESTAMP_LATCH = 1, 2
_OF_RECEIVERS = (
    *("ControlPrivilege", "StreamHostPort", "StreamDestination"),
    *("MessageHostPort", "MessageDestination", "TLParamsLocked"),
)


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

    def action(self, at_ns: int | None) -> None: ...

    def move(self, address: int) -> bool:
        """Go to another address; return whether the host has it."""
        ...


class Device:
    """Thread-safe. `effects` are called after the lock is given back."""

    def __init__(
        self,
        config: VirtualCameraConfig,
        clock: DeviceClock,
        counters: Counters,
        effects: Effects,
        inputs: Inputs | None = None,
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
        self._inputs = inputs or Inputs()
        self._ptp = Ptp(clock)
        self._geometry = Geometry(self._memory, config)
        at_power_up = {each.selector: int(each in AT_POWER_UP) for each in Chunk}
        self._chunks = Selected(self._memory, "ChunkSelector", "ChunkEnable", at_power_up)
        off = dict.fromkeys((each.selector for each in Event), 0)
        self._events = Selected(self._memory, "EventSelector", "EventNotification", off)
        self._on_write: dict[str, Callable[[], None]] = {
            **dict.fromkeys(("Width", "Height", "PixelFormat", "ChunkModeActive"), self._update_payload),
            "BinningHorizontal": partial(self._binning_written, "BinningHorizontal"),
            "BinningVertical": partial(self._binning_written, "BinningVertical"),
            "ChunkSelector": self._chunks.show,
            "ChunkEnable": self._chunk_enable_written,
            "EventSelector": self._events.show,
            "EventNotification": self._events.take,
            "AcquisitionStart": self._start,
            "AcquisitionStop": self._stop,
            "TriggerSoftware": lambda: self._pending.append(self.effects.software_trigger),
            "StreamPacketSize": self._packet_size_written,
            "TimestampControl": self._timestamp_control_written,
            "EncoderReset": self._encoder_reset,
            "PtpEnable": self._ptp_enable_written,
            "GvcpConfiguration": self._configuration_written,
            "DeviceReset": self._reset,
        }
        self._live: dict[str, Callable[[], int]] = {
            "EncoderValue": lambda: self._inputs.encoder,
            "LineStatusAll": self._line_status,
            "LineStatus": lambda: self._line_status() >> self._memory.integer("LineSelector") & 1,
            "PtpStatus": lambda: self._ptp.state,
            "PtpClockStatus": lambda: self._ptp.state,
            "PtpOffsetFromMaster": self._ptp.offset_ns,
        }
        self._show_live()

    # -- the control channel ---------------------------------------------------------------------

    def heard(self, peer: Peer) -> None:
        """Note that a command came; of the primary application this is a heartbeat."""
        with self._lock:
            self._channel.heard(peer, self._clock.now_ns())

    def read(self, address: int, count: int, peer: Peer) -> bytes:
        """Return register memory for an application; raises CommandRefusedError."""
        with self._lock:
            self._channel.check_read(peer)
            if any(self._memory.touches(name, address, count) for name in self._live):
                self._show_live()
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
                self._geometry.check(address, data)
                names = self._memory.write(address, data, acquiring=self.effects.acquiring)
                for name in names:
                    if name in self._on_write:
                        self._on_write[name]()
                self._pending.append(self.effects.settings_changed)
            pending, self._pending = self._pending, []
        for effect in pending:
            effect()

    def poll(self) -> None:
        """Do what time alone sets off: heartbeat and PTP. For the control thread, ten times a second."""
        self.check_heartbeat()
        with self._lock:
            self._ptp.poll()

    def check_heartbeat(self) -> None:
        """Take control back when the primary application has been silent for too long."""
        with self._lock:
            configuration = self._memory.integer("GvcpConfiguration")
            if configuration & Configuration.HEARTBEAT_DISABLE:
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
        """FORCEIP: move to an address that the host has; raises CommandRefusedError for another."""
        with self._lock:
            if self._channel.holder is not None:
                raise CommandRefusedError(Status.ACCESS_DENIED, "an application has control")
            if address in (0, self._memory.integer("CurrentIp")):
                return
        if not self.effects.move(address):
            raise CommandRefusedError(Status.WRITE_PROTECT, "the host does not have this address")

    def moved(self, config: VirtualCameraConfig) -> None:
        """Take over another address, with the next power-up."""
        with self._lock:
            self._config = config

    def action(self, request: ActionRequest) -> Status | None:
        """Obey an action command; return the status of the answer, None where it is for others.

        GigE Vision 2.0, 14.3: a late one is executed at once, and the answer says that it was late.
        """
        with self._lock:
            memory = self._memory
            unconditional = memory.integer("GvcpConfiguration") & Configuration.UNCONDITIONAL_ACTION
            if (
                (self._channel.holder is None and not unconditional)
                or request.device_key != memory.integer("ActionDeviceKey")
                or request.group_key != memory.integer("ActionGroupKey")
                or not request.group_mask & memory.integer("ActionGroupMask")
            ):
                return None
            synchronised = self._ptp.state is PtpState.SLAVE
        self._counters.add("actions")
        if request.at_ticks is None:
            self.effects.action(None)
            return Status.SUCCESS
        if not synchronised:
            return Status.NO_REF_TIME
        at_ns = self._clock.host_ns_at(request.at_ticks)
        late = at_ns < self._clock.now_ns()
        self.effects.action(None if late else at_ns)
        return Status.ACTION_LATE if late else Status.SUCCESS

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
            return register_view.acquisition_settings(self._memory, self._enabled_chunks())

    def stream_settings(self) -> StreamSettings:
        with self._lock:
            return register_view.stream_settings(self._memory)

    def message_settings(self) -> MessageSettings:
        with self._lock:
            return register_view.message_settings(self._memory)

    def pending_timeout_ms(self) -> int | None:
        """Return when PENDING_ACK is due; None where the application did not switch it on."""
        with self._lock:
            enabled = self._memory.integer("GvcpConfiguration") & Configuration.PENDING_ACK
            return self._memory.integer("PendingTimeout") if enabled else None

    def event_enabled(self, event: Event) -> bool:
        with self._lock:
            return bool(self._events.values[event.selector])

    def set_ptp_lie(self, lies: bool) -> None:
        with self._lock:
            self._ptp.lies = lies

    def set_message_source_port(self, port: int) -> None:
        with self._lock:
            self._memory.store("MessageSourcePort", port)

    def set_stream_source_port(self, port: int) -> None:
        with self._lock:
            self._memory.store("StreamSourcePort", port)

    # -- what a write sets off, under the lock -----------------------------------------------------

    def _enabled_chunks(self) -> frozenset[Chunk]:
        return frozenset(each for each in Chunk if self._chunks.values[each.selector])

    def _update_payload(self) -> None:
        self._geometry.update_payload(self._enabled_chunks())

    def _binning_written(self, name: str) -> None:
        self._geometry.binning_written(name)
        self._update_payload()

    def _chunk_enable_written(self) -> None:
        self._chunks.take()
        self._update_payload()

    def _line_status(self) -> int:
        return self._inputs.status_at(self._clock.now_ns())

    def _show_live(self) -> None:
        for name, value in self._live.items():
            self._memory.store(name, value())

    def _encoder_reset(self) -> None:
        self._inputs.encoder = 0

    def _ptp_enable_written(self) -> None:
        on = bool(self._memory.integer("PtpEnable"))
        configuration = self._memory.integer("GvcpConfiguration") & ~int(Configuration.PTP)
        self._memory.store("GvcpConfiguration", configuration | (Configuration.PTP if on else 0))
        self._ptp.enable(on)

    def _configuration_written(self) -> None:
        on = bool(self._memory.integer("GvcpConfiguration") & Configuration.PTP)
        self._memory.store("PtpEnable", int(on))
        self._ptp.enable(on)

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
        for name in _OF_RECEIVERS:
            self._memory.store(name, 0)

    def _reset(self) -> None:
        ports = {name: self._memory.integer(name) for name in ("StreamSourcePort", "MessageSourcePort")}
        self._channel.release()
        self._stop()
        power_up(self._memory, self._config)
        self._chunks.reset()
        self._events.reset()
        self._ptp.enable(False)
        for name, port in ports.items():
            self._memory.store(name, port)
