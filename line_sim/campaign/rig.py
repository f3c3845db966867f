"""One cell, one camera and one line after the other: what a worker of a campaign runs on."""

import queue
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import cv2

from inspector.clock import SystemClock
from inspector.errors import ConfigError, DeliveryError, DeviceError
from line_sim.camera.camera import VirtualCamera
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.source import FrameRequest, Image
from line_sim.camera_source import CamerasOnOneWire, PartFrames
from line_sim.campaign.cell import Cell
from line_sim.campaign.cell_faults import ProcessTrouble, SmallDisk
from line_sim.campaign.judge import Event, Finding, Record, judge_run
from line_sim.campaign.plan import Drawn, faults_of
from line_sim.campaign.scenario_file import not_default
from line_sim.campaign.stalls import StallWatch
from line_sim.disturb import Action, Disturber, PlcClock, line_actions
from line_sim.edge import Edge
from line_sim.faults import FaultPlan
from line_sim.line import Line, RunSettings
from line_sim.mqtt_link import Broker, Inbound, MqttLink
from line_sim.part_source import RenderedParts
from line_sim.plc_outputs import Fields
from line_sim.render import Renderer
from line_sim.scenario import Scenario
from line_sim.storm import SensorStorm

_ADDRESSES: Final = range(51, 151)  # 127.0.0.x: away from those that the demo takes
_READY_S: Final = 40.0
_WHOLE_S: Final = 15.0
_LINGER_S: Final = 12.0
_WARM_S: Final = 2.0  # a service that was restarted loads its model


class _Parts:
    """The camera's source: that of the run that is going on."""

    def __init__(self) -> None:
        self.current: PartFrames | None = None

    def frame(self, request: FrameRequest) -> Image:
        assert self.current is not None
        return self.current.frame(request)


@dataclass
class _MemoryLog:
    """The line's events, kept."""

    clock: SystemClock = field(default_factory=SystemClock)
    events: list[Event] = field(default_factory=list)

    def emit(self, event: str, fields: Fields) -> None:
        self.events.append((event, self.clock.now_ns(), fields))


class Rig:
    """Keeps the cell over many runs. Use it as a context. Not thread-safe.

    Raises ConfigError when something that it needs is missing, DeviceError when the cell does not come up.
    """

    def __init__(self, pattern: Path, seed: int, *, index: int = 0, small_disk: bool = False) -> None:
        cv2.setNumThreads(1)  # the line shares the machine with the inspector
        self._seed = seed
        self._clock = SystemClock()
        self._folder = Path(tempfile.mkdtemp(prefix="line-sim-campaign-"))
        self._parts = _Parts()
        self._disk = SmallDisk(self._folder / "sessions") if small_disk else None
        self._camera = self._open_camera(index)
        self._cell = Cell(
            self._folder, pattern, self._camera.config.address, self._folder / "sessions" / "all"
        )
        self._renderer = Renderer(seed)
        self._started, self._stopped = False, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._disk is not None:
            self._disk.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        """End the cell and the line; what it has recorded stays until the context is left."""
        if not self._stopped:
            self._stopped = True
            self._cell.stop()
            self._camera.stop()

    @property
    def sessions(self) -> Path:
        """Folder of what the cell has recorded."""
        return self._cell.sessions

    @property
    def alive(self) -> bool:
        return self._cell.alive or not self._started

    def run(self, number: int, scenario: Scenario) -> Record:
        """Run one scenario, judge it, and leave the cell whole for the next."""
        record = Record(number=number, faults=[_brief(fault) for fault in faults_of(scenario)])
        begin_ns = self._clock.now_ns()
        log = _MemoryLog()
        try:
            with StallWatch() as stalls:
                self._play(record, scenario, log)
            record.stall_ms = round(stalls.worst_ms, 1)
            self._settle(scenario, log)
        except (DeviceError, DeliveryError) as error:
            record.findings.append(Finding("cell", str(error)))
        if not self.alive:
            record.findings.append(Finding("cell", f"the inspector ended: {self._cell.last_words()}"))
        record.seconds = round((self._clock.now_ns() - begin_ns) / 1e9, 2)
        return record

    def _play(self, record: Record, scenario: Scenario, log: _MemoryLog) -> None:
        source = RenderedParts(scenario, self._seed, scenario.parts or 1, self._renderer)
        self._parts.current = PartFrames(source)
        self._start()
        broker = Broker(host="127.0.0.1", port=self._cell.proxy.port)
        inbox: queue.SimpleQueue[Inbound] = queue.SimpleQueue()
        link = MqttLink(broker, self._cell.base, inbox)
        plc_clock = PlcClock(self._clock)
        actions = self._actions(SensorStorm(broker, self._cell.base, scenario.sensors), plc_clock)
        disturber = Disturber(scenario.disturbances, actions, log, self._clock)
        eye, faults = CamerasOnOneWire([self._camera]), FaultPlan(scenario.faults)
        edge = Edge(link, eye, log, faults, plc_clock, disturber=disturber)
        settings = RunSettings(
            seed=self._seed,
            deadline_ms=self._cell.deadline_ms,
            linger_s=_LINGER_S,
            start_timeout_s=_READY_S,
        )
        link.start(_READY_S)
        try:
            line = Line(scenario, source.parts, settings, edge=edge, log=log, inbox=inbox, clock=self._clock)
            score, _ = line.run()
        finally:
            disturber.end_all()
            link.stop()
        judge_run(
            record,
            scenario,
            outcomes=line.outcomes(),
            score=score,
            events=log.events,
            deadline_ms=self._cell.deadline_ms,
        )

    def _actions(self, storm: SensorStorm, plc_clock: PlcClock) -> dict[str, Action]:
        processes = ProcessTrouble(self._cell)
        actions = line_actions([self._camera], plc_clock, storm)
        actions |= dict.fromkeys(("broker_down", "broker_frozen", "broker_slow"), self._cell.proxy)
        actions |= dict.fromkeys(("kill", "stall", "memory_short"), processes)
        return actions | ({"disk_full": self._disk} if self._disk is not None else {})

    def _start(self) -> None:
        if self._started:
            return
        self._started = True
        self._cell.start()
        try:
            self._cell.wait_whole({"recorder", "explainer", "arbiter", "detector"}, _READY_S)
        except DeviceError as error:
            if self._cell.alive:
                raise
            # No fault of the scenario's: it would end like this each time.
            raise ConfigError(f"the cell does not start: {self._cell.last_words()}") from error

    def _settle(self, scenario: Scenario, log: _MemoryLog) -> None:
        """Wait until what was disturbed is back: camera, services."""
        kinds = {each.kind for each in scenario.disturbances}
        away = [each.for_s for each in scenario.disturbances if each.kind.startswith("camera")]
        ends_ns = [
            at_ns + round(max(away) * 1e9)
            for name, at_ns, fields in log.events
            if name == "disturbance" and fields["began"] and str(fields["kind"]).startswith("camera")
        ]
        left_ns = max(ends_ns, default=0) - self._clock.now_ns()
        time.sleep(max(0.0, left_ns / 1e9))
        self._cell.wait_whole({"recorder", "explainer", "arbiter", "detector"}, _WHOLE_S)
        if kinds & {"kill", "stall", "memory_short", "camera_off", "camera_unplugged"}:
            time.sleep(_WARM_S)

    def _open_camera(self, index: int) -> VirtualCamera:
        """Power a camera at a loopback address that nobody has, beginning at another one for each job."""
        for offset in range(len(_ADDRESSES)):
            last = _ADDRESSES[(offset + index * 8) % len(_ADDRESSES)]
            camera = VirtualCamera(
                VirtualCameraConfig(address=f"127.0.0.{last}", width=640, height=480), self._parts
            )
            try:
                camera.start()
            except DeviceError:
                continue
            return camera
        raise ConfigError("no loopback address is free for a camera")


def _brief(fault: Drawn) -> str:
    """A fault in a few words: `kill detector at P000004 for 1.2 s`."""
    data = not_default(fault)
    kind, part = data.pop("kind"), data.pop("part")
    rest = " ".join(f"{key}={value}" for key, value in data.items())
    return f"{kind} at P{part:06d} {rest}".strip()
