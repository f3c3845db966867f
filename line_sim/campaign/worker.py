"""One job of a campaign: a process with a cell of its own, which runs what it is given."""

import os
import queue
import shutil
import signal
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Event as StopEvent
from pathlib import Path
from typing import Final, Protocol

from msgspec import structs

from inspector.errors import ConfigError, InspectorError
from line_sim.campaign.judge import Record
from line_sim.campaign.plan import plan_run
from line_sim.campaign.replays import Replayed, replay, sessions_in
from line_sim.campaign.rig import Rig
from line_sim.campaign.scenario_file import write_scenario
from line_sim.campaign.shrink import shrink
from line_sim.scenario import Scenario

_REPRODUCTIONS: Final = 2
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all jobs of a campaign share. `scenario` replaces the drawn ones."""

    site: Path
    seed: int
    out: Path
    kinds: frozenset[str]
    scenario: Scenario | None = None
    shrink_runs: int = 24


class Inbox(Protocol):
    """A queue of run numbers; None ends the job."""

    def get(self, block: bool = ..., timeout: float | None = ...) -> int | None: ...


class Outbox(Protocol):
    """A queue of records and replays, or of one line that says why the job ended."""

    def put(self, item: Record | Replayed | str) -> None: ...


def work(index: int, settings: Settings, numbers: Inbox, records: Outbox, stop: StopEvent) -> None:
    """Run numbers from the queue until it says None, `stop` is set or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    job = _Job(index, settings, records, stop)
    parent = os.getppid()
    try:
        while not stop.is_set() and os.getppid() == parent:
            try:
                number = numbers.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if number is None:
                job.end_cell()
                return
            record = job.run(number)
            if not stop.is_set() or not record.failed:
                records.put(record)
    except InspectorError as error:
        records.put(str(error))
    finally:
        job.close()


class _Job:
    """A rig that is made anew after each failure, which is then reproduced and shrunk."""

    def __init__(self, index: int, settings: Settings, records: Outbox, stop: StopEvent) -> None:
        self._index, self._settings, self._records, self._stop = index, settings, records, stop
        self._rig: Rig | None = None

    def run(self, number: int) -> Record:
        scenario = self._settings.scenario
        if scenario is not None:
            self.end_cell()  # its parts have been there before
        else:
            scenario = plan_run(self._settings.seed, number, self._settings.kinds)
        record = self._play(number, scenario)
        if record.failed:
            self.end_cell()
            if self._settings.scenario is None and self._settings.shrink_runs and not self._stop.is_set():
                self._reproduce(record, scenario)
        return record

    def end_cell(self) -> None:
        """End the cell; what it recorded must give the same verdicts again. One that does not is kept.

        One that cannot be replayed is told, and ends nothing: a fault may have taken its journal.
        """
        if self._rig is None:
            return
        self._rig.stop()
        for session in () if self._stop.is_set() else sessions_in(self._rig.sessions):
            try:
                done = replay(session)
            except ConfigError as error:
                done = Replayed(session=session.name, equal=0, different=0, not_compared=0, failed=str(error))
            if done.different:
                kept = shutil.copytree(session, self._settings.out / session.name, dirs_exist_ok=True)
                done = replace(done, kept=str(kept))
            self._records.put(done)
        self.close()

    def close(self) -> None:
        if self._rig is not None:
            rig, self._rig = self._rig, None
            rig.__exit__(None, None, None)

    def _play(self, number: int, scenario: Scenario) -> Record:
        if self._rig is None:
            small_disk = "disk_full" in self._settings.kinds
            self._rig = Rig(
                self._settings.site, self._settings.seed, index=self._index, small_disk=small_disk
            )
        return self._rig.run(number, scenario)

    def _reproduce(self, record: Record, scenario: Scenario) -> None:
        """Try again in fresh cells; if it fails again for a same reason, find the shortest that does."""
        kinds = {finding.kind for finding in record.findings}

        def fails(candidate: Scenario) -> bool:
            if self._stop.is_set():
                return False
            try:
                again = self._play(record.number, candidate)
            finally:
                self.close()
            return bool(kinds & {finding.kind for finding in again.findings})

        record.reproduced = any(fails(scenario) for _ in range(_REPRODUCTIONS))
        if record.reproduced:
            scenario = shrink(scenario, fails, self._settings.shrink_runs)
        said = "; ".join(finding.text for finding in record.findings[:3])
        name = f"failure-{record.number:04d}.yaml"
        about = f"Run {record.number} of seed {self._settings.seed}: {said}"
        write_scenario(self._settings.out / name, structs.replace(scenario, description=about[:400]))
        record.scenario_file = name
