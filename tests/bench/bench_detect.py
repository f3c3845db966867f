"""Detection on real images: image AUROC, pixel AUROC where there are masks, time for each image.

    python tests/bench/bench_detect.py --data FOLDER [--method gaussian|bank] [--threads 2]

hazelnut: its own split. ball_screw: frames of one fixed position each, so that a position counts as a
product: a model is taught from the first half in time of a position's good frames, and scored on
its later good frames and its defects. Every position has a limit of its own, so AUROC is taken
within a position and averaged. All defects there are later than all good frames (more dirt and
oil), so image AUROC flatters; the pixel figure compares within defective images only.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from inspector.config import DetectorConfig
from inspector.detect.commands import find_backbone
from inspector.detect.engine import Engine
from inspector.detect.evaluate import auroc, error_rates
from inspector.detect.held_out import Method
from inspector.detect.images import list_images, read_image
from inspector.detect.load import load_detector
from inspector.detect.teach import TeachOptions, teach
from inspector.types import Frame, FrameMeta, FrameResult

POSITION = slice(-18, -7)  # 01_200828110014_277500_315_crop_2: the position's two numbers


class Row(NamedTuple):
    image_auroc: float
    pixel_auroc: float
    overkill: float
    escape: float
    ms: float


def score(engine: Engine, paths: Sequence[Path]) -> tuple[list[FrameResult], list[float]]:
    """One result and the milliseconds from submit to result for each image; none in parallel."""
    results, milliseconds = [], []
    layout = engine.manifest.input
    for number, path in enumerate(paths):
        image = read_image(path, layout)
        meta = FrameMeta(
            camera_id="bench", frame_id=number, exposure_start_ns=0, exposure_us=1.0,
            received_ns=0, width_px=layout.width_px, height_px=layout.height_px,
            pixel_format=layout.pixel_format,
        )  # fmt: skip
        frame = Frame(meta, image[..., 0] if layout.channels == 1 else image)
        start = time.perf_counter()
        engine.submit(frame)
        while not (done := engine.collect()):
            time.sleep(0.0002)
        milliseconds.append((time.perf_counter() - start) * 1e3)
        results.append(done[0][1])
    return results, milliseconds


def pixel_auroc(results: Sequence[FrameResult], masks: Sequence[Path]) -> float:
    """Over the cells of the heat maps: a cell is marked when its mask covers a tenth of it."""
    normal: list[npt.NDArray[np.uint8]] = []
    marked: list[npt.NDArray[np.uint8]] = []
    for result, path in zip(results, masks, strict=True):
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        heat = result.heatmap
        if mask is None or heat is None:
            continue
        share = cv2.resize(mask, (heat.width, heat.height), interpolation=cv2.INTER_AREA)
        cells = np.frombuffer(heat.data, dtype=np.uint8).reshape(heat.height, heat.width)
        normal.append(cells[share == 0])
        marked.append(cells[share >= 26])
    if not normal:
        return float("nan")
    return auroc(np.concatenate(normal), np.concatenate(marked))


def measure(
    train: Sequence[Path], good: Sequence[Path], defect: Sequence[Path], masks: Path,
    *, method: Method, threads: int,
) -> Row:  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "good").mkdir()
        for path in train:
            (folder / "good" / path.name).symlink_to(path.resolve())
        options = TeachOptions(name="bench", method=method, threads=threads)
        teach(folder / "good", None, folder / "models", find_backbone(Path("models")), options=options)
        config = DetectorConfig(model="bench", threads=threads)
        engine = load_detector(config, folder / "models", cache_dir=folder / "cache")
        try:
            good_results, times = score(engine, good)
            defect_results, more_times = score(engine, defect)
        finally:
            engine.close()
    good_scores, defect_scores = (
        [r.anomaly_score or 0.0 for r in results] for results in (good_results, defect_results)
    )
    rates = error_rates(
        [r.p_defect or 0.0 for r in good_results], [r.p_defect or 0.0 for r in defect_results], 0.5
    )
    return Row(
        auroc(good_scores, defect_scores),
        pixel_auroc(defect_results, [masks / f"{path.stem}.png" for path in defect]),
        rates["overkill_rate"],
        rates["escape_rate"],
        float(np.median(times + more_times)),
    )


def hazelnut(data: Path, method: Method, threads: int) -> Row:
    train, good, defect = (list_images(data / part) for part in ("train_good", "test_good", "test_defect"))
    return measure(train, good, defect, data / "masks", method=method, threads=threads)


def ball_screw(data: Path, method: Method, threads: int) -> Row:
    good: dict[str, list[Path]] = defaultdict(list)
    defect: dict[str, list[Path]] = defaultdict(list)
    for path in list_images(data / "train_good"):
        good[path.stem[POSITION]].append(path)
    for part in ("test_defect", "train_defect"):
        for path in list_images(data / part):
            defect[path.stem[POSITION]].append(path)
    rows = []
    for position, paths in sorted(good.items()):
        if position in defect:
            half = len(paths) // 2
            rows.append(
                measure(
                    paths[:half],
                    paths[half:],
                    defect[position],
                    data / "masks",
                    method=method,
                    threads=threads,
                )
            )
    return Row(*np.nanmean(np.array(rows), axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--method", choices=["gaussian", "bank"])
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    methods: list[Method] = [arguments.method] if arguments.method else ["gaussian", "bank"]
    print(f"{'set':12}{'method':10}" + "".join(f"{field:>14}" for field in Row._fields))
    for name, run in (("hazelnut", hazelnut), ("ball_screw", ball_screw)):
        for method in methods:
            row = run(arguments.data / name, method, arguments.threads)
            values = "".join(f"{value:14.4f}" for value in row)
            print(f"{name:12}{method:10}{values}", flush=True)


if __name__ == "__main__":
    main()
