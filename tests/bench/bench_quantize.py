"""INT8 against float32 on this CPU: time in pairs, memory, file size, and what it costs in accuracy.

    python tests/bench/bench_quantize.py --data FOLDER [--sets hazelnut cookie] [--threads 1]

Each set: a model is taught from train_good, quantized (limits off, so that the cost is seen), and both run
in turns on the same image; the ratio of the medians does not bend with what else the machine does.
"""

import argparse
import gc
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from inspector.detect.commands import find_backbone
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.images import list_images, read_image
from inspector.detect.model.manifest import load_manifest
from inspector.detect.quantizing.quantize import QuantizeOptions, quantize
from inspector.detect.teaching.teach import TeachOptions, teach

RUNS = 100


def held_mb(data: bytes, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], threads: int) -> float:
    """What a loaded model holds after its first image, in MB of this process's own memory."""
    process = psutil.Process()
    gc.collect()
    before = process.memory_full_info().uss
    run = CpuRun(data, "bench", threads=threads)
    run(pixels)
    gc.collect()
    after = process.memory_full_info().uss
    del run
    return float(after - before) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["hazelnut", "cookie", "piped/PA_BDP01_TL"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{'set':20}{'AUROC f32':>10}{'int8':>8}{'flips':>7}{'of':>5}{'f32 ms':>8}{'int8':>7}"
          f"{'ratio':>7}{'f32 MB':>8}{'int8':>7}{'file':>7}{'int8':>6}")  # fmt: skip
    for name in arguments.sets:
        with tempfile.TemporaryDirectory() as folder:
            models, data = Path(folder), arguments.data / name
            teach(data / "train_good", None, models, find_backbone(models), options=TeachOptions(name="f32"))
            options = QuantizeOptions(name="int8", largest_loss=1.0, most_flips=10**6)
            result = quantize(models / "f32", data, models, options=options)
            manifest = load_manifest(models / "f32")
            pixels = read_image(list_images(data / "test_good")[0], manifest.input)[None]
            files = [(models / kind / "model.onnx").read_bytes() for kind in ("f32", "int8")]
            held = [held_mb(file, pixels, arguments.threads) for file in files]
            runs = [CpuRun(file, "bench", threads=arguments.threads) for file in files]
            times = np.zeros((RUNS, 2))
            for row in times:
                for index, run in enumerate(runs):
                    start = time.perf_counter()
                    run(pixels)
                    row[index] = (time.perf_counter() - start) * 1e3
        before, after = np.median(times, axis=0)
        print(
            f"{name:20}{result.auroc_before:10.4f}{result.auroc_after:8.4f}{len(result.parity.flips):7}"
            f"{result.parity.images:5}{before:8.2f}{after:7.2f}{before / after:7.2f}"
            f"{held[0]:8.1f}{held[1]:7.1f}"
            f"{result.bytes_before / 1e6:7.2f}{result.bytes_after / 1e6:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
