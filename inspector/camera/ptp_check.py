"""Whether a camera that says that PTP keeps its clock speaks the truth, and what follows then.

Cameras are known that report "Slave" while their clock runs free, and a host may itself follow
another master. So the camera's registers are only the beginning: its clock, read by command, must
show this host's UTC. That is checked at each reading, and holds until the next one.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inspector.camera.settings import find_node, read_value
from inspector.camera.time_latch import Reading
from inspector.clock import NS_PER_S, Clock

_MOST_OFF_NS = 500_000  # of the host's UTC, besides the time that the reading took
_MOST_FROM_MASTER_NS = 100_000
_TAI_NS = 37 * NS_PER_S  # PTP counts TAI, which is this far ahead of UTC since 2017
_KEPT = 30  # readings


@dataclass(frozen=True, slots=True)
class PtpRegisters:
    """What the camera says. `offset_ns` is None where it does not tell."""

    enabled: bool
    status: str
    offset_ns: int | None


def ptp_registers(node_map: Any) -> PtpRegisters | None:
    """Read them, by their SFNC or older names; None for a camera without PTP."""
    for prefix in ("Ptp", "GevIEEE1588"):
        enable = read_value(node_map, f"{prefix}Enable" if prefix == "Ptp" else prefix)
        if enable is None:
            continue
        latch = find_node(node_map, f"{prefix}DataSetLatch")
        if latch is not None:
            latch.execute()
        status = read_value(node_map, f"{prefix}Status")
        offset = read_value(node_map, f"{prefix}OffsetFromMaster")
        from_master = int(offset) if isinstance(offset, int | float) else None
        return PtpRegisters(bool(enable), str(status or ""), from_master)
    return None


class PtpCheck:
    """Belongs to the thread of the camera. `registers` raises what the producer raises."""

    def __init__(self, registers: Callable[[], PtpRegisters | None], clock: Clock) -> None:
        self._registers = registers
        self._clock = clock
        self._offs: deque[tuple[int, int]] = deque(maxlen=_KEPT)  # (half width, off by)
        self._ahead_ns = 0
        self.problem = "not looked at yet"  # why PTP is not relied on; "" when it is

    @property
    def verified(self) -> bool:
        """Whether the camera's clock is this host's UTC (or TAI)."""
        return not self.problem

    def observe(self, reading: Reading) -> None:
        """Compare the camera's clock with ours, and its registers with that."""
        self.problem = self._judge(reading)
        if self.problem:
            self._offs.clear()

    def to_host(self, device_ns: int) -> int:
        """Map a PTP time to this host's monotonic clock. Only when `verified`."""
        return device_ns - self._ahead_ns - (self._clock.utc_ns() - self._clock.now_ns())

    def uncertainty_ns(self) -> int:
        """Return what the best of the last readings leaves open. Only when `verified`."""
        half_ns, off_ns = min(self._offs)
        return half_ns + abs(off_ns)

    def _judge(self, reading: Reading) -> str:
        said = self._registers()
        if said is None:
            return "the camera has no PTP"
        if not said.enabled:
            return "PTP is switched off in the camera"
        if said.status != "Slave":
            return f"PTP is not locked: PtpStatus is {said.status or 'not told'}"
        if said.offset_ns is not None and abs(said.offset_ns) > _MOST_FROM_MASTER_NS:
            return f"the camera is {said.offset_ns / 1000:.0f} us off its PTP master"
        half_ns = reading.width_ns // 2
        utc_ns = reading.host_ns - half_ns + self._clock.utc_ns() - self._clock.now_ns()
        self._ahead_ns = _TAI_NS if reading.device_ns - utc_ns > _TAI_NS // 2 else 0
        off_ns = reading.device_ns - self._ahead_ns - utc_ns
        if abs(off_ns) > half_ns + _MOST_OFF_NS:
            return (
                f"PTP says Slave, but the camera's clock is {off_ns / 1e6:.1f} ms off this host's UTC: "
                "the register lies, or this host does not follow the same master"
            )
        self._offs.append((half_ns, off_ns))
        return ""
