"""`inspector run` and `record`: the supervisor in the foreground."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inspector import log
from inspector.clock import NS_PER_S, SystemClock
from inspector.config import Site
from inspector.services.interrupt import Interrupt
from inspector.services.recorder import sessions_of_run
from inspector.services.supervisor import Supervisor
from inspector.topics import VERDICTS


@dataclass(frozen=True, slots=True)
class Fill:
    """When a run ends by itself: so many parts judged, or so long after all services were ready."""

    parts: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a run leaves: the parts that were judged, and its sessions, one for each recipe."""

    parts: int
    sessions: tuple[Path, ...]


def run_cell(site: Site, site_file: Path) -> None:
    """Run the cell's services. Returns after SIGTERM or Ctrl-C, when all have ended.

    Raises:
        ConfigError: a service found its configuration wrong.
    """
    _run(lambda: Supervisor(site, site_file), None)


def record_cell(site: Site, site_file: Path, fill: Fill) -> Recorded:
    """The same with all frames recorded; returns too when it has its `fill`. Raises ConfigError."""
    parts = _run(lambda: Supervisor(site, site_file, all_frames=True), fill)
    return Recorded(parts, sessions_of_run(site.root / site.site.recorder.directory, os.getpid()))


def _run(make: Callable[[], Supervisor], fill: Fill | None) -> int:
    """Returns how many parts were judged; 0 without a `fill`: nobody counts them."""
    log.configure("supervisor")
    clock = SystemClock()
    parts = 0
    with Interrupt() as interrupt:
        with interrupt.shield():
            supervisor = make()
        try:
            verdicts = None if fill is None else supervisor.bus.subscriber(VERDICTS)
            supervisor.start()
            ready_ns: int | None = None
            while not _full(fill, parts, ready_ns, clock.now_ns()):
                supervisor.poll()
                if verdicts is not None:
                    parts += sum(record.verdict.part_id != "" for record in verdicts.drain())
                if supervisor.ready and ready_ns is None:
                    log.get().info("all services are ready", domain=supervisor.domain)
                    ready_ns = clock.now_ns()
        except KeyboardInterrupt:
            log.get().info("stopping")
        finally:
            with interrupt.shield():
                supervisor.stop()
    return parts


def _full(fill: Fill | None, parts: int, ready_ns: int | None, now_ns: int) -> bool:
    if fill is None:
        return False
    if fill.parts is not None and parts >= fill.parts:
        return True
    return fill.seconds is not None and ready_ns is not None and now_ns - ready_ns >= fill.seconds * NS_PER_S
