"""The loop that every service runs in, and the only policy for errors.

DeviceError: the service goes DEGRADED, reports a Fault and tries again with backoff.
DataError: the input is dropped and counted. StoreError, DeliveryError: DEGRADED, carries on.
ConfigError: exit status 2, the supervisor gives up. Anything else (ModelError, InvariantError, a
defect of ours): a Fault, exit status 1, and the supervisor restarts the process.
"""

import contextlib
import ctypes
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

from inspector import log
from inspector.bus import Bus
from inspector.clock import NS_PER_MS, Clock, SystemClock
from inspector.config import Site
from inspector.errors import ConfigError, DataError, DeliveryError, DeviceError, StoreError
from inspector.metrics import Metrics
from inspector.topics import FAULTS, HEALTH
from inspector.types import Fault, Health, ServiceState

HEARTBEAT_NS = 250 * NS_PER_MS
_IDLE_NS = 100 * NS_PER_MS
_BACKOFF_FIRST_S, _BACKOFF_LAST_S = 0.1, 2.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Service(Protocol):
    """What one process does. All calls come from the process' main thread."""

    def step(self) -> int | None:
        """Do what is waiting; return when (monotonic ns) to be called at the latest, or None."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass
class Context:
    """What the loop gives a service."""

    name: str
    domain: str
    site: Site
    bus: Bus
    clock: Clock
    metrics: Metrics
    fault_sink: Callable[[Fault], None]
    counters: Counter[str] = field(default_factory=Counter)
    degraded: str = ""  # why the service is not whole, set by itself; "" when it is

    def fault(self, code: str, text: str, *, part_id: str = "", camera_id: str = "") -> None:
        """Report something that a person should know."""
        log.get().warning("fault", code=code, text=text, part_id=part_id, camera_id=camera_id)
        self.counters["faults"] += 1
        self.fault_sink(
            Fault(
                service=self.name,
                code=code,
                text=text,
                at_ns=self.clock.now_ns(),
                part_id=part_id,
                camera_id=camera_id,
            )
        )


Factory = Callable[[Context], Service]


class Loop:
    """Runs one service until SIGTERM, an error that it cannot live with, or the parent's death."""

    def __init__(self, name: str, domain: str, site: Site, metrics_index: int) -> None:
        die_with_parent()
        log.configure(name)
        self._stopping = False
        self._bus = Bus(domain, name)
        self._clock = SystemClock()
        self._health = self._bus.publisher(HEALTH)
        faults = self._bus.publisher(FAULTS)
        self._metrics = Metrics(name)
        if site.site.metrics is not None:
            self._metrics.serve(site.site.metrics.host, site.site.metrics.port + metrics_index)
        self._context = Context(name, domain, site, self._bus, self._clock, self._metrics, faults.send)
        self._next_health_ns = 0
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor says when to stop

    def run(self, make: Factory) -> int:
        """Make the service and run it. Returns the process' exit status."""
        with contextlib.closing(self._bus):
            self._beat(ServiceState.STARTING, force=True)
            try:
                service = self._make(make)
                if service is not None:
                    with contextlib.closing(service):
                        self._serve(service)
                        self._beat(ServiceState.STOPPING, force=True)
            except ConfigError as error:
                self._context.fault("CONFIG", str(error))
                return 2
            except Exception as error:  # noqa: BLE001  the boundary of the process: reported, then restarted
                self._context.fault(type(error).__name__, str(error) or "no reason given")
                log.get().exception("service failed")
                return 1
        return 0

    def _make(self, make: Factory) -> Service | None:
        backoff = _Backoff()
        while not self._stopping:
            try:
                return make(self._context)
            except DeviceError as error:
                self._device_error(error, backoff)
        return None

    def _serve(self, service: Service) -> None:
        self._beat(ServiceState.DEGRADED if self._context.degraded else ServiceState.READY, force=True)
        backoff = _Backoff()
        wake_ns: int | None = None
        while not self._stopping:
            now_ns = self._clock.now_ns()
            due_ns = min(
                self._next_health_ns, now_ns + _IDLE_NS, wake_ns if wake_ns is not None else now_ns + _IDLE_NS
            )
            self._bus.wait(due_ns - now_ns)
            try:
                wake_ns = service.step()
                backoff.reset()
            except DeviceError as error:
                self._device_error(error, backoff)
            except DataError as error:
                self._context.counters["bad_data"] += 1
                self._context.fault("DATA", str(error))
            except (StoreError, DeliveryError) as error:
                self._context.degraded = str(error)
                self._context.fault(type(error).__name__, str(error))
            self._beat(ServiceState.DEGRADED if self._context.degraded else ServiceState.READY)

    def _device_error(self, error: DeviceError, backoff: "_Backoff") -> None:
        self._context.degraded = str(error)
        self._context.fault("DEVICE", str(error))
        self._beat(ServiceState.DEGRADED, force=True)
        time.sleep(backoff.next_s())

    def _beat(self, state: ServiceState, *, force: bool = False) -> None:
        now_ns = self._clock.now_ns()
        if not force and now_ns < self._next_health_ns:
            return
        self._next_health_ns = now_ns + HEARTBEAT_NS
        counters = {name: float(value) for name, value in self._context.counters.items()}
        self._metrics.set_counters(counters)
        self._health.send(
            Health(
                service=self._context.name,
                pid=os.getpid(),
                state=state,
                detail=self._context.degraded,
                at_ns=now_ns,
                counters=counters,
            )
        )

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._stopping = True
        self._bus.wake()


class _Backoff:
    """Exponential, with jitter, so that several clients of one device do not retry in step."""

    def __init__(self) -> None:
        self._s = _BACKOFF_FIRST_S

    def next_s(self) -> float:
        wait_s = self._s * random.uniform(0.75, 1.25)
        self._s = min(self._s * 2, _BACKOFF_LAST_S)
        return wait_s

    def reset(self) -> None:
        self._s = _BACKOFF_FIRST_S


def die_with_parent(how: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel end us when the supervisor is gone, however it went (prctl(2))."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, how, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() == 1 and os.environ.get("INSPECTOR_SUPERVISOR") not in {None, "1"}:
        sys.exit(1)  # it died before we asked
