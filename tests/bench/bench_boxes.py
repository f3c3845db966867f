"""Supervised detection on deeppcb: 200 pairs to learn from, 150 test pairs, mAP at 0.5.

    python tests/bench/bench_boxes.py --data FOLDER [--epochs 24] [--threads 1] [--backbone frozen]

Each test image comes with its aligned template; image, template and difference are the three channels.
Needs torch. The set is for research only: nothing learned from it is part of the product.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from inspector.detect.commands import find_backbone
from inspector.detect.model.manifest import load_manifest
from inspector.detect.training.coco import read_coco
from inspector.detect.training.train import TrainOptions, measure, train_boxes


def to_coco(data: Path, split: str, path: Path) -> Path:
    """deeppcb's boxes.json as COCO labels of one split."""
    boxes = json.loads((data / "boxes.json").read_text())
    images, annotations = [], []
    for number, image in enumerate(i for i in boxes["images"] if i["file"].startswith(split)):
        images.append(
            {
                "id": number, "file_name": image["file"], "template": image["template"],
                "width": image["width"], "height": image["height"],
            }
        )  # fmt: skip
        for box in image["boxes"]:
            x0, y0, x1, y1 = box["bbox"]
            annotations.append(
                {
                    "image_id": number,
                    "category_id": boxes["classes"].index(box["cls"]),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                }
            )
    categories = [{"id": index, "name": name} for index, name in enumerate(boxes["classes"])]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backbone", choices=["tuned", "frozen"], default="tuned")
    parser.add_argument("--keep", type=Path, help="folder of models; one that is there is measured again")
    arguments = parser.parse_args()
    data = arguments.data / "deeppcb"
    with tempfile.TemporaryDirectory() as name, Progress(console=Console(stderr=True)) as bar:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        models = arguments.keep or Path(name)
        folder = models / "deeppcb"
        labels = to_coco(data, "train_defect", Path(name) / "train.json")
        start = time.perf_counter()
        if not (folder / "manifest.yaml").exists():
            options = TrainOptions(
                name="deeppcb", epochs=arguments.epochs, tune=arguments.backbone == "tuned",
                held_out=0.0, threads=arguments.threads,
            )  # fmt: skip
            train_boxes(data, labels, models, find_backbone(models), options=options, progress=show)
        seconds = time.perf_counter() - start
        test = read_coco(data, to_coco(data, "test_defect", Path(name) / "test.json"))
        manifest = load_manifest(folder)
        model = (folder / manifest.onnx.file).read_bytes()
        figures = measure(model, manifest, test, test.images, threads=arguments.threads, progress=show)
    print(f"trained in {seconds:.0f} s on {arguments.threads} threads, {manifest.how_made.method}")
    print(f"{figures['held_out_images']:.0f} test pairs: mAP@0.5 {figures['held_out_map50']:.4f}")


if __name__ == "__main__":
    main()
