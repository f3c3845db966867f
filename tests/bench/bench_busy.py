"""What a busy language model costs the detector: its latency with the model writing and without, in turns.

    python tests/bench/bench_busy.py qwen2.5-coder-1.5b --fps 20 --seconds 180

The cell's own detector and explainer run as services; this program is the camera and the arbiter: it
publishes frames at a camera's rate, hears of the results, and always has incidents to explain. Turns
of three kinds follow one another, so that what else the machine does bends all of them: the explainer
stopped with all that belongs to it; at work, and paused for frames as in a cell; at work, and what
pauses it stopped. Latency: from a frame being published to its result being heard of.
Goal: P99 with the model at most 1.1 times that without, on two cores.
"""

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import psutil
import yaml

from inspector.bus import Bus, sweep
from inspector.clock import NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.detect.model.manifest import load_manifest
from inspector.explain.eval_cases import cases
from inspector.topics import EXPLANATIONS, FAULTS, HEALTH, RESULTS, VERDICTS
from inspector.types import ExplanationSource, FrameMeta, ResultStatus, ServiceState

ALONE, PAUSED, UNHINDERED = "stopped", "writes, paused for frames", "writes, never paused"
CAMERA = "bench"
REPOSITORY = Path(__file__).parents[2]
_WAITING = 4  # incidents
_WARM_S = 10.0
_READY_S = 600.0
_ANSWER_S = 10.0


def write_site(folder: Path, chosen: argparse.Namespace) -> Path:
    """Write what the two services are to read; return the site file."""
    (folder / "camera.yaml").write_text(yaml.safe_dump({"id": CAMERA, "select": {"serial": "none"}}))
    site = {
        "base_topic": "bench",
        "cameras": ["camera.yaml"],
        "detector": {
            "model": str(REPOSITORY / "models" / chosen.detector),
            "threads": chosen.detector_threads,
            "max_age_ms": 60_000,  # on a machine that others use, late is late and not lost
        },
        "explainer": {
            "pause_for_frames": True,
            "model": chosen.model,
            "nice": chosen.nice,
            "deadline_s": 3600.0,
            "explain": "all",
        },
    }
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    return path


class Service:
    """One service of the cell, as the supervisor starts it, with the processes that belong to it."""

    def __init__(self, name: str, domain: str, site: Path) -> None:
        self.name = name
        command = [sys.executable, "-m", "inspector.services", name, "--domain", domain, "--site", str(site)]
        self._started = subprocess.Popen(command, cwd=REPOSITORY, process_group=0)
        self._process = psutil.Process(self._started.pid)

    def take(self, turn: str) -> None:
        """Be in the state of `turn`. Its child goes first: that stops and continues it."""
        children = self._process.children()
        for child in children:
            child.suspend()
        if turn == ALONE:
            self._process.suspend()
            return
        self._process.resume()
        for child in children if turn == PAUSED else ():
            child.resume()

    def cpu_s(self) -> float:
        """Processor time of all its threads so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def assert_alive(self) -> None:
        if self._started.poll() is not None:
            raise SystemExit(f"error: {self.name} ended with status {self._started.returncode}")

    def close(self) -> None:
        if self._started.poll() is None:
            self.take(PAUSED)
        self._started.terminate()
        try:
            self._started.wait(15)
        except subprocess.TimeoutExpired:
            self._started.kill()
            self._started.wait()


class Cell:
    """Camera and arbiter of a cell whose detector and explainer are real."""

    def __init__(self, bus: Bus, chosen: argparse.Namespace) -> None:
        self._bus = bus
        self._clock = SystemClock()
        self._gap_ns = int(NS_PER_S / chosen.fps)
        self._layout = load_manifest(REPOSITORY / "models" / chosen.detector).input
        shape = (self._layout.height_px, self._layout.width_px)
        self._pixels = np.random.default_rng(1).integers(0, 255, shape, np.uint8).ravel()
        self._frames = bus.frame_publisher(CAMERA, self._pixels.size)
        self._results = bus.subscriber(RESULTS)
        self._verdicts = bus.publisher(VERDICTS)
        self._explanations = bus.subscriber(EXPLANATIONS)
        self._health = bus.subscriber(HEALTH)
        self._faults = bus.subscriber(FAULTS)
        self._cases = iter(cases(7, 10_000))
        self._next_frame = itertools.count(1)
        self.dropped = 0  # frames that the detector was too far behind for; its answer counts as a result
        self.explained: Counter[ExplanationSource] = Counter()

    def wait_until_writing(self, services: list[Service]) -> None:
        """Return when both are up and the model has explained an incident. Raises SystemExit."""
        up: set[str] = set()
        limit_ns = self._clock.now_ns() + int(_READY_S * NS_PER_S)
        while len(up) < len(services) or not self.explained[ExplanationSource.LLM]:
            if self._clock.now_ns() > limit_ns:
                raise SystemExit("error: the model has written nothing that passes the check")
            self._bus.wait(NS_PER_S // 10)
            for service in services:
                service.assert_alive()
            for health in self._health.drain():
                if health.state is ServiceState.STARTING or health.service in up:
                    continue
                up.add(health.service)
                if health.service == "explainer":
                    for _ in range(_WAITING):
                        self._submit()
            for fault in self._faults.drain():
                print(f"{fault.service}: {fault.text}", file=sys.stderr)
            self.keep_explaining()

    def keep_explaining(self) -> None:
        """Hand in an incident for each that has been explained."""
        done = list(self._explanations.drain())
        self.explained.update(each.source for each in done)
        for _ in done:
            self._submit()

    def latencies_ms(self, seconds: float) -> npt.NDArray[np.float64]:
        """Publish frames for so long; return how long after each its result was heard of."""
        start_ns = self._clock.now_ns() + self._gap_ns
        due = [start_ns + n * self._gap_ns for n in range(max(2, round(seconds * NS_PER_S / self._gap_ns)))]
        sent_ns: dict[int, int] = {}
        took: list[int] = []
        while len(took) < len(due):
            now_ns = self._clock.now_ns()
            for result in self._results.drain():
                self.dropped += result.status is ResultStatus.DROPPED
                if result.status not in (ResultStatus.OK, ResultStatus.DROPPED):
                    raise SystemExit(f"error: frame {result.frame_id}: {result.status} {result.reason}")
                took.append(now_ns - sent_ns[result.frame_id])
            self.keep_explaining()
            if len(sent_ns) < len(due):
                if due[len(sent_ns)] <= now_ns:
                    frame_id = self._publish()
                    sent_ns[frame_id] = self._clock.now_ns()
                    continue
                self._bus.wait(due[len(sent_ns)] - now_ns)
            elif len(took) < len(due):
                if now_ns > due[-1] + _ANSWER_S * NS_PER_S:
                    raise SystemExit(f"error: {len(due) - len(took)} frames were not answered")
                self._bus.wait(NS_PER_S // 10)
        return np.array(took) / 1e6

    def _publish(self) -> int:
        slot = self._frames.loan(self._pixels.size)
        slot.pixels[:] = self._pixels
        frame_id, now_ns = next(self._next_frame), self._clock.now_ns()
        meta = FrameMeta(
            camera_id=CAMERA,
            frame_id=frame_id,
            exposure_start_ns=now_ns,
            exposure_us=1.0,
            received_ns=now_ns,
            width_px=self._layout.width_px,
            height_px=self._layout.height_px,
            pixel_format=self._layout.pixel_format,
        )
        slot.send(meta)
        return frame_id

    def _submit(self) -> None:
        record = next(self._cases).record
        verdict = msgspec.structs.replace(record.verdict, decided_ns=self._clock.now_ns())
        self._verdicts.send(msgspec.structs.replace(record, verdict=verdict))


@contextlib.contextmanager
def running(chosen: argparse.Namespace) -> Iterator[tuple[Cell, Service]]:
    """Start the two services and yield the cell, at work, with its explainer."""
    domain = str(os.getpid())
    with tempfile.TemporaryDirectory(prefix="inspector-bench-") as folder, contextlib.ExitStack() as stack:
        stack.callback(sweep, domain)
        site = write_site(Path(folder), chosen)
        cell = Cell(stack.enter_context(Bus(domain, "bench")), chosen)
        services = [Service(name, domain, site) for name in ("detector", "explainer")]
        for service in services:
            stack.callback(service.close)
        cell.wait_until_writing(services)
        yield cell, services[1]


@dataclass
class Turns:
    """What was seen in all turns of one kind."""

    latencies_ms: list[npt.NDArray[np.float64]] = field(default_factory=list)
    cpu_s: float = 0.0
    texts: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="qwen2.5-coder-1.5b")
    parser.add_argument("--detector", default="demo_part")
    parser.add_argument("--detector-threads", type=int, default=1)
    parser.add_argument("--fps", type=float, default=20.0)
    parser.add_argument("--nice", type=int, default=ExplainerConfig().nice)
    parser.add_argument("--seconds", type=float, default=180.0, help="in all, a third of them each kind")
    parser.add_argument("--turn", type=float, default=2.0, help="seconds of one turn")
    chosen = parser.parse_args()
    kinds = {turn: Turns() for turn in (ALONE, PAUSED, UNHINDERED)}
    rounds = max(1, round(chosen.seconds / chosen.turn / len(kinds)))
    with running(chosen) as (cell, explainer):
        cell.latencies_ms(_WARM_S)
        for _ in range(rounds):
            for turn, seen in kinds.items():
                explainer.take(turn)
                began_s, texts = explainer.cpu_s(), cell.explained[ExplanationSource.LLM]
                seen.latencies_ms.append(cell.latencies_ms(chosen.turn))
                seen.cpu_s += explainer.cpu_s() - began_s
                seen.texts += cell.explained[ExplanationSource.LLM] - texts
    print(
        f"{chosen.model} at nice {chosen.nice}; {chosen.detector} with {chosen.detector_threads} thread(s) "
        f"at {chosen.fps:g} frames/s; {round(rounds * chosen.turn * chosen.fps)} frames of each kind"
    )
    print(row("model", "median ms", "P90 ms", "P99 ms", "of a core", "texts a minute"))
    print("|" + " --- |" * 6)
    if cell.dropped:
        print(f"{cell.dropped} frames were dropped: the machine is too busy for a figure\n")
    alone = np.percentile(np.concatenate(kinds[ALONE].latencies_ms), (50, 90, 99))
    for turn, seen in kinds.items():
        found = np.percentile(np.concatenate(seen.latencies_ms), (50, 90, 99))
        times = [f"{one:.2f} ({one / of:.2f})" for one, of in zip(found, alone, strict=True)]
        seconds = rounds * chosen.turn
        print(row(turn, *times, f"{100 * seen.cpu_s / seconds:.0f} %", f"{60 * seen.texts / seconds:.1f}"))


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
