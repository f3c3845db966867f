"""What a busy language model costs the detector: its latency with the model writing and without, in turns.

    python tests/bench/bench_busy.py qwen2.5-coder-1.5b --seconds 120 --turn 2

The model writes explanations in a process of its own, as in a cell; the detector takes frames at a
camera's rate in this one. Every other turn the model's process is stopped (SIGSTOP), so that what else
the machine does bends both. Goal: P99 with the model at most 1.1 times that without, on two cores.
"""

import argparse
import ctypes
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import DetectorConfig, ExplainerConfig
from inspector.detect.bench.measure import drive
from inspector.detect.load import load_detector
from inspector.errors import ConfigError, ModelError
from inspector.explain.causes import rank_causes
from inspector.explain.eval_cases import cases
from inspector.explain.gather import gather
from inspector.explain.grammar import schema_for
from inspector.explain.prompt import build
from inspector.explain.start import open_engine
from inspector.types import Frame, FrameMeta

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_DEADLINE_S = 3600
_WARM_S = 10.0


def write(config: ExplainerConfig, told: Connection) -> None:
    """Explain made-up incidents for ever; tell "" when ready, and the tokens of each answer."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # not left behind, or stopped
    clock = SystemClock()
    try:
        engine = open_engine(config, clock)
    except (ConfigError, ModelError) as error:
        told.send(str(error))
        return
    told.send("")
    for case in cases(7, 100_000):
        facts = gather(case.record, case.context)
        causes = rank_causes(facts)
        engine.complete(
            build(facts, causes), schema_for(facts, causes), clock.now_ns() + _DEADLINE_S * NS_PER_S
        )
        told.send(engine.usage.written)


class Detector:
    """A warm engine with frames for it, at a camera's rate."""

    def __init__(self, model: str, threads: int, fps: float) -> None:
        self._clock = SystemClock()
        self._woken = threading.Event()
        self._gap_ns = int(NS_PER_S / fps)
        config = DetectorConfig(model=model, threads=threads)
        self._engine = load_detector(config, Path("models"), on_ready=self._woken.set)
        layout = self._engine.manifest.input
        image = np.random.default_rng(1).integers(0, 255, (layout.height_px, layout.width_px), np.uint8)
        meta = FrameMeta(
            camera_id="bench",
            frame_id=0,
            exposure_start_ns=0,
            exposure_us=1.0,
            received_ns=0,
            width_px=layout.width_px,
            height_px=layout.height_px,
            pixel_format=layout.pixel_format,
        )
        self._frame = Frame(meta, image)

    def latencies_ms(self, seconds: float) -> npt.NDArray[np.float64]:
        """Take frames for so long; return how long each took from being there to its result."""
        start_ns = self._clock.now_ns() + self._gap_ns
        passed = drive(
            self._engine,
            self._woken,
            [self._frame] * max(2, int(seconds * NS_PER_S / self._gap_ns)),
            self._clock,
            due_ns=lambda number: start_ns + number * self._gap_ns,
        )
        return np.array([each.latency_ns for each in passed]) / 1e6

    def close(self) -> None:
        self._engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="qwen2.5-coder-1.5b")
    parser.add_argument("--detector", default="demo_part")
    parser.add_argument("--detector-threads", type=int, default=1)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--nice", type=int, default=ExplainerConfig().nice)
    parser.add_argument("--seconds", type=float, default=120.0, help="in all, half of them each way")
    parser.add_argument("--turn", type=float, default=2.0, help="seconds of one turn")
    chosen = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    config = ExplainerConfig(model=chosen.model, nice=chosen.nice)
    child = spawn.Process(target=write, args=(config, there), daemon=True)
    child.start()
    assert child.pid is not None
    detector = Detector(chosen.detector, chosen.detector_threads, chosen.fps)
    took: dict[int, list[npt.NDArray[np.float64]]] = {signal.SIGSTOP: [], signal.SIGCONT: []}
    try:
        if problem := here.recv():
            raise SystemExit(f"error: {problem}")
        here.recv()  # the first answer reads the constant prompt
        detector.latencies_ms(_WARM_S)
        while here.poll():
            here.recv()
        for _ in range(max(1, round(chosen.seconds / chosen.turn / 2))):
            for state, windows in took.items():
                os.kill(child.pid, state)
                windows.append(detector.latencies_ms(chosen.turn))
        tokens = 0
        while here.poll():
            tokens += here.recv()
    finally:
        child.kill()
        child.join(15)
        detector.close()
    without, with_it = (np.concatenate(windows) for windows in took.values())
    print(
        f"{chosen.model} at nice {chosen.nice}, {chosen.detector} with {chosen.detector_threads} thread(s) "
        f"at {chosen.fps:g} frames/s, {len(with_it)} frames each way"
    )
    for name, percent in (("median", 50), ("P99", 99)):
        one, other = (float(np.percentile(each, percent)) for each in (without, with_it))
        print(f"{name:7} without {one:7.2f} ms, with {other:7.2f} ms, with / without {other / one:.2f}")
    print(f"the model wrote {2 * tokens / chosen.seconds:.1f} tokens a second of its turns")


if __name__ == "__main__":
    main()
