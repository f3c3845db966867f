"""Disturbances as the scenario times them: begun at a part, ended after a while. One thread."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from inspector.clock import NS_PER_S, Clock
from inspector.errors import ConfigError
from line_sim.camera.camera import VirtualCamera
from line_sim.plc_outputs import Fields
from line_sim.scenario import Disturbance

NS_PER_MS: Final = 1_000_000


class Log(Protocol):
    def emit(self, event: str, fields: Fields) -> None: ...


class Action(Protocol):
    """What a kind of disturbance does. Neither call may block for long."""

    def begin(self, disturbance: Disturbance) -> None: ...

    def end(self, disturbance: Disturbance) -> None: ...


@dataclass(order=True, slots=True)
class _Running:
    end_ns: int
    order: int
    disturbance: Disturbance = field(compare=False)


class Disturber:
    """Calls the actions when their time has come. `end_all` undoes what is still going on.

    Raises ConfigError for a disturbance that nobody here can bring about.
    """

    def __init__(
        self, plan: Sequence[Disturbance], actions: Mapping[str, Action], log: Log, clock: Clock
    ) -> None:
        for each in plan:
            if each.kind not in actions:
                raise ConfigError(
                    f"disturbances: {each.kind} needs the cell too: line-sim campaign --scenario FILE"
                )
        self._plan = tuple(plan)
        self._actions, self._log, self._clock = actions, log, clock
        self._running: list[_Running] = []
        self._count = 0

    def part_at_eye(self, number: int) -> None:
        """Begin what begins with this part."""
        for each in self._plan:
            if each.part == number:
                self._count += 1
                self._tell(each, began=True)
                self._actions[each.kind].begin(each)
                end_ns = self._clock.now_ns() + round(each.for_s * NS_PER_S)
                heapq.heappush(self._running, _Running(end_ns, self._count, each))

    def tick(self, now_ns: int) -> None:
        """End what has lasted long enough."""
        while self._running and self._running[0].end_ns <= now_ns:
            self._end(heapq.heappop(self._running).disturbance)

    def next_due_ns(self) -> int | None:
        return self._running[0].end_ns if self._running else None

    def end_all(self) -> None:
        """End everything now."""
        while self._running:
            self._end(heapq.heappop(self._running).disturbance)

    def _end(self, disturbance: Disturbance) -> None:
        self._actions[disturbance.kind].end(disturbance)
        self._tell(disturbance, began=False)

    def _tell(self, disturbance: Disturbance, *, began: bool) -> None:
        about: Fields = {"kind": disturbance.kind, "part_number": disturbance.part, "began": began}
        about |= {"service": disturbance.service, "for_s": disturbance.for_s}
        self._log.emit("disturbance", {**about, "delay_ms": disturbance.delay_ms})


class CameraTrouble:
    """Disturbances of the cameras: power, cable, packets and clock."""

    def __init__(self, cameras: Sequence[VirtualCamera]) -> None:
        self._cameras = tuple(cameras)

    def begin(self, disturbance: Disturbance) -> None:
        for camera in self._cameras:
            match disturbance.kind:
                case "camera_off":
                    camera.reboot(disturbance.for_s)
                case "camera_unplugged":
                    camera.unplug(disturbance.for_s)
                case "packet_loss":
                    camera.set_faults(replace(camera.faults, loss=disturbance.share or 0.0))
                case "clock_jump":
                    camera.clock.jump(round((disturbance.jump_ms or 0.0) * NS_PER_MS))
                case "clock_drift":
                    camera.clock.drift_ppm = disturbance.drift_ppm or 0.0

    def end(self, disturbance: Disturbance) -> None:
        for camera in self._cameras:
            if disturbance.kind == "packet_loss":
                camera.set_faults(replace(camera.faults, loss=camera.config.faults.loss))
            elif disturbance.kind == "clock_drift":
                camera.clock.drift_ppm = camera.config.clock_drift_ppm


CAMERA_KINDS: Final = ("camera_off", "camera_unplugged", "packet_loss", "clock_jump", "clock_drift")


class PlcClock:
    """The PLC's clock: host UTC, off by what a disturbance says."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._off_ns = 0

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def utc_ns(self) -> int:
        return self._clock.utc_ns() + self._off_ns

    def begin(self, disturbance: Disturbance) -> None:
        self._off_ns = round((disturbance.jump_ms or 0.0) * NS_PER_MS)

    def end(self, disturbance: Disturbance) -> None:
        del disturbance
        self._off_ns = 0


def line_actions(cameras: Sequence[VirtualCamera], plc_clock: PlcClock, storm: Action) -> dict[str, Action]:
    """What the line itself can bring about, by kind."""
    trouble = CameraTrouble(cameras)
    return {**dict.fromkeys(CAMERA_KINDS, trouble), "plc_clock": plc_clock, "sensor_storm": storm}
