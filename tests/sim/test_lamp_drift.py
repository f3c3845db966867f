"""A lamp that ages slowly: DRIFT is told before good parts are called defective, by the light first."""

from pathlib import Path

import cv2
import numpy as np

from inspector.detect.commands import find_backbone
from inspector.detect.drift import TYPICAL_GOOD, DriftMonitor
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.frame_context import frame_context
from inspector.detect.model.decode import decode
from inspector.detect.picture_drift import PictureMonitor
from inspector.detect.teaching.teach import TeachOptions, teach
from line_sim.render import GrayImage, Renderer

SIZE = (320, 240)
TAUGHT, PARTS = 30, 240
DARKEST = 0.5  # of the light at teach-in, with the last part
WINDOW = 30


def lit(renderers: list[Renderer], number: int, light: float) -> GrayImage:
    """A good part of one of the batches, under a lamp that gives so much of its light."""
    picture = renderers[number % len(renderers)].render(number, None).image
    return np.asarray(np.clip(picture * light, 0, 255), dtype=np.uint8)


def test_the_fault_comes_before_the_verdicts_go_wrong(tmp_path: Path) -> None:
    batches = [Renderer(seed, SIZE) for seed in range(3)]
    (tmp_path / "good").mkdir()
    for number in range(TAUGHT):
        cv2.imwrite(str(tmp_path / "good" / f"{number:03}.png"), lit(batches, number, 1.0))
    options = TeachOptions(name="flange", size=(256, 192))
    taught = teach(tmp_path / "good", None, tmp_path / "models", find_backbone(tmp_path), options=options)
    run = CpuRun((taught.folder / "model.onnx").read_bytes(), "flange")
    monitor = DriftMonitor(taught.manifest.metrics[TYPICAL_GOOD], 0.5, window=WINDOW)
    assert taught.manifest.pictures is not None
    pictures = PictureMonitor(taught.manifest.pictures, window=WINDOW)
    wrong: list[bool] = []
    began, darker = None, None
    for index in range(PARTS):
        light = 1.0 - (1.0 - DARKEST) * index / PARTS
        pixels = lit(batches, 1000 + index, light)[None, ..., None]
        decoded = decode(run(pixels), taught.manifest)
        wrong.append(decoded.p_defect >= 0.5)
        drift = monitor.add(decoded.p_defect)
        if drift is not None and drift.began and began is None:
            began = index
        seen = pictures.add(frame_context(pixels))
        if seen is not None and seen.began and darker is None:
            darker = index
            assert "darker" in seen.text
    assert began is not None
    assert darker is not None
    assert darker < began
    assert began > WINDOW
    assert sum(wrong[:began]) <= began // 50  # good parts were judged as ever when it was told
    assert sum(wrong[-WINDOW:]) > WINDOW // 4  # and would not have been for long
