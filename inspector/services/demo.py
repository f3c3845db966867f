"""The demo: a private broker, the simulated line as a program of its own, and the real cell.

The line is reached as any line is: its camera by GigE Vision, its sensors and PLC by MQTT. All
that we read from it besides is its log of events, for the view and the score.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inspector.clock import NS_PER_MS, NS_PER_S, SystemClock
from inspector.config_load import load_site
from inspector.errors import ConfigError, DeviceError
from inspector.plc.ledger import FILE as LEDGER_FILE
from inspector.services.broker import PrivateBroker
from inspector.services.demo_site import DemoChoices, write_site
from inspector.services.demo_summary import Measured, summarise
from inspector.services.demo_view import DemoView
from inspector.services.interrupt import Interrupt
from inspector.services.recorder import sessions_of_run
from inspector.services.setup import outbox_folder
from inspector.services.supervisor import Supervisor
from inspector.topics import VERDICTS

_READY_S = 60
_FOLDER = "inspector-demo-"
_STOP_S = 10.0
_NO_CAMERA_YET = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The command line of `inspector demo`. None leaves the default of the scenario or the site."""

    parts: int | None
    seed: int
    scenario: str
    images: Path | None
    fast: bool
    llm: str
    model: Path | None
    sessions: Path
    broker: tuple[str, int] | None
    linger_s: float


def run_demo(options: DemoOptions, view: DemoView) -> tuple[dict[str, Any], bool]:
    """Run the demo to its end. Returns the summary, and whether every part got exactly one verdict.

    Raises:
        ConfigError: something that the demo needs is missing.
        KeyboardInterrupt: after everything was ended and cleaned up.
    """
    _remove_folders_of_the_killed()
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
    keep_logs = True
    try:
        with Interrupt() as interrupt, _Demo(options, view, folder, interrupt) as demo:
            result = demo.run()
        keep_logs = False
        return result
    except (KeyboardInterrupt, ConfigError):
        keep_logs = False
        raise
    finally:
        if keep_logs:
            print(f"logs are in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_folders_of_the_killed() -> None:
    """Remove the folders of demos that were killed and could not do it themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        pid = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


class _Demo:
    """Owns the three parties. Leaving the context ends all of them, in order."""

    def __init__(self, options: DemoOptions, view: DemoView, folder: Path, interrupt: Interrupt) -> None:
        self._options = options
        self._interrupt = interrupt
        self._view = view
        self._folder = folder
        self._clock = SystemClock()
        self._broker: PrivateBroker | None = None
        self._line: _Line | None = None
        self._supervisor: Supervisor | None = None
        self._measured = Measured()
        self._waiting: deque[tuple[int, dict[str, Any]]] = deque()
        self._summary: dict[str, Any] | None = None

    def __enter__(self) -> "_Demo":
        return self

    def __exit__(self, *_: object) -> None:
        with self._interrupt.shield():
            # The services first: a camera that vanishes before them would hold up their ending.
            if self._supervisor is not None:
                self._supervisor.stop()
            if self._line is not None:
                self._line.stop()
            if self._broker is not None:
                self._broker.stop()

    def run(self) -> tuple[dict[str, Any], bool]:
        with self._view:
            self._start()
            supervisor, line = self._supervisor, self._line
            assert supervisor is not None
            assert line is not None
            verdicts = supervisor.bus.subscriber(VERDICTS)
            announced = False
            counters: dict[str, dict[str, float]] = {}
            while self._summary is None and not line.ended:
                supervisor.poll(20 * NS_PER_MS)
                counters |= {name: values for name, values in supervisor.counters().items() if values}
                if supervisor.ready and not announced:
                    self._view.status("all services are ready; the line starts")
                    announced = True
                for record in verdicts.drain():
                    self._measured.records[record.verdict.verdict_id] = record
                while line.events:
                    self._on_event(line.events.popleft())
                self._show_waiting()
            while line.events:
                self._on_event(line.events.popleft())
            self._show_waiting(all_of_them=True)
            restarts = supervisor.restarts()
        if self._summary is None:
            raise DeviceError(f"the simulated line ended without a result: {line.last_words()}")
        summary = summarise(self._summary, self._measured, counters)
        summary |= {"restarts": restarts, "session": self._session()}
        return summary, line.status() == 0

    def _start(self) -> None:
        options = self._options
        if options.broker is None:
            with self._interrupt.shield():
                self._broker = PrivateBroker(self._folder)
            host, port = "127.0.0.1", self._broker.port
        else:
            host, port = options.broker
        # What the line must know of the cell stands in the site; where its camera is, the line says.
        choices = DemoChoices(host, port, _NO_CAMERA_YET, options.sessions, options.llm, options.model)
        plan = load_site(write_site(self._folder, choices)).site
        self._view.status("starting the simulated line and the services")
        with self._interrupt.shield():
            self._line = _Line(options, f"{host}:{port}", plan.base_topic, plan.decision.deadline_ms)
        address = self._line.wait_ready(_READY_S)
        site_file = write_site(self._folder, replace(choices, camera_address=address))
        site = load_site(site_file)
        # A demo's line begins empty: parts and stops of the one before are no longer on it.
        (outbox_folder(site) / LEDGER_FILE).unlink(missing_ok=True)
        with self._interrupt.shield():
            self._supervisor = Supervisor(site, site_file, self._folder / "logs")
        self._supervisor.on_fault = lambda fault: self._view.note(f"{fault.service}: {fault.text}")
        self._supervisor.start()

    def _on_event(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "verdict":
            self._measured.received_ns[event["verdict_id"]] = event["received_ns"]
            self._waiting.append((self._clock.now_ns(), event))
        elif kind == "explanation":
            self._view.explanation(event)
        elif kind == "late":
            self._view.note(f"{event['part_id']}: no verdict by its deadline")
        elif kind == "violation":
            self._view.note(f"violation on {event['topic']}: {event['text']}")
        elif kind == "emergency" and not event["part_id"]:
            self._view.note(f"EMERGENCY by {event['cause']}: the belt is stopped")
        elif kind == "reset":
            self._view.note("the operator has reset the line")
        elif kind == "error":
            self._view.note(str(event.get("text", event)))
        elif kind == "summary":
            self._summary = _line_score(event)

    def _show_waiting(self, *, all_of_them: bool = False) -> None:
        """Show verdicts once both their messages are here, or after half a second without."""
        while self._waiting:
            since_ns, event = self._waiting[0]
            known = event["verdict_id"] in self._measured.records
            if not (known or all_of_them or self._clock.now_ns() - since_ns > NS_PER_S // 2):
                return
            self._waiting.popleft()
            self._view.verdict(event, self._measured.latency_ms(event["verdict_id"]))

    def _session(self) -> str:
        """The session of this run, among those of other runs that may go on beside it."""
        sessions = sessions_of_run(self._options.sessions, os.getpid())
        return str(sessions[-1]) if sessions else ""


class _Line:
    """The simulated line's process and its log of events."""

    def __init__(self, options: DemoOptions, broker: str, base: str, deadline_ms: int) -> None:
        program = shutil.which("line-sim", path=str(Path(sys.executable).parent)) or shutil.which("line-sim")
        if program is None:
            raise ConfigError("the command line-sim is not installed; run `make setup`")
        command = [program, "run", "--broker", broker, "--base", base, "--camera-address", "auto"]
        command += ["--scenario", options.scenario, "--seed", str(options.seed), "--events", "-"]
        command += ["--deadline-ms", str(deadline_ms), "--linger", str(options.linger_s)]
        command += ["--fast" if options.fast else "--realtime"]
        command += ["--images", str(options.images)] if options.images is not None else []
        command += ["--parts", str(options.parts)] if options.parts is not None else []
        self.events: deque[dict[str, Any]] = deque()
        self._ready = threading.Event()  # it is ready, or will never be
        self._camera_address = ""
        self._errors: deque[str] = deque(maxlen=5)
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            text=True,
        )
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._read_events, self._read_errors)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def ended(self) -> bool:
        """Whether it is gone and everything that it wrote has been read."""
        return self._process.poll() is not None and not any(thread.is_alive() for thread in self._threads)

    def wait_ready(self, timeout_s: float) -> str:
        """Wait until its camera answers; return the address that it has taken.

        Raises:
            ConfigError: it ended, or is not ready in time; with what it said.
        """
        self._ready.wait(timeout_s)
        if not self._camera_address:
            self._threads[1].join(timeout_s if self._ready.is_set() else 0)  # it is ending: hear it out
            raise ConfigError(self.last_words() or f"the simulated line is not ready after {timeout_s:.0f} s")
        return self._camera_address

    def last_words(self) -> str:
        return " ".join(self._errors).removeprefix("line-sim: ")

    def status(self) -> int:
        return self._process.wait(_STOP_S)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for thread in self._threads:
            thread.join(_STOP_S)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "ready":
                self._camera_address = event["camera_address"]
                self._ready.set()
            self.events.append(event)
        self._ready.set()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors.append(line.strip())


def _line_score(event: dict[str, Any]) -> dict[str, Any]:
    score = {key: value for key, value in event.items() if key not in {"event", "at_ns"}}
    score["verdicts"] = score["parts_with_one_verdict"]
    score["emergencies"] = score["emergencies_braked"]
    return score
