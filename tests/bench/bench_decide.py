"""Decisions a second on one core, in process: the arbiter alone, without bus and broker.

Run: python tests/bench/bench_decide.py [--parts 20000]
One decision is a trigger, two sensor readings and a result each camera, taken one by one.
"""

import argparse
import gc
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
from decide_line import MS, reading, result, setup_for, trigger

from inspector.decide.arbiter import Arbiter
from inspector.types import JournalEntry

PITCH_MS = 200


def entries(parts: int, cameras: tuple[str, ...], readings: int) -> list[JournalEntry]:
    """What comes in, in order of time; defects now and then."""
    taken: list[JournalEntry] = []
    for part in range(parts):
        at_ms = part * PITCH_MS
        contents: list[dict[str, object]] = [{"trigger": trigger(part, at_ms)}]
        contents += [{"event": reading(part * readings + n, at_ms + n)} for n in range(readings)]
        p_defect = 0.97 if part % 10 == 0 else 0.02
        contents += [{"result": result(part, at_ms + 1, p_defect, camera)} for camera in cameras]
        for n, content in enumerate(contents):
            entry = JournalEntry(seq=len(taken), epoch="bench", now_ns=(at_ms + 10 + n) * MS)
            taken.append(msgspec.structs.replace(entry, **content))
    return taken


def rate(cameras: tuple[str, ...], readings: int, parts: int) -> float:
    """Verdicts a second of processor time, the median of five runs."""
    rates = []
    for _ in range(5):
        taken = entries(parts, cameras, readings)
        arbiter = Arbiter(setup_for(cameras))
        gc.collect()
        started = time.process_time()
        verdicts = sum(len(arbiter.step(entry)) for entry in taken)
        rates.append(verdicts / (time.process_time() - started))
        assert verdicts == parts
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=4000)
    parts = parser.parse_args().parts
    print("| cameras | readings a part | decisions a second |\n|---|---|---|")
    for cameras, readings in ((("cam1",), 0), (("cam1",), 2), (("cam1", "cam2"), 2), (("cam1",), 10)):
        print(f"| {len(cameras)} | {readings} | {rate(cameras, readings, parts):,.0f} |", flush=True)


if __name__ == "__main__":
    main()
