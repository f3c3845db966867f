"""Measures the energy of frames and, where wanted, keeps the machine in the lowest mode that is in time."""

from typing import Final

from inspector.clock import NS_PER_S
from inspector.detect.power.meter import EnergyMeter
from inspector.detect.power.modes import PowerModes
from inspector.detect.power.policy import PowerPolicy
from inspector.types import FrameResult, ResultStatus

_EVERY_NS: Final = NS_PER_S


class PowerKeeper:
    """Driven by the detector's thread: `note` each result, `step` often. `modes` None: only measure."""

    def __init__(
        self, meters: list[EnergyMeter], modes: PowerModes | None, limit_ns: int, now_ns: int
    ) -> None:
        self._meters = meters
        self._modes = modes
        self._policy = PowerPolicy(len(modes.names), limit_ns, now_ns) if modes else None
        self._latencies_ns: list[int] = []
        self._late = 0
        self._next_ns = now_ns + _EVERY_NS
        self._joules = 0.0
        self._known = modes is None  # a detector that was killed leaves its mode behind
        self.joules_per_frame: float | None = None
        self.mode = modes.names[-1] if modes else ""

    def note(self, result: FrameResult) -> None:
        """Latency counts from the frame's arrival to its result."""
        if result.status is ResultStatus.OK:
            self._latencies_ns.append(result.finished_ns - result.received_ns)
        elif result.status is ResultStatus.DROPPED:
            self._late += 1

    def step(self, now_ns: int) -> None:
        """Once a second: read the meters and set the mode. Raises DeviceError."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + _EVERY_NS
        frames = len(self._latencies_ns)
        taken = sum(meter.taken_j() for meter in self._meters)
        self._joules += taken
        if frames and self._meters:
            self.joules_per_frame = taken / frames
        if self._policy is not None and self._modes is not None:
            if not self._known:
                self._modes.set_mode(self._policy.mode)
                self._known = True
            before = self._policy.mode
            mode = self._policy.observe(self._latencies_ns, self._late, now_ns)
            if mode != before:
                self._modes.set_mode(mode)
                self.mode = self._modes.names[mode]
        self._latencies_ns.clear()
        self._late = 0

    def new_millijoules(self) -> int:
        """Whole millijoules metered since the last call, for a counter that only grows."""
        whole = int(self._joules * 1e3)
        self._joules -= whole / 1e3
        return whole

    def close(self) -> None:
        """Leave the machine in its highest mode. Raises DeviceError."""
        if self._modes is not None:
            self._modes.set_mode(len(self._modes.names) - 1)
