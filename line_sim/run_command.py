"""`line-sim run`: camera, world, sensors and PLC in one process."""

import ipaddress
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from inspector.clock import SystemClock
from inspector.errors import ConfigError, DeviceError
from line_sim.camera.camera import VirtualCamera
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.faults import FaultKnobs
from line_sim.camera_source import CamerasOnOneWire, PartFrames
from line_sim.disturb import Disturber, PlcClock, line_actions
from line_sim.edge import Edge
from line_sim.event_log import EventLog
from line_sim.faults import FaultPlan
from line_sim.line import STOP, Line, RunSettings
from line_sim.mqtt_link import Broker, Inbound, MqttLink
from line_sim.part_source import PartSource, open_source
from line_sim.plc_outputs import Fields
from line_sim.scenario import Scenario, load_scenario
from line_sim.score import Score
from line_sim.storm import SensorStorm

CONNECT_TIMEOUT_S = 10.0
ANY_ADDRESS = "auto"
_ADDRESSES = tuple(f"127.0.0.{last}" for last in range(1, 51))  # of `auto`


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The command line of `line-sim run`, checked."""

    broker: Broker
    base: str
    camera_address: str
    scenario: str
    images: Path | None
    parts: int | None
    events: str
    settings: RunSettings


@dataclass(frozen=True, slots=True)
class RunResult:
    score: Score
    interrupted: bool

    @property
    def exit_status(self) -> int:
        """0: every part got exactly one verdict; 1: not; 130: the user ended the run."""
        if self.interrupted:
            return 130
        return 0 if self.score.complete else 1


def read_password(env: str | None, file: Path | None) -> str | None:
    """Read the broker password from where the user says it is. Raises ConfigError."""
    if env is not None and file is not None:
        raise ConfigError("give --password-env or --password-file, not both")
    if env is not None:
        if env not in os.environ:
            raise ConfigError(f"--password-env {env}: there is no such environment variable")
        return os.environ[env]
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--password-file {file}: cannot be read") from error


def check_timing(scenario: Scenario, deadline_ms: float) -> None:
    """Refuse a line on which a part reaches the rejector before its verdict is due."""
    travel_ms = scenario.belt.rejector_mm / scenario.belt.speed_mm_s * 1000
    if travel_ms <= deadline_ms:
        raise ConfigError(
            f"belt.rejector_mm: a part is at the rejector after {travel_ms:.0f} ms, its verdict is "
            f"due after {deadline_ms:.0f} ms: move the rejector or shorten --deadline-ms"
        )


@contextmanager
def _stopped_by_signals(inbox: "queue.SimpleQueue[Inbound]") -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run in good order (SimpleQueue.put may be called there)."""

    def stop(_number: int, _frame: object) -> None:
        inbox.put(STOP)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def make_cameras(
    first_address: str, scenario: Scenario, source: PartSource, seed: int
) -> list[VirtualCamera]:
    """Make the cameras of a scenario, SIM-0001 at `first_address` and the next ones after it."""
    turn = threading.Lock()
    return [
        VirtualCamera(
            _camera_config(_address_after(first_address, view), view, scenario, source, seed),
            PartFrames(source, view, turn),
        )
        for view in range(scenario.camera.views)
    ]


def _address_after(first: str, offset: int) -> str:
    try:
        return str(ipaddress.IPv4Address(first) + offset) if offset else first
    except ValueError as error:
        raise ConfigError(f"--camera-address {first}: give an IPv4 address of this machine") from error


def _camera_config(
    address: str, view: int, scenario: Scenario, source: PartSource, seed: int
) -> VirtualCameraConfig:
    width, height = source.size_px
    look = scenario.camera
    return VirtualCameraConfig(
        address=address,
        serial=f"SIM-{view + 1:04d}",
        width=width,
        height=height,
        packet_size=look.packet_bytes,
        link_mbit_per_s=look.link_mbit_per_s,
        noise_seed=view,
        faults=FaultKnobs(loss=look.packet_loss, drop_frames=look.frame_loss, seed=seed + view),
    )


@contextmanager
def powered(address: str, make: Callable[[str], list[VirtualCamera]]) -> Iterator[list[VirtualCamera]]:
    """Have the cameras on that `make` makes for the first one's address.

    With `auto` at the first addresses that are free: a camera has its address by binding it, so
    lines that start at the same time never have the same one. Raises ConfigError when there is none.
    """
    trouble: DeviceError | None = None
    for first in _ADDRESSES if address == ANY_ADDRESS else (address,):
        cameras = make(first)
        with ExitStack() as stack:
            try:
                for camera in cameras:
                    stack.enter_context(camera)
            except DeviceError as error:
                trouble = error
                continue
            yield cameras
            return
    if address == ANY_ADDRESS:
        raise ConfigError(
            f"no address from {_ADDRESSES[0]} to {_ADDRESSES[-1]} is free for a camera: "
            "stop the other cameras, or name an address"
        ) from trouble
    raise ConfigError(str(trouble)) from trouble


def _ready(options: RunOptions, source: PartSource, camera: VirtualCamera) -> Fields:
    width, height = source.size_px
    return {
        "scenario": options.scenario,
        "seed": options.settings.seed,
        "parts": len(source.parts),
        "defective": sum(part.defective for part in source.parts),
        "base": options.base,
        "broker": repr(options.broker),
        "camera_address": camera.config.address,
        "camera_serial": camera.config.serial,
        "width_px": width,
        "height_px": height,
        "deadline_ms": options.settings.deadline_ms,
        "mode": "fast" if options.settings.fast else "realtime",
    }


def run_line(options: RunOptions) -> RunResult:
    """Run the line to its end. Raises ConfigError, DeviceError, DeliveryError or StoreError.

    Call it on the main thread (it handles SIGINT and SIGTERM). All threads are joined and all
    sockets closed when it returns or raises.
    """
    cv2.setNumThreads(1)  # the line shares the machine with the inspector
    scenario = load_scenario(options.scenario, options.images)
    check_timing(scenario, options.settings.deadline_ms)
    source = open_source(scenario, options.settings.seed, options.parts)
    clock = SystemClock()
    inbox: queue.SimpleQueue[Inbound] = queue.SimpleQueue()
    link = MqttLink(options.broker, options.base, inbox)
    log = EventLog(options.events, clock)
    plc_clock = PlcClock(clock)
    storm = SensorStorm(options.broker, options.base, scenario.sensors)

    def make(first_address: str) -> list[VirtualCamera]:
        return make_cameras(first_address, scenario, source, options.settings.seed)

    try:
        with _stopped_by_signals(inbox), powered(options.camera_address, make) as cameras:
            actions = line_actions(cameras, plc_clock, storm)
            disturber = Disturber(scenario.disturbances, actions, log, clock)
            link.start(CONNECT_TIMEOUT_S)
            try:
                log.emit("ready", _ready(options, source, cameras[0]))
                eye, faults = CamerasOnOneWire(cameras), FaultPlan(scenario.faults)
                edge = Edge(link, eye, log, faults, plc_clock, disturber=disturber)
                line = Line(
                    scenario,
                    source.parts,
                    options.settings,
                    edge=edge,
                    log=log,
                    inbox=inbox,
                    clock=clock,
                )
                result = RunResult(*line.run())
                for camera in cameras:
                    about: Fields = {"serial": camera.config.serial, "alive": camera.alive}
                    log.emit("camera", {**about, **asdict(camera.statistics)})
            finally:
                disturber.end_all()
                link.stop()
        summary: Fields = {**result.score.as_dict(), "interrupted": result.interrupted}
        log.emit("summary", {**summary, "exit_status": result.exit_status})
    finally:
        log.close()
    return result
