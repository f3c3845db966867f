"""What a busy language model costs the detector: its latency with the model writing and without, in turns.

    python tests/bench/bench_busy.py qwen2.5-coder-1.5b --seconds 10 --rounds 6

The model writes explanations in a process of its own, as in a cell; the detector takes frames at a
camera's rate in this one. The two states take turns in one run, so that what else the machine does
bends both. Goal: P99 with the model at most 1.1 times that without, on two cores.
"""

import argparse
import multiprocessing
import statistics
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import DetectorConfig, ExplainerConfig
from inspector.detect.bench.measure import drive
from inspector.detect.load import load_detector
from inspector.errors import ConfigError, ModelError
from inspector.explain.causes import rank_causes
from inspector.explain.engine import PreemptedError
from inspector.explain.eval_cases import cases
from inspector.explain.gather import gather
from inspector.explain.grammar import schema_for
from inspector.explain.prompt import build
from inspector.explain.start import open_engine
from inspector.types import Frame, FrameMeta

_DEADLINE_S = 600


def write(config: ExplainerConfig, told: Connection, busy: Event) -> None:
    """Explain made-up incidents while `busy` is set; answer each "rest" with the tokens written so far."""
    clock = SystemClock()
    try:
        engine = open_engine(config, clock)
    except (ConfigError, ModelError) as error:
        told.send(str(error))
        return
    told.send("")
    written = 0
    resting = threading.Event()

    def listen() -> None:
        while told.recv() == "rest":
            resting.set()
            engine.interrupt()
        engine.close()

    threading.Thread(target=listen, daemon=True).start()
    for case in cases(7, 100_000):
        facts = gather(case.record, case.context)
        causes = rank_causes(facts)
        while not busy.wait(0.05) or resting.is_set():
            if resting.is_set():
                resting.clear()
                told.send(written)
        try:
            engine.complete(
                build(facts, causes), schema_for(facts, causes), clock.now_ns() + _DEADLINE_S * NS_PER_S
            )
            written += engine.usage.written
        except PreemptedError:
            continue
        except ModelError:
            return


@dataclass(frozen=True)
class Window:
    """Latencies of one window, in ms."""

    p50: float
    p99: float


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

    def window(self, seconds: float) -> Window:
        start_ns = self._clock.now_ns() + self._gap_ns
        count = max(2, int(seconds * NS_PER_S / self._gap_ns))
        passed = drive(
            self._engine,
            self._woken,
            [self._frame] * count,
            self._clock,
            due_ns=lambda number: start_ns + number * self._gap_ns,
        )
        took = np.array([each.latency_ns for each in passed]) / 1e6
        return Window(float(np.median(took)), float(np.percentile(took, 99)))

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
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=6)
    chosen = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    busy = spawn.Event()
    config = ExplainerConfig(model=chosen.model, nice=chosen.nice)
    child = spawn.Process(target=write, args=(config, there, busy), daemon=True)
    child.start()
    detector = Detector(chosen.detector, chosen.detector_threads, chosen.fps)
    try:
        if problem := here.recv():
            raise SystemExit(f"error: {problem}")
        busy.set()
        detector.window(chosen.seconds)  # the model reads its constant prompt, both warm up
        pairs: list[tuple[Window, Window]] = []
        tokens = [0]
        for _ in range(chosen.rounds):
            busy.clear()
            here.send("rest")
            tokens.append(here.recv())
            alone = detector.window(chosen.seconds)
            busy.set()
            pairs.append((alone, detector.window(chosen.seconds)))
        busy.clear()
        here.send("rest")
        tokens.append(here.recv())
        here.send("end")
    finally:
        detector.close()
        child.join(15)
        child.kill()
    print(
        f"{chosen.model} at nice {chosen.nice}, {chosen.detector} with {chosen.detector_threads} thread(s) "
        f"at {chosen.fps:g} frames/s, {chosen.rounds} rounds of {chosen.seconds:g} s each way"
    )
    for name, at in (("median", "p50"), ("P99", "p99")):
        without = [getattr(alone, at) for alone, _ in pairs]
        with_it = [getattr(both, at) for _, both in pairs]
        ratios = [b / a for a, b in zip(without, with_it, strict=True)]
        figures = f"without {statistics.median(without):7.2f} ms, with {statistics.median(with_it):7.2f} ms"
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:7} {figures}, with / without {ratio}")
    wrote = (tokens[-1] - tokens[1]) / (chosen.rounds * chosen.seconds)
    print(f"the model wrote {wrote:.1f} tokens a second while it was busy")


if __name__ == "__main__":
    main()
