"""INT8 against float32 on this CPU: time in pairs, memory, file size, and what it costs in accuracy.

    python tests/bench/bench_quantize.py --data FOLDER [--sets hazelnut cookie] [--threads 1]

Each set: a model is taught from train_good, quantized (limits off, so that the cost is seen), and both run
in turns on the same image; the ratio of the medians does not bend with what else the machine does. Memory is
of processes of their own: what Python and OpenVINO hold with a model of one node, and what the model holds
beyond that (weights, activations, compiled kernels).
"""

import argparse
import gc
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from inspector.detect.commands import find_backbone
from inspector.detect.engines.compiled_file import compiled_model
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.engines.openvino_bindings import ov
from inspector.detect.images import list_images, read_image
from inspector.detect.model.manifest import file_sha256, load_manifest
from inspector.detect.quantizing.quantize import QuantizeOptions, quantize
from inspector.detect.teaching.teach import TeachOptions, teach

RUNS = 100


def anonymous_mb() -> float:
    """Memory of this process that is nobody else's and no file's, in MB."""
    gc.collect()
    text = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous:")) / 1e3


def trivial_model() -> bytes:
    """What makes OpenVINO load all that it is made of."""
    shape = [1, 8, 8, 1]
    value = helper.make_tensor_value_info("image", TensorProto.UINT8, shape)
    cast = helper.make_node("Cast", ["image"], ["out"], to=TensorProto.FLOAT)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)
    graph = helper.make_graph([cast], "trivial", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def start(path: Path, cache: Path, threads: int, shape: tuple[int, ...], told: Connection) -> None:
    """In a process of its own: what Python and OpenVINO hold, then what the model adds to it, in MB."""
    CpuRun(trivial_model(), "trivial", threads=threads)(np.zeros((1, 8, 8, 1), dtype=np.uint8))
    runtime = anonymous_mb()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    compiled, _kept = compiled_model(path, file_sha256(path), options, cache)
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(np.zeros(shape, dtype=np.uint8)))
    request.start_async({}, None)
    request.wait()
    told.send((runtime, anonymous_mb() - runtime))


def held_mb(path: Path, cache: Path, threads: int, shape: tuple[int, ...]) -> tuple[float, float]:
    """(runtime, model) at the second start, when the compiled model is there already, as on the line."""
    held = (0.0, 0.0)
    for _ in range(2):
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=start, args=(path, cache, threads, shape, theirs))
        process.start()
        held = ours.recv()
        process.join()
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["hazelnut", "cookie", "piped/PA_BDP01_TL"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{'set':20}{'AUROC f32':>10}{'int8':>8}{'flips':>7}{'of':>5}{'f32 ms':>8}{'int8':>7}"
          f"{'ratio':>7}{'run MB':>9}{'f32 MB':>8}{'int8':>7}{'ratio':>7}{'file':>7}{'int8':>6}")  # fmt: skip
    for name in arguments.sets:
        with tempfile.TemporaryDirectory() as folder:
            models, data = Path(folder), arguments.data / name
            teach(data / "train_good", None, models, find_backbone(models), options=TeachOptions(name="f32"))
            options = QuantizeOptions(name="int8", largest_loss=1.0, most_flips=10**6)
            result = quantize(models / "f32", data, models, options=options)
            manifest = load_manifest(models / "f32")
            pixels = read_image(list_images(data / "test_good")[0], manifest.input)[None]
            files = [models / kind / "model.onnx" for kind in ("f32", "int8")]
            held = [held_mb(file, models, arguments.threads, pixels.shape) for file in files]
            runs = [CpuRun(file.read_bytes(), "bench", threads=arguments.threads) for file in files]
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
            f"{held[0][0]:9.1f}{held[0][1]:8.1f}{held[1][1]:7.1f}{held[0][1] / held[1][1]:7.2f}"
            f"{result.bytes_before / 1e6:7.2f}{result.bytes_after / 1e6:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
