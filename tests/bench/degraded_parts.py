"""Labelled evidence of rendered parts in degraded conditions: light, focus, a sensor that is ill.

The detector is the demo's model, which was taught in good light and focus; pictures are degraded
after rendering, as the lamp, the lens and the sensor's gain would. Deterministic in the seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inspector.config import DetectorConfig, LimitRule
from inspector.detect.load import load_detector
from inspector.sensors.rules import judge
from inspector.types import Frame, FrameMeta, FrameResult, PartEvidence, Quality, SensorEvent
from line_sim.parts import DefectKind, Stream, plan_part, stream_rng
from line_sim.render import Renderer

GRIPPER = LimitRule(warn_low=30.0, alarm_low=20.0, p_defect_at_alarm=0.8, urgency_at_alarm=0.5)
PITCH_NS = 300_000_000
MODELS = Path(__file__).parents[2] / "models"


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong. `light` is a factor, `blur_px` a Gaussian's deviation, `ill` a share of readings."""

    name: str
    light: float = 1.0
    blur_px: float = 0.0
    ill: float = 0.0


CONDITIONS = (
    Condition("good"),
    Condition("dim", light=0.75),
    Condition("dark", light=0.5),
    Condition("bright", light=1.3),
    Condition("soft", blur_px=0.8),
    Condition("out of focus", blur_px=1.6),
    Condition("dim and soft", light=0.7, blur_px=0.8),
    Condition("gripper ill", ill=0.35),
    Condition("dim, gripper ill", light=0.75, ill=0.35),
)


@dataclass(frozen=True, slots=True)
class Labelled:
    condition: str
    evidence: PartEvidence
    defective: bool


def labelled(seed: int, parts: int, defect_rate: float = 0.3) -> Iterator[Labelled]:
    """Yield `parts` parts of each condition, in the order in which a line would make them."""
    renderer = Renderer(seed)
    engine = load_detector(DetectorConfig(model="demo_part", requests_in_flight=1), MODELS)
    try:
        number = 0
        for condition in CONDITIONS:
            for _ in range(parts):
                number += 1
                planned = plan_part(seed, number, defect_rate)
                kind = None if planned.defect is None else DefectKind(planned.defect)
                varied = _varied(condition, stream_rng(seed, Stream.FAULT, number))
                image = degrade(renderer.render(number, kind).image, varied)
                engine.submit(_frame(image, number))
                while not (ready := engine.collect()):
                    continue
                rng = stream_rng(seed, Stream.SENSOR, number)
                evidence = _evidence(number, ready[0][1], _gripper(rng, condition, kind, number))
                yield Labelled(condition.name, evidence, planned.defective)
    finally:
        engine.close()


def _varied(condition: Condition, rng: np.random.Generator) -> Condition:
    """No lamp and no lens is twice the same."""
    light = condition.light * float(rng.uniform(0.95, 1.05))
    return replace(condition, light=light, blur_px=condition.blur_px * float(rng.uniform(0.8, 1.2)))


def degrade(image: npt.NDArray[np.uint8], condition: Condition) -> npt.NDArray[np.uint8]:
    """Less light comes with more noise: the camera's own, which stays as it is, is shot noise besides."""
    scene = image.astype(np.float32) * condition.light
    if condition.blur_px:
        scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), condition.blur_px), dtype=np.float32)
    return np.asarray(cv2.convertScaleAbs(scene), dtype=np.uint8)


def _frame(image: npt.NDArray[np.uint8], number: int) -> Frame:
    image.flags.writeable = False
    meta = FrameMeta(
        camera_id="cam1", frame_id=number, exposure_start_ns=number * PITCH_NS, exposure_us=100.0,
        received_ns=number * PITCH_NS + 8_000_000, width_px=image.shape[1], height_px=image.shape[0],
        pixel_format="Mono8", clock_uncertainty_us=200.0,
    )  # fmt: skip
    return Frame(meta, image)


def _gripper(
    rng: np.random.Generator, condition: Condition, kind: DefectKind | None, number: int
) -> SensorEvent:
    """The demo's gripper; when it is ill it says so itself, and what it measures means nothing."""
    loose = kind in {DefectKind.DENT, DefectKind.CRACK} and rng.random() < 0.6
    value = 23.0 if loose else 42.0 + 0.8 * rng.standard_normal()
    ill = condition.ill > 0.0
    if ill and rng.random() < condition.ill:
        value = float(rng.uniform(15.0, 29.0))
    judged = judge(GRIPPER, "gripper_force", value, "N")
    return SensorEvent(
        sensor_id="gripper1", kind="gripper_force", value=value, unit="N",
        quality=Quality.UNCERTAIN if ill else Quality.GOOD, urgency=judged.urgency, p_defect=judged.p_defect,
        abnormal=judged.abnormal, seq=number, observed_ns=number * PITCH_NS, received_ns=number * PITCH_NS,
    )  # fmt: skip


def _evidence(number: int, result: FrameResult, event: SensorEvent) -> PartEvidence:
    return PartEvidence(
        part_id=f"P{number:06d}", trigger_ns=number * PITCH_NS, results=(result,), events=(event,),
        window_start_ns=number * PITCH_NS - 50_000_000, window_end_ns=number * PITCH_NS + 50_000_000,
    )  # fmt: skip
