"""How soon the CPU engine is ready after the start of a process, and where the time goes.

    python tests/bench/bench_ready.py [--starts 21] [--model demo_part] [--tree FOLDER]

Three things are started again and again, with a warm page cache and the compiled model in the cache folder:
a Python process that loads the engine by the public API (in steps), and the services detector and arbiter as
the supervisor starts them (heard from outside; "starting" is when configuration and imports are over). An
engine must give the score that this process computed for the same picture. `--tree` takes turns with another
checkout, so that both see the same machine. Times are medians: on the clock from before the process is made,
and of its CPU (all threads).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inspector.bus import Bus, sweep
from inspector.clock import NS_PER_MS, SystemClock
from inspector.config import DetectorConfig
from inspector.config_load import load_site
from inspector.detect.load import load_detector
from inspector.services.supervisor import QUICK_START
from inspector.topics import HEALTH, RESULTS
from inspector.types import Frame, FrameMeta, ServiceState

ROOT = Path(__file__).parents[2]
SITE = ROOT / "deploy" / "demo" / "site.yaml"
WIDTH, HEIGHT = 640, 480
STEPS = ("interpreter", "imports", "config", "engine", "first result")
KINDS = {
    "load_detector, step": (*STEPS, "READY", "ALL"),
    "detector service, at": ("starting", "ready", "first result"),
    "arbiter service, at": ("starting", "ready"),
}
CHILD = """
import time
marks = [(time.monotonic_ns(), time.process_time_ns())]
def mark(): marks.append((time.monotonic_ns(), time.process_time_ns()))
import sys, json, threading
from pathlib import Path
from inspector.config import DetectorConfig
from inspector.detect.load import load_detector
from inspector.types import Frame, FrameMeta
import numpy as np
mark()
config = DetectorConfig(model=sys.argv[1])
mark()
ready = threading.Event()
engine = load_detector(config, Path(sys.argv[2]), on_ready=ready.set)
mark()
image = np.load(sys.argv[3])
meta = FrameMeta(camera_id="c", frame_id=0, exposure_start_ns=0, exposure_us=0.0, received_ns=0,
                 width_px=image.shape[1], height_px=image.shape[0], pixel_format="Mono8")
engine.submit(Frame(meta, image))
while not (found := engine.collect()):
    ready.wait()
    ready.clear()
mark()
print(json.dumps({"marks": marks, "p": found[0][1].p_defect}))
engine.close()
"""

Sample = dict[str, tuple[float, float]]  # step to milliseconds on the clock, and of CPU


def picture() -> npt.NDArray[np.uint8]:
    """The same each time, and not one grey."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.asarray((rows * columns // 64) % 251, dtype=np.uint8)


def meta_of(camera_id: str) -> FrameMeta:
    now_ns = time.monotonic_ns()
    return FrameMeta(
        camera_id=camera_id,
        frame_id=1,
        exposure_start_ns=now_ns,
        exposure_us=100.0,
        received_ns=now_ns,
        width_px=WIDTH,
        height_px=HEIGHT,
        pixel_format="Mono8",
    )


def expected(model: str) -> float:
    """The score that every start must give; fills the cache of compiled models on the way."""
    engine = load_detector(DetectorConfig(model=model), ROOT / "models")
    engine.submit(Frame(meta_of("c"), picture()))
    while not (found := engine.collect()):
        time.sleep(0.001)
    engine.close()
    p_defect = found[0][1].p_defect
    assert p_defect is not None
    return p_defect


def environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree)}


def start_api(tree: Path, model: str, image: Path, p_defect: float) -> Sample:
    began_ns = time.monotonic_ns()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, model, str(tree / "models"), str(image)],
        env=environment(tree),
        cwd=tree,
        capture_output=True,
        check=True,
    )
    said = json.loads(done.stdout)
    assert said["p"] == p_defect, f"{said['p']} and not {p_defect}"
    sample: Sample = {}
    before_ns, before_cpu_ns = began_ns, 0
    for step, (at_ns, cpu_ns) in zip(STEPS, said["marks"], strict=True):
        sample[step] = ((at_ns - before_ns) / NS_PER_MS, (cpu_ns - before_cpu_ns) / NS_PER_MS)
        before_ns, before_cpu_ns = at_ns, cpu_ns
    ready = sum(sample[step][0] for step in STEPS[:-1]), sum(sample[step][1] for step in STEPS[:-1])
    return {**sample, "READY": ready, "ALL": ((at_ns - began_ns) / NS_PER_MS, cpu_ns / NS_PER_MS)}


def cpu_ms(pid: int) -> float:
    """CPU time of all threads that live, from the scheduler's own count in nanoseconds."""
    paths = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in paths) / NS_PER_MS


def start_service(
    name: str, tree: Path, quick: dict[str, str], site_file: Path, p_defect: float | None
) -> Sample:
    """Start a service and hear of it; with `p_defect` until it has judged a frame."""
    camera_id = load_site(site_file).cameras[0].id
    domain = f"{os.getpid()}"
    command = [sys.executable, "-m", "inspector.services", name, "--domain", domain, "--site", str(site_file)]
    clock = SystemClock()
    sample: Sample = {}
    with Bus(domain, "bench") as bus:
        health, results = bus.subscriber(HEALTH), bus.subscriber(RESULTS)
        frames = bus.frame_publisher(camera_id, WIDTH * HEIGHT)
        began_ns = clock.now_ns()
        process = subprocess.Popen(
            command,
            env={**quick, **environment(tree), "INSPECTOR_SUPERVISOR": str(os.getpid())},
            cwd=tree,
            stderr=subprocess.DEVNULL,
        )

        def heard(stage: str) -> None:
            sample[stage] = ((clock.now_ns() - began_ns) / NS_PER_MS, cpu_ms(process.pid))

        while ("ready" if p_defect is None else "first result") not in sample:
            bus.wait(100 * NS_PER_MS)
            assert process.poll() is None, f"the {name} ended"
            for beat in health.drain():
                if beat.state is ServiceState.STARTING:
                    heard("starting")
                elif "ready" not in sample:
                    heard("ready")
                    slot = frames.loan(WIDTH * HEIGHT)
                    slot.pixels[:] = picture().reshape(-1)
                    slot.send(meta_of(camera_id))
            for result in results.drain():
                assert result.p_defect == p_defect, f"{result.p_defect} ({result.reason}), not {p_defect}"
                heard("first result")
        process.terminate()
        process.wait()
    sweep(domain)
    return sample


def table(title: str, steps: tuple[str, ...], runs: dict[str, list[Sample]]) -> None:
    print(f"\n{title:24s}" + "".join(f"{name:>26s}" for name in runs))
    for step in steps:
        cells = [[sample[step] for sample in samples] for samples in runs.values()]
        medians = [tuple(statistics.median(part) for part in zip(*cell, strict=True)) for cell in cells]
        print(f"{step:24s}" + "".join(f"{clock:12.0f} ms, CPU {cpu:4.0f} ms" for clock, cpu in medians))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--starts", type=int, default=21)
    parser.add_argument("--model", default="demo_part", help="640 x 480 Mono8; the service takes the site's")
    parser.add_argument("--tree", type=Path, help="another checkout, to take turns with")
    arguments = parser.parse_args()
    with tempfile.NamedTemporaryFile(suffix=".npy") as image:
        np.save(image, picture())
        image.flush()
        run(arguments, Path(image.name))


def run(arguments: argparse.Namespace, image: Path) -> None:
    p_defect = expected(arguments.model)
    trees = {"this": (ROOT, QUICK_START)}
    if arguments.tree is not None:
        trees = {"other": (arguments.tree.resolve(), {}), **trees}
    taken: dict[str, dict[str, list[Sample]]] = {kind: {name: [] for name in trees} for kind in KINDS}
    for turn in range(arguments.starts + 1):
        for name, (tree, quick) in trees.items():
            site_file = tree / SITE.relative_to(ROOT)
            samples = (
                start_api(tree, arguments.model, image, p_defect),
                start_service("detector", tree, quick, site_file, p_defect),
                start_service("arbiter", tree, quick, site_file, None),
            )
            if turn:  # the first fills the page cache
                for kind, sample in zip(KINDS, samples, strict=True):
                    taken[kind][name].append(sample)
    print(f"{arguments.starts} starts; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for kind, steps in KINDS.items():
        table(kind, steps, taken[kind])


if __name__ == "__main__":
    main()
