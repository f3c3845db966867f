"""Supervised detection: mAP at 0.5 of `inspector train` on real labelled sets.

    python tests/bench/bench_boxes.py --data FOLDER [--sets deeppcb metal_tag] [--threads 1] [--folds 3]

deeppcb comes with its own split; each test image with its aligned template: image, template and difference
are the three channels. metal_tag has none, and shows the same few tags again and again: its tags are dealt
into folds, and each fold is found by a model that saw only the other tags. Needs torch. The sets are for
research only: nothing learned from them is part of the product.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress, TaskID

from inspector.detect.commands import find_backbone
from inspector.detect.model.manifest import load_manifest
from inspector.detect.training.coco import read_coco
from inspector.detect.training.train import TrainOptions, measure, train_boxes


@dataclass(frozen=True)
class Split:
    """Images as boxes.json has them."""

    name: str
    learn: Sequence[dict[str, Any]]
    test: Sequence[dict[str, Any]]


def splits(boxes: dict[str, Any], name: str, folds: int) -> list[Split]:
    """The set's own split, or as many as there are folds of its groups."""
    images = boxes["images"]
    own = {part: [i for i in images if i["file"].startswith(part)] for part in ("train", "test")}
    if own["test"]:
        return [Split(name, own["train"], own["test"])]
    groups = defaultdict(list)
    for image in images:
        groups[image["group"]].append(image)
    dealt: list[list[dict[str, Any]]] = [[] for _ in range(folds)]
    for group in sorted(groups.values(), key=lambda group: (-len(group), group[0]["group"])):
        min(dealt, key=len).extend(group)
    return [
        Split(f"{name}-{index}", [i for other in dealt if other is not fold for i in other], fold)
        for index, fold in enumerate(dealt)
    ]


def to_coco(images: Iterable[dict[str, Any]], classes: Sequence[str], path: Path) -> Path:
    """Images of boxes.json as COCO labels."""
    named, annotations = [], []
    for number, image in enumerate(images):
        known: dict[str, Any] = {key: image[key] for key in ("width", "height", "template") if key in image}
        named.append({"id": number, "file_name": image["file"], **known})
        for box in image["boxes"]:
            x0, y0, x1, y1 = box["bbox"]
            bbox = [x0, y0, x1 - x0, y1 - y0]
            annotations.append({"image_id": number, "category_id": classes.index(box["cls"]), "bbox": bbox})
    categories = [{"id": index, "name": name} for index, name in enumerate(classes)]
    path.write_text(json.dumps({"images": named, "annotations": annotations, "categories": categories}))
    return path


def run(data: Path, split: Split, classes: Sequence[str], arguments: argparse.Namespace) -> float:
    """Train where the model is not there yet, measure on the test images, print; mAP at 0.5."""
    with tempfile.TemporaryDirectory() as name, Progress(console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        models = arguments.keep or Path(name)
        folder = models / split.name
        labels = to_coco(split.learn, classes, Path(name) / "train.json")
        start = time.perf_counter()
        if not (folder / "manifest.yaml").exists():
            options = TrainOptions(
                name=split.name, epochs=arguments.epochs, tune=arguments.backbone == "tuned",
                held_out=0.0, threads=arguments.threads,
            )  # fmt: skip
            train_boxes(data, labels, models, find_backbone(models), options=options, progress=show)
        seconds = time.perf_counter() - start
        test = read_coco(data, to_coco(split.test, classes, Path(name) / "test.json"))
        manifest = load_manifest(folder)
        model = (folder / manifest.onnx.file).read_bytes()
        figures = measure(model, manifest, test, test.images, threads=arguments.threads, progress=show)
    print(
        f"{split.name}: {len(split.learn)} images to learn from, {seconds:.0f} s on {arguments.threads} "
        f"threads ({manifest.how_made.method}); {len(test.images)} test images: "
        f"mAP@0.5 {figures['held_out_map50']:.4f}",
        flush=True,
    )
    return figures["held_out_map50"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["deeppcb", "metal_tag"])
    parser.add_argument("--folds", type=int, default=3, help="of a set without a split of its own")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backbone", choices=["tuned", "frozen"], default="tuned")
    parser.add_argument("--keep", type=Path, help="folder of models; one that is there is measured again")
    arguments = parser.parse_args()
    for name in arguments.sets:
        data = arguments.data / name
        boxes = json.loads((data / "boxes.json").read_text())
        found = [
            run(data, split, boxes["classes"], arguments) for split in splits(boxes, name, arguments.folds)
        ]
        if len(found) > 1:
            spread = f"{np.mean(found):.3f}, between folds {min(found):.3f} to {max(found):.3f}"
            print(f"{name}: mAP@0.5 over {len(found)} folds {spread} (deviation {np.std(found, ddof=1):.3f})")


if __name__ == "__main__":
    main()
