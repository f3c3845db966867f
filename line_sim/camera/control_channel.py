"""Who controls the device: the control channel privilege and its heartbeat. Pure, time is given.

GigE Vision 2.0, chapter 10 (control channel) and 10.6 (heartbeat): the first application to
write CCP is the primary one until it releases it or is silent for the heartbeat timeout.
"""

from line_sim.camera.bootstrap import Privilege
from line_sim.camera.gvcp import CommandRefusedError, Status

Peer = tuple[str, int]
"""IPv4 address and UDP port of an application."""

_NS_PER_MS = 1_000_000


class ControlChannel:
    """Not thread-safe: the device's lock guards it."""

    def __init__(self) -> None:
        self.holder: Peer | None = None
        self.privilege = Privilege(0)
        self._last_heard_ns = 0

    def heard(self, peer: Peer, now_ns: int) -> None:
        """Note a command; any command of the primary application is a heartbeat."""
        if peer == self.holder:
            self._last_heard_ns = now_ns

    def check_read(self, peer: Peer) -> None:
        if peer != self.holder and Privilege.EXCLUSIVE in self.privilege:
            raise CommandRefusedError(Status.ACCESS_DENIED, "another application has exclusive access")

    def check_write(self, peer: Peer) -> None:
        if peer != self.holder:
            raise CommandRefusedError(Status.ACCESS_DENIED, "the application does not have control")

    def request(self, peer: Peer, value: int, now_ns: int) -> bool:
        """Write CCP; return whether control was released by it."""
        if self.holder is not None and peer != self.holder:
            raise CommandRefusedError(Status.ACCESS_DENIED, "another application has control")
        if value & ~int(Privilege.EXCLUSIVE | Privilege.CONTROL):
            raise CommandRefusedError(Status.INVALID_PARAMETER, f"CCP has no value {value:#x}")
        released = self.holder is not None and value == 0
        self.privilege = Privilege(value)
        self.holder = peer if value else None
        self._last_heard_ns = now_ns
        return released

    def expire(self, now_ns: int, timeout_ms: int) -> bool:
        """Take control back from a silent holder; return whether that happened."""
        if self.holder is None or now_ns - self._last_heard_ns < timeout_ms * _NS_PER_MS:
            return False
        self.release()
        return True

    def release(self) -> None:
        self.holder = None
        self.privilege = Privilege(0)
