"""`line-sim render`: pictures on disk for teach-in and evaluation."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from inspector.errors import ConfigError, StoreError
from line_sim.parts import ALL_DEFECTS, DefectKind, plan_part
from line_sim.render import Picture, Renderer


def _write(path: Path, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    if not cv2.imwrite(str(path), image):
        raise StoreError(f"{path}: cannot write the picture; check space and permissions")


def prepare_folder(out: Path) -> None:
    """Make good/, defect/ and masks/ in `out`.

    Raises ConfigError when pictures are there already: a mix of two runs would be a wrong truth.
    """
    for name in ("good", "defect", "masks"):
        folder = out / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.glob("*.png")):
                raise ConfigError(f"{folder} already has pictures: name an empty folder with --out")
        except OSError as error:
            raise ConfigError(f"{folder}: {error.strerror}; choose another --out") from error


def render_parts(
    out: Path,
    *,
    parts: int,
    seed: int,
    defect_rate: float,
    size_px: tuple[int, int],
    kinds: tuple[DefectKind, ...] = ALL_DEFECTS,
) -> Iterator[Picture]:
    """Write `parts` pictures into `out` and yield each after it was written.

    Files: good/P000001.png, defect/P000002.png with masks/P000002.png (0 or 255), truth.jsonl.
    """
    renderer = Renderer(seed, size_px)
    with (out / "truth.jsonl").open("w", encoding="ascii") as log:
        for number in range(1, parts + 1):
            part = plan_part(seed, number, defect_rate, kinds)
            kind = DefectKind(part.defect) if part.defect is not None else None
            picture = renderer.render(number, kind)
            name = f"{part.part_id}.png"
            _write(out / ("defect" if kind else "good") / name, picture.image)
            if picture.truth.mask is not None:
                _write(out / "masks" / name, picture.truth.mask.astype(np.uint8) * 255)
            row = {"part_id": part.part_id, "kind": kind, "box_px": picture.truth.box_px}
            log.write(json.dumps(row) + "\n")
            yield picture
