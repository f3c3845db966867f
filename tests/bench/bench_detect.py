"""One-class detection on real images: one JSON line a set, and averages. bench_anomalib.py has the peer's.

    python tests/bench/bench_detect.py --data FOLDER [--method gaussian|bank] [--only cookie] [--threads 2]

Each set is taught and judged in a process of its own, so that its peak memory is its own. What the sets
are, and what each is scored on, stands in one_class_sets.py.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from one_class_sets import OneClassSet, all_sets

from inspector.detect.commands import find_backbone
from inspector.detect.evaluating.evaluation import evaluate_model
from inspector.detect.teaching.held_out import Method
from inspector.detect.teaching.teach import TeachOptions, teach

AVERAGED = (
    "image_auroc",
    "pixel_auroc",
    "aupro",
    "escape_rate",
    "false_reject_rate",
    "ms_per_image",
    "teach_s",
)


def quiet(_what: str, _done: int, _total: int) -> None:
    """No progress."""


def link(paths: Sequence[Path], folder: Path) -> Path:
    """A folder with links to the files."""
    folder.mkdir(parents=True)
    for path in paths:
        (folder / path.name).symlink_to(path.resolve())
    return folder


def measure(one: OneClassSet, method: Method, threads: int) -> dict[str, float | None]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        good = link(one.train, root / "good")
        link(one.good, root / "data" / "test_good")
        link(one.defect, root / "data" / "test_defect")
        (root / "data" / "masks").symlink_to(one.masks.resolve())
        options = TeachOptions(name="bench", method=method, threads=threads)
        start = time.perf_counter()
        taught = teach(good, None, root / "models", find_backbone(Path("models")), options=options)
        teach_s = time.perf_counter() - start
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found = evaluate_model(taught.folder, root / "data", escape_rate=0.0, threads=threads, progress=quiet)
    return {**found.as_json(), "teach_s": teach_s, "teach_peak_mb": peak_mb}


def print_averages(rows: Sequence[dict[str, float]]) -> None:
    families: dict[str, list[dict[str, float]]] = defaultdict(list)
    for row in rows:
        families[str(row["set"]).partition("/")[0]].append(row)
    print(f"{'average':14}" + "".join(f"{key:>19}" for key in AVERAGED))
    for family, members in sorted(families.items()):
        means = [np.mean([member[key] for member in members]) for key in AVERAGED]
        print(f"{family:14}" + "".join(f"{mean:19.4f}" for mean in means))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--method", choices=["gaussian", "bank"], default="gaussian")
    parser.add_argument("--only", default="", help="sets whose name starts so")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--here", action="store_true", help="in this process; prints one JSON line")
    arguments = parser.parse_args()
    rows = []
    for one in all_sets(arguments.data):
        if not one.name.startswith(arguments.only):
            continue
        if arguments.here:
            figures = measure(one, arguments.method, arguments.threads)
            print(json.dumps({"set": one.name, "method": arguments.method, **figures}))
            continue
        command = [sys.executable, __file__, "--here", "--data", str(arguments.data), "--only", one.name]
        command += ["--method", arguments.method, "--threads", str(arguments.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{one.name}: {done.stderr[-2000:]}")
        line = done.stdout.strip().splitlines()[-1]
        print(line, flush=True)
        rows.append(json.loads(line))
    if rows:
        print_averages(rows)


if __name__ == "__main__":
    main()
