"""Deterministic simulated time: devices, a scheduler that wakes them, pacers that slow it down.

After the manner of tickit (Diamond Light Source): a device is given the time and its inputs, and
returns its outputs and the time at which it wants to be woken next. Nothing here reads a clock or
does I/O; simulated time starts at 0 ns.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Update(Generic[E]):
    """What a device did: its outputs, and when to wake it (None: only by an input)."""

    outputs: tuple[E, ...] = ()
    wake_ns: int | None = None


class Device(Protocol[E]):
    """A part of the simulated world.

    `update` is called when its wake-up is due or when there are inputs, never with a time before
    that of the last call. Its answer must depend on its arguments and its own state only. The
    wake-up that it returns replaces the one before.
    """

    def update(self, now_ns: int, inputs: Sequence[E]) -> Update[E]: ...


@dataclass(frozen=True, slots=True)
class Happening(Generic[E]):
    """An output of a device, as the outside gets to see it."""

    at_ns: int
    device: str
    event: E


class Scheduler(Generic[E]):
    """Wakes devices in the order of time, and takes outputs along the wires.

    `wiring` maps a device's name to those that get all its outputs as inputs. At one instant
    devices run in the order in which they were given, then in the order in which inputs reached
    them, so that a run is the same every time.
    """

    MAX_ROUNDS = 1000  # at one instant; more is a loop in the wiring

    def __init__(self, devices: Mapping[str, Device[E]], wiring: Mapping[str, Iterable[str]]) -> None:
        unknown = ({*wiring} | {n for to in wiring.values() for n in to}) - {*devices}
        if unknown:
            raise ValueError(f"wiring names devices that do not exist: {sorted(unknown)}")
        self._devices = dict(devices)
        self._wiring = {name: tuple(wiring.get(name, ())) for name in devices}
        self._wake_ns: dict[str, int | None] = dict.fromkeys(devices, 0)
        self._now_ns = 0

    @property
    def now_ns(self) -> int:
        return self._now_ns

    @property
    def next_ns(self) -> int | None:
        """When the next device wants to be woken; None when nothing will happen by itself."""
        return min((w for w in self._wake_ns.values() if w is not None), default=None)

    def step(self) -> list[Happening[E]]:
        """Go to the next wake-up, run what is due, and return what happened, in order."""
        due_ns = self.next_ns
        if due_ns is None:
            return []
        self._now_ns = max(self._now_ns, due_ns)
        due = [n for n, w in self._wake_ns.items() if w is not None and w <= self._now_ns]
        return self._run(deque((name, ()) for name in due))

    def inject(self, at_ns: int, inputs: Mapping[str, Sequence[E]]) -> list[Happening[E]]:
        """Give devices inputs from outside at `at_ns` (not before now), and return what happened.

        Wake-ups due before `at_ns` must have been stepped through already.
        """
        self._now_ns = max(self._now_ns, at_ns)
        return self._run(deque((name, tuple(events)) for name, events in inputs.items()))

    def _run(self, queue: deque[tuple[str, tuple[E, ...]]]) -> list[Happening[E]]:
        happened: list[Happening[E]] = []
        rounds = 0
        while queue:
            rounds += 1
            if rounds > self.MAX_ROUNDS:
                raise RuntimeError("the devices keep waking each other: a loop in the wiring")
            name, inputs = queue.popleft()
            update = self._devices[name].update(self._now_ns, inputs)
            self._wake_ns[name] = update.wake_ns
            if not update.outputs:
                continue
            happened.extend(Happening(self._now_ns, name, event) for event in update.outputs)
            queue.extend((to, update.outputs) for to in self._wiring[name])
        return happened


class Pacer(Protocol):
    """Maps simulated to wall time. All arguments and results are nanoseconds."""

    def wait_ns(self, next_ns: int, wall_ns: int, hold_until_ns: int | None) -> int:
        """How long to wait before stepping to `next_ns`; 0 or less: now.

        `hold_until_ns` is the latest wall time until which the outside world still has to answer
        something (a verdict), None when it does not.
        """
        ...

    def sim_ns(self, scheduler_ns: int, wall_ns: int) -> int:
        """The simulated time of something that happens outside at `wall_ns`."""
        ...


@dataclass(frozen=True, slots=True)
class Realtime:
    """One simulated second takes one second. The outside is never waited for."""

    start_wall_ns: int

    def wait_ns(self, next_ns: int, wall_ns: int, hold_until_ns: int | None) -> int:  # noqa: ARG002 - the protocol's
        return self.start_wall_ns + next_ns - wall_ns

    def sim_ns(self, scheduler_ns: int, wall_ns: int) -> int:
        return max(scheduler_ns, wall_ns - self.start_wall_ns)


@dataclass(frozen=True, slots=True)
class LockStep:
    """As fast as the outside answers: time stands still while it owes an answer, else it jumps."""

    def wait_ns(self, next_ns: int, wall_ns: int, hold_until_ns: int | None) -> int:  # noqa: ARG002 - the protocol's
        return 0 if hold_until_ns is None else hold_until_ns - wall_ns

    def sim_ns(self, scheduler_ns: int, wall_ns: int) -> int:  # noqa: ARG002 - the protocol's
        return scheduler_ns
