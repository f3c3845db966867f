"""The parent: starts the services of the table, watches them, restarts them, and cleans up.

It is also who owns the choice of the recipe, since it tells every service which one it is for.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from inspector import log
from inspector.bus import Bus, stale_domains, sweep
from inspector.clock import NS_PER_MS, NS_PER_S, Clock, SystemClock
from inspector.config import Site
from inspector.errors import ConfigError, ModelError, StoreError
from inspector.services.missed_faults import UP, MissedFaults
from inspector.services.recipe import recipe_in_use, select_recipe
from inspector.services.table import ServiceSpec, services
from inspector.topics import FAULTS, HEALTH, MISSED_FAULTS, RECIPE_REFUSED, SELECT_RECIPE
from inspector.types import Fault, Health, RecipeRefused, ServiceState

_STALLED_NS = 3 * NS_PER_S  # a service that was ready and is silent for so long is wedged
_STEADY_NS = 10 * NS_PER_S  # after so long, the next failure is a new one
_BACKOFF_FIRST_NS, _BACKOFF_LAST_NS = 50 * NS_PER_MS, 5 * NS_PER_S
_POLL_NS = 50 * NS_PER_MS
_STOP_S = 5.0
_ARBITER = "arbiter"
# The arbiter ends last so that an emergency is answered meanwhile, then who hears its last words.
# With another recipe they are also the first to start.
_LAST = (_ARBITER, "recorder")
# A service needs no threads of NumPy's for large matrices, which cost each start. What the environment says
# goes before (docs/decisions/051).
QUICK_START = {"OPENBLAS_NUM_THREADS": "1"}


@dataclass
class _Child:
    spec: ServiceSpec
    process: subprocess.Popen[bytes] | None = None
    state: ServiceState = ServiceState.STARTING
    heard_ns: int = 0
    started_ns: int = 0
    restart_ns: int = 0
    backoff_ns: int = _BACKOFF_FIRST_NS
    restarts: int = 0
    config_error: str = ""
    waits: bool = False  # until the arbiter is up, for which an emergency waits: it has the processor first
    health: Health | None = field(default=None)


class Supervisor:
    """Runs one cell. Belongs to the thread that made it.

    `site` is the site as it stands in its file; with `all_frames` they are recorded whatever it says. The
    recipe is the one that was selected last; raises ConfigError when it is not there any more.
    """

    def __init__(
        self,
        site: Site,
        site_file: Path,
        log_dir: Path | None = None,
        *,
        clock: Clock | None = None,
        all_frames: bool = False,
    ) -> None:
        self.recipe = recipe_in_use(site)
        for stale in stale_domains():
            sweep(stale)
        self.domain = str(os.getpid())
        self._site = site
        self._site_file = site_file
        self._log_dir = log_dir
        self._differs = ["--all-frames"] if all_frames else []
        self._clock = clock or SystemClock()
        self.bus = Bus(self.domain, "supervisor")
        self._health_in = self.bus.subscriber(HEALTH)
        self._health_out = self.bus.publisher(HEALTH)
        self._faults_in = self.bus.subscriber(FAULTS)
        self._faults_out = self.bus.publisher(FAULTS)
        self._missed = MissedFaults()
        self._missed_out = self.bus.publisher(MISSED_FAULTS)
        self._selected = self.bus.subscriber(SELECT_RECIPE)
        self._refusals = self.bus.publisher(RECIPE_REFUSED)
        self._children = {spec.name: _Child(spec) for spec in services(site)}
        self.on_fault: Callable[[Fault], None] | None = None

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        for child in self._children.values():
            self._spawn(child)

    def poll(self, timeout_ns: int = _POLL_NS) -> None:
        """Wait for news of the services and act on it. Call it again and again.

        Raises:
            ConfigError: a service says that its configuration is wrong.
        """
        self.bus.wait(timeout_ns)
        for wish in self._selected.drain():
            self._change_over(wish.recipe)  # before the heartbeats: meanwhile nobody listened to them
        for health in self._health_in.drain():
            self._heard(health)
        self._hear_faults()
        for child in self._children.values():
            self._watch(child)

    def stop(self) -> None:
        """End every service, the recorder last, and remove the shared memory."""
        self._end(self._children.values())
        self.bus.close()
        sweep(self.domain)

    # -- what others want to know ----------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether all required services are up."""
        return all(child.state in UP for child in self._children.values() if child.spec.required)

    def state(self, name: str) -> ServiceState:
        return self._children[name].state

    def pid(self, name: str) -> int | None:
        process = self._children[name].process
        return process.pid if process is not None and process.poll() is None else None

    def restarts(self) -> dict[str, int]:
        return {name: child.restarts for name, child in self._children.items()}

    def counters(self) -> dict[str, dict[str, float]]:
        """Each service's own counters, as of its last heartbeat."""
        return {
            name: child.health.counters if child.health is not None else {}
            for name, child in self._children.items()
        }

    # -- children --------------------------------------------------------------------------------

    def _spawn(self, child: _Child) -> None:
        command = [sys.executable, "-m", "inspector.services", child.spec.name]
        command += ["--domain", self.domain, "--site", str(self._site_file), *self._differs]
        command += ["--recipe", self.recipe]
        environment = {**QUICK_START, **os.environ, "INSPECTOR_SUPERVISOR": str(os.getpid())}
        log_file = None
        if self._log_dir is not None:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            log_file = (self._log_dir / f"{child.spec.name}.log").open("ab")
        # A group of its own, so that Ctrl-C reaches the supervisor alone and the order of ending is ours.
        child.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            process_group=0,
        )
        if log_file is not None:
            log_file.close()
        child.waits = False
        child.state = ServiceState.STARTING
        child.started_ns = child.heard_ns = self._clock.now_ns()

    def _end(self, children: Iterable[_Child]) -> None:
        """End these, the arbiter and the recorder among them."""
        self._end_together([child for child in children if child.spec.name not in _LAST])
        for name in _LAST:
            self._end_together([self._children[name]])

    def _end_together(self, children: list[_Child]) -> None:
        for child in children:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        for child in children:
            self._wait(child)

    def _change_over(self, recipe: str) -> None:
        """Begin anew with another recipe, where it can be used; parts meanwhile are the ledger's."""
        try:
            select_recipe(self._site, self._site_file, recipe)
        except (ConfigError, ModelError, StoreError) as error:
            self._refusals.send(RecipeRefused(recipe=recipe, reason=str(error)))
            return
        log.get().info("another recipe", recipe=recipe, before=self.recipe)
        self.recipe = recipe
        changed = [child for child in self._children.values() if child.spec.of_recipe]
        self._end(changed)
        self._missed.arbiter(ServiceState.DEAD, self._clock.now_ns())
        self.bus.bury_dead()
        for child in changed:
            child.waits = child.spec.name not in _LAST
            if not child.waits:
                self._spawn(child)

    def _hear_faults(self) -> None:
        for fault in self._faults_in.drain():
            self._missed.note(fault)
            child = self._children.get(fault.service)
            if child is not None and fault.code == "CONFIG":
                child.config_error = fault.text
            if self.on_fault is not None:
                self.on_fault(fault)

    def _heard(self, health: Health) -> None:
        child = self._children.get(health.service)
        if child is None or child.process is None or health.pid != child.process.pid:
            return  # the last words of a predecessor
        child.heard_ns = self._clock.now_ns()
        child.state = health.state
        child.health = health
        if child.spec.name == _ARBITER and self._missed.arbiter(health.state, health.at_ns):
            self._hear_faults()  # what it may have missed is among these
            for fault in self._missed.take(health.at_ns):
                self._missed_out.send(fault)

    def _watch(self, child: _Child) -> None:
        if child.waits:
            if self._children[_ARBITER].state in UP:
                self._spawn(child)
            return
        now_ns = self._clock.now_ns()
        if child.process is None:
            if now_ns >= child.restart_ns:
                child.restarts += 1
                self._spawn(child)
            return
        status = child.process.poll()
        if status is None:
            starting = child.state is ServiceState.STARTING
            limit_ns = round(child.spec.start_s * NS_PER_S) if starting else _STALLED_NS
            if now_ns - child.heard_ns > limit_ns:
                self._fault("STALLED", f"{child.spec.name} is silent and is restarted", child)
                child.process.kill()
            return
        if status == 2:
            raise ConfigError(
                child.config_error or f"{child.spec.name}: its configuration is wrong, see its log"
            )
        self._died(child, status, now_ns)

    def _died(self, child: _Child, status: int, now_ns: int) -> None:
        pid = child.process.pid if child.process is not None else 0
        child.process = None
        child.state = ServiceState.DEAD
        if child.spec.name == _ARBITER:
            self._missed.arbiter(ServiceState.DEAD, now_ns)
        self.bus.bury_dead()
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        self._health_out.send(
            Health(
                service=child.spec.name,
                pid=pid,
                state=ServiceState.DEAD,
                detail=how,
                at_ns=now_ns,
                counters={},
            )
        )
        if now_ns - child.started_ns > _STEADY_NS:
            child.backoff_ns = _BACKOFF_FIRST_NS
        child.restart_ns = now_ns + child.backoff_ns
        child.backoff_ns = min(child.backoff_ns * 2, _BACKOFF_LAST_NS)
        self._fault("DIED", f"{child.spec.name} ended ({how}) and is restarted", child)

    def _fault(self, code: str, text: str, child: _Child) -> None:
        log.get().warning(text, code=code, child=child.spec.name)
        self._faults_out.send(Fault(service="supervisor", code=code, text=text, at_ns=self._clock.now_ns()))

    def _wait(self, child: _Child) -> None:
        if child.process is None:
            return
        try:
            child.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
