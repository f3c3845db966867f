"""Parts of a made-up line whose truth follows known odds, for the tests of fusion."""

import math
import random

from inspector.fusion.fit import Example, in_order
from inspector.types import FrameContext, FrameResult, PartEvidence, Quality, ResultStatus, SensorEvent

NORMAL_LIGHT = 0.25


def evidence(
    number: int,
    p_vision: float | None,
    p_sensor: float | None = None,
    *,
    light: float = NORMAL_LIGHT,
    quality: Quality = Quality.GOOD,
) -> PartEvidence:
    """One part, seen with so much light, focus as ever, and with a reading of such quality."""
    at_ns = number * 300_000_000
    results: tuple[FrameResult, ...] = ()
    events: tuple[SensorEvent, ...] = ()
    if p_vision is not None:
        results = (
            FrameResult(
                camera_id="cam1", frame_id=number, exposure_start_ns=at_ns, clock_uncertainty_us=0.0,
                received_ns=at_ns, model_sha256="m", status=ResultStatus.OK, p_defect=p_vision,
                context=FrameContext(light_level=light, sharpness=0.1 * light**2), started_ns=at_ns,
                finished_ns=at_ns,
            ),
        )  # fmt: skip
    if p_sensor is not None:
        events = (
            SensorEvent(
                sensor_id="force", kind="force", value=1.0, unit="N", quality=quality, urgency=0.0,
                p_defect=p_sensor, seq=number, observed_ns=at_ns, received_ns=at_ns,
            ),
        )  # fmt: skip
    return PartEvidence(
        part_id=f"P{number}", trigger_ns=at_ns, results=results, events=events, window_start_ns=at_ns,
        window_end_ns=at_ns,
    )  # fmt: skip


def line_of_parts(count: int, seed: int, *, degraded: bool) -> list[Example]:
    """Parts with honest detectors; when degraded, one in two is dark (vision finds all of them
    suspicious) or has a reading that says itself that it is ill, and means nothing.
    """
    rng = random.Random(seed)
    parts: list[tuple[PartEvidence, bool | None]] = []
    for number in range(count):
        defective = rng.random() < 0.3
        prior = math.log(0.3 / 0.7)
        seen = rng.gauss(2.0 if defective else -2.0, 2.0) + prior
        read = rng.gauss(0.6 if defective else -0.6, 1.1)
        dark = degraded and rng.random() < 0.3
        ill = degraded and rng.random() < 0.3
        if dark:
            seen = 0.8 * seen + 4.0
        if ill:
            read = rng.uniform(-3.0, 3.0)
        light = NORMAL_LIGHT * (0.5 if dark else 1.0) * rng.uniform(0.97, 1.03)
        quality = Quality.UNCERTAIN if ill else Quality.GOOD
        one = evidence(number, _p(seen), _p(read), light=light, quality=quality)
        parts.append((one, defective))
    return in_order(parts)


def _p(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds))
