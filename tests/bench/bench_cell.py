"""The whole cell against the simulated line: accuracy, latency by stage, lost frames. Not a test.

    .venv/bin/python tests/bench/bench_cell.py --parts 500 --seeds 101 102 103
    .venv/bin/python tests/bench/bench_cell.py --images photos --teach photos/train_good

Prints one row a run, and the median of all, as Markdown for docs/benchmarks.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

INSPECTOR = Path(sys.executable).parent / "inspector"
COLUMNS = ("accuracy", "image_auroc", "escapes", "overkill", "late", "frames_lost")


def run(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run the demo once; returns its summary. Raises RuntimeError when it fails."""
    with tempfile.TemporaryDirectory(prefix="inspector-bench-") as folder:
        command = [str(INSPECTOR), "demo", "--json", "--llm", arguments.llm, "--linger", "5"]
        command += ["--seed", str(seed), "--sessions", folder, "--scenario", arguments.scenario]
        command += ["--parts", str(arguments.parts)] if arguments.parts else []
        for option in ("images", "teach", "model"):
            if (value := getattr(arguments, option)) is not None:
                command += [f"--{option}", str(value)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"seed {seed}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


def row(name: str, cells: list[Any]) -> str:
    shown = [
        "-" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells
    ]
    return "| " + " | ".join([name, *shown]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--scenario", default="accuracy")
    parser.add_argument("--llm", default="none")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--teach", type=Path)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(row("seed", [*COLUMNS, "P50 ms", "P95 ms", "P99 ms", "detect P50", "all but detect P50"]))
    print("|" + " --- |" * (len(COLUMNS) + 6))
    runs = []
    for seed in arguments.seeds:
        summary = run(arguments, seed)
        latency, detect = summary["latency_ms"], summary["stages_ms"]["detect"]["p50"]
        cells = [summary[name] for name in COLUMNS]
        cells += [latency["p50"], latency["p95"], latency["p99"], detect, latency["p50"] - detect]
        runs.append(cells)
        print(row(str(seed), cells), flush=True)
    columns = [[cell for cell in column if cell is not None] for column in zip(*runs, strict=True)]
    print(row("median", [float(statistics.median(column)) if column else None for column in columns]))


if __name__ == "__main__":
    main()
