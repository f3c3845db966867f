"""IEEE 1588 as an application sees it: states, the offset, and a clock that follows its master.

No packet of the protocol is sent: the host's UTC is the master, and a servo of a step a second
stands for the exchange. With the lie switched on it reports what a badly implemented camera
reports, "Slave" and a small offset, while its clock runs free.
"""

from enum import IntEnum

from line_sim.camera.device_clock import DeviceClock

_NS_PER_S = 1_000_000_000
_LISTEN_NS = 200_000_000
_SYNC_NS = _NS_PER_S
_LOCKED_NS = 1_000_000  # a larger offset means that synchronisation is lost


class PtpState(IntEnum):
    """Of IEEE 1588-2008, table 8; SFNC PtpStatus has the same names."""

    INITIALIZING = 1
    FAULTY = 2
    DISABLED = 3
    LISTENING = 4
    PRE_MASTER = 5
    MASTER = 6
    PASSIVE = 7
    UNCALIBRATED = 8
    SLAVE = 9


class Ptp:
    """Not thread-safe: the device's lock guards it. `poll` moves it on."""

    def __init__(self, clock: DeviceClock) -> None:
        self._clock = clock
        self._state = PtpState.DISABLED
        self._next_ns = 0
        self.lies = False

    @property
    def state(self) -> PtpState:
        return self._state

    def enable(self, on: bool) -> None:
        if on == (self._state is not PtpState.DISABLED):
            return
        self._state = PtpState.LISTENING if on else PtpState.DISABLED
        self._next_ns = self._clock.now_ns() + _LISTEN_NS
        if not on:
            self._clock.run_free()

    def offset_ns(self) -> int:
        """Return PtpOffsetFromMaster; 0 while there is no master."""
        if self._state not in (PtpState.SLAVE, PtpState.UNCALIBRATED):
            return 0
        if self.lies:
            return self._clock.now_ns() // 1_000_000 % 101 - 50
        return self._clock.ticks() - self._clock.master_ns()

    def poll(self) -> None:
        """Go on to the next state when its time has come, and correct the clock once a second."""
        if self._state is PtpState.DISABLED:
            return
        now_ns = self._clock.now_ns()
        if self._state is PtpState.SLAVE and not self.lies and abs(self.offset_ns()) > _LOCKED_NS:
            self._state = PtpState.UNCALIBRATED
            self._next_ns = now_ns + _SYNC_NS
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + _SYNC_NS
        if self._state is PtpState.LISTENING:
            self._state = PtpState.UNCALIBRATED
            return
        if self.lies:
            self._clock.run_free()
        else:
            self._clock.discipline(self._clock.master_ns())
        self._state = PtpState.SLAVE
