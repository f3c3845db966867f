"""A camera that delivers frames: the one thing that the rest of the product sees of cameras."""

from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from inspector import log
from inspector.camera.buffer_stream import BufferStream
from inspector.camera.camera_time import CameraTime
from inspector.camera.connect import connect
from inspector.camera.connection import Connection, lost
from inspector.camera.exposure import longest_period_ms
from inspector.camera.frame_ids import FrameIds
from inspector.camera.frame_maker import FrameMaker
from inspector.camera.frame_time import FrameTime
from inspector.camera.frame_view import FrameView
from inspector.camera.gentl_errors import GENTL_ERRORS, reason
from inspector.camera.gentl_system import acquire_system, release_system
from inspector.camera.liveness import Liveness
from inspector.camera.ptp_check import PtpCheck, PtpRegisters, ptp_registers
from inspector.camera.settings import lock_parameters, read_value
from inspector.camera.time_latch import TimeLatch
from inspector.clock import NS_PER_MS, Clock
from inspector.config import CameraConfig, SfncValue
from inspector.errors import DataError, DeviceError, InvariantError

# One wait in the producer. Its binding holds Python's lock all the while, so other threads, the
# watch over the camera among them, have their turn only between two waits.
_EVENT_WAIT_MS = 20
_PERIODS = 3  # without a frame, and a camera that runs freely is not well
_CONTROL_REGISTER = 0x0A00  # control channel privilege: every GigE Vision camera has it


@dataclass(slots=True)
class CameraStatistics:
    """Counts since `open_camera`, over reconnects."""

    frames: int = 0  # handed out, the incomplete ones too
    incomplete: int = 0
    missing_packets: int = 0  # at most, see producer/README.md
    lost: int = 0  # never came: a gap in the camera's own count
    invalid: int = 0  # did not fit their own description
    reconnects: int = 0


def open_camera(config: CameraConfig, clock: Clock, *, wait_s: float = 5.0) -> "Camera":
    """Find the camera, take control, apply its settings and read them back.

    A camera that does not answer, or that another program has control of, is tried again for
    `wait_s`, with the reason in the log. Raises ConfigError for what the user must change and
    DeviceError for what may mend itself.
    """
    with ExitStack() as unless_opened:
        camera = unless_opened.enter_context(Camera(config, clock))
        camera.reconnect(wait_s=wait_s)
        unless_opened.pop_all()
    camera.statistics.reconnects = 0
    return camera


class Camera:
    """Use `open_camera`. Belongs to one thread; frames may be released on any."""

    def __init__(self, config: CameraConfig, clock: Clock) -> None:
        self.config = config
        self.statistics = CameraStatistics()
        self.time = CameraTime()
        self.ptp = PtpCheck(self._ptp_registers, clock)
        self._clock = clock
        self._ids = FrameIds()
        self._system = acquire_system(config.producer)
        self._closed = False
        self._connection: Connection | None = None
        self._liveness: Liveness | None = None
        self._latch: TimeLatch | None = None
        self._maker: FrameMaker | None = None
        self._running = False
        self._free_running = False
        self._patience_ms = float(config.frame_timeout_ms)
        self._quiet_since_ns = 0
        self._lost = ""

    def __enter__(self) -> "Camera":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def lost(self) -> bool:
        """Whether the camera is gone; `reconnect` is the way back."""
        return bool(self._lost)

    @property
    def features(self) -> Any:
        """The camera's feature map (GenApi). Raises DeviceError when there is no camera."""
        return self._connected().node_map

    @property
    def address(self) -> str:
        """The camera's IPv4 address, "" where its producer does not tell. Raises DeviceError."""
        return self._connected().found.address

    @property
    def clock_jumps(self) -> int:
        """How often the camera's clock was stepped."""
        return self.time.jumps

    def reconnect(self, *, wait_s: float) -> None:
        """Let go of the camera and open it anew. Frame ids go on; raises as `open_camera` does."""
        if self._closed:
            raise InvariantError("the camera was closed")
        self._disconnect()
        self._connection = connect(self._system, self.config, self._clock, wait_s)
        self._lost = ""
        self.time.reset()
        self.statistics.reconnects += 1
        connection = self._connection
        if not self._system.is_own and connection.tl_type == "GEV":
            port = connection.port
            self._liveness = Liveness(lambda: port.read(_CONTROL_REGISTER, 4), self._clock)
        self._latch = TimeLatch.of(connection.node_map, self._clock)

    def start(self) -> None:
        """Start to acquire. Raises ConfigError (pixel format) or DeviceError."""
        connection = self._connected()
        nodes, stream = connection.node_map, connection.stream
        if stream is None or self._running:
            raise InvariantError(f"camera {self.config.id} acquires already")
        try:
            self._maker = FrameMaker(
                camera_id=self.config.id,
                node_map=nodes,
                tl_type=connection.tl_type,
                own_producer=self._system.is_own,
                ids=self._ids,
                arrivals=self.time if self._latch is None else None,
                times=FrameTime(
                    self.time, self.ptp, self._observe_time if self._latch else None, self._clock
                ),
                delivered_bits=self.config.delivered_bits,
                clock=self._clock,
            )
            self._free_running = read_value(nodes, "TriggerMode") != "On"
            self._patience_ms = max(self.config.frame_timeout_ms, _PERIODS * longest_period_ms(nodes))
            size = stream.payload_size or int(nodes.PayloadSize.value)
            stream.start(self.config.buffers, size)
            self._running = True
            self._ids.restart()
            lock_parameters(nodes, locked=True)
            nodes.AcquisitionStart.execute()
            self._observe_time()
        except GENTL_ERRORS as error:
            raise self._give_up(error) from error
        self._quiet_since_ns = self._clock.now_ns()

    def fetch(self, timeout_ms: int) -> FrameView | None:
        """Wait for a frame; None when none came in time.

        Raises DeviceError when the camera is gone (found within a second) and DataError for a
        frame that does not fit its own description, which is counted and dropped.
        """
        stream = self._connected().stream
        if stream is None or not self._running:
            raise InvariantError(f"camera {self.config.id} does not acquire")
        deadline_ns = self._clock.now_ns() + timeout_ms * NS_PER_MS
        while True:
            left_ms = max(0, (deadline_ns - self._clock.now_ns()) // NS_PER_MS)
            try:
                filled = stream.wait(min(left_ms, _EVENT_WAIT_MS))
            except GENTL_ERRORS as error:
                raise self._give_up(error) from error
            if filled is not None:
                return self._hand_out(stream, *filled)
            self._check_alive()
            if self._clock.now_ns() >= deadline_ns:
                return None

    def execute(self, command: str) -> None:
        """Execute a command feature such as TriggerSoftware. Raises DeviceError."""
        try:
            self.features.get_node(command)  # raises for an unknown name
            getattr(self.features, command).execute()
        except GENTL_ERRORS as error:
            raise DeviceError(f"camera {self.config.id}: {command} failed: {reason(error)}") from error

    def read(self, feature: str) -> SfncValue | None:
        """Return a feature's value, None where the camera has none. Raises DeviceError."""
        try:
            return read_value(self.features, feature)
        except GENTL_ERRORS as error:
            raise DeviceError(f"camera {self.config.id}: {feature}: {reason(error)}") from error

    def stop(self) -> None:
        """Stop to acquire. Raises DeviceError when the camera is gone."""
        connection = self._connected()
        if not self._running or connection.stream is None:
            return
        self._running = False
        try:
            connection.node_map.AcquisitionStop.execute()
            lock_parameters(connection.node_map, locked=False)
            connection.stream.stop()
        except GENTL_ERRORS as error:
            raise self._give_up(error) from error

    def close(self) -> None:
        """Give the camera back. Takes at most 2 s, whatever state it is in; never raises."""
        if self._closed:
            return
        self._closed = True
        if self._running and not self._lost:
            try:
                self.stop()
            except DeviceError:
                self._running = False  # it went while we left
        self._disconnect()
        release_system(self._system)

    # -- frames ------------------------------------------------------------------------------------

    def _hand_out(self, stream: BufferStream, raw: Any, session: int) -> FrameView:
        assert self._maker is not None
        try:
            meta, pixels = self._maker.make(raw)
        except DataError:
            self.statistics.invalid += 1
            stream.give_back(raw, session)
            raise
        self.statistics.frames += 1
        self.statistics.incomplete += meta.missing_packets > 0
        self.statistics.missing_packets += meta.missing_packets
        self.statistics.lost = self._ids.lost
        self._quiet_since_ns = self._clock.now_ns()
        # Now and not while waiting: a camera that has just sent a frame answers at once, and one
        # that has died would keep us waiting for the answer.
        if self._latch is not None and self._latch.due():
            self._observe_time()
        return FrameView(meta, pixels, lambda: stream.give_back(raw, session))

    def _observe_time(self) -> None:
        if self._latch is None:
            return
        try:
            reading = self._latch.observe()
            self.time.observe(reading.device_ns, reading.host_ns, width_ns=reading.width_ns)
            told = self.ptp.problem
            self.ptp.observe(reading)
        except GENTL_ERRORS as error:
            log.get().info("the camera's clock was not read", cause=reason(error))
            return
        if self.ptp.problem != told:
            log.get().info(
                "PTP", camera_id=self.config.id, verified=self.ptp.verified, cause=self.ptp.problem
            )

    def _ptp_registers(self) -> PtpRegisters | None:
        return ptp_registers(self._connected().node_map)

    # -- the camera itself -------------------------------------------------------------------------

    def _connected(self) -> Connection:
        if self._connection is None or self._lost:
            raise DeviceError(f"camera {self.config.id} is lost: {self._lost or 'not connected'}")
        return self._connection

    def _check_alive(self) -> None:
        problem = self._liveness.problem if self._liveness is not None else ""
        quiet_ms = (self._clock.now_ns() - self._quiet_since_ns) // NS_PER_MS
        if not problem and self._free_running and quiet_ms > self._patience_ms:
            problem = f"it runs freely, but no frame came for {quiet_ms} ms"
        if problem:
            self._lost = problem
            raise DeviceError(f"camera {self.config.id} is lost: {problem}")

    def _give_up(self, error: Exception) -> DeviceError:
        self._lost = reason(error)
        return lost(self.config.id, error)

    def _disconnect(self) -> None:
        if self._liveness is not None:
            self._liveness.close()
        connection, self._connection = self._connection, None
        self._liveness, self._latch, self._maker, self._running = None, None, None, False
        if connection is not None:
            connection.close()
