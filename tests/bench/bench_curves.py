"""How well a taught curve model tells bad unfastening curves from good ones, on the data set's own split.

python tests/bench/bench_curves.py --data ../shared/data/sensors/screw_unfastening
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from inspector.sensors.curve_file import read_curves
from inspector.sensors.curve_model import CurveScorer, teach


def auroc(good: list[float], bad: list[float]) -> float:
    """Share of pairs in which the bad one lies higher (Mann-Whitney)."""
    pairs = np.subtract.outer(np.array(bad), np.array(good))
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    with (data / "events.csv").open(newline="") as file:
        events = {row["event_id"]: row for row in csv.DictReader(file)}
    curves = {
        str(record["event_id"]): curve
        for record, curve in read_curves(data / "curves.jsonl.gz", "angle_deg", "torque_nm")
    }
    train = [c for i, c in curves.items() if (events[i]["split"], events[i]["label"]) == ("train", "ok")]
    started = time.perf_counter()
    scorer = CurveScorer(teach(train))
    taught_s = time.perf_counter() - started
    test = [(events[i]["label"] == "ok", c) for i, c in curves.items() if events[i]["split"] == "test"]
    started = time.perf_counter()
    scores = [(good, scorer.deviation(*curve)) for good, curve in test]
    each_ms = (time.perf_counter() - started) / len(test) * 1e3
    good = [score for is_good, score in scores if is_good]
    bad = [score for is_good, score in scores if not is_good]
    print(f"taught from {len(train)} good curves in {taught_s:.2f} s; a curve takes {each_ms:.3f} ms")
    print(f"test split: {len(good)} good, {len(bad)} bad; AUROC {auroc(good, bad):.4f}")
    caught, false = sum(s > 1 for s in bad), sum(s > 1 for s in good)
    print(f"above 1.0: {caught} of {len(bad)} bad, {false} of {len(good)} good")


if __name__ == "__main__":
    main()
