"""Fusion that knows the circumstances: weights and offsets that move with light, focus, health and drift.

Each modality speaks in log-odds, as in `pool`; here its weight, and for vision an offset, are linear
in what is known of the circumstances, each in units of its normal scatter and held within `LIMIT`
of them, so that nothing unheard of moves a verdict without bound. No weight is ever negative: a
modality that is of no use is silent, not a liar. An absent modality brings nothing, neither weight
nor offset. Pure; `fit` finds the numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from inspector.config import ContextTerm, FusionWeights, ModalityFusion
from inspector.fusion.pool import OPINION, SENSORS, VISION, Fused, logit, modalities
from inspector.fusion.portable import exp, log2
from inspector.types import PartEvidence, Quality, ResultStatus

LIMIT = 4.0
_SMALLEST_LIGHT = 1.0 / 1024.0
_SMALLEST_SHARPNESS = 1e-7
MEASURE = {  # which of `Circumstances` a term of the configuration is of
    "dim": "light",
    "glare": "light",
    "focus": "focus",
    "drift": "drift",
    "confidence": "confidence",
    "health": "health",
}
_DRIFT_SHARE = 0.05  # of each part in the running mean: about the last twenty parts
_DRIFT_STEP = 6.0  # log-odds; one part more moves the mean no further


@dataclass(frozen=True, slots=True)
class Circumstances:
    """In doublings of light and focus, log-odds of drift and confidence, and a share of readings.

    `light` and `focus` are those of the camera that vision's probability comes from; None where
    nothing was measured, which counts as normal. `focus` is the sharpness that the light alone
    does not explain: the variance of a picture grows with the square of its light.
    """

    light: float | None
    focus: float | None
    drift: float
    confidence: float
    health: float


class Drift:
    """Whether the detector has been finding parts more and more suspicious: a running mean."""

    def __init__(self) -> None:
        self._mean: float | None = None

    @property
    def log_odds(self) -> float:
        return 0.0 if self._mean is None else self._mean

    def see(self, p_vision: float) -> None:
        """Take one more part, judged or not."""
        heard = max(-_DRIFT_STEP, min(_DRIFT_STEP, logit(p_vision)))
        before = heard if self._mean is None else self._mean
        self._mean = before + _DRIFT_SHARE * (heard - before)


def circumstances(evidence: PartEvidence, drift: float) -> Circumstances:
    """Measure the circumstances of one part."""
    worst, light, focus = -1.0, None, None
    for result in evidence.results:
        if result.status is ResultStatus.OK and result.p_defect is not None and result.p_defect > worst:
            worst, light, focus = result.p_defect, None, None
            if result.context is not None:
                light = log2(max(result.context.light_level, _SMALLEST_LIGHT))
                focus = log2(max(result.context.sharpness, _SMALLEST_SHARPNESS)) - 2.0 * light
    spoken = [event for event in evidence.events if event.p_defect is not None]
    ill = sum(event.quality is not Quality.GOOD for event in spoken)
    return Circumstances(
        light=light,
        focus=focus,
        drift=drift,
        confidence=abs(logit(worst)) if worst >= 0.0 else 0.0,
        health=ill / len(spoken) if spoken else 0.0,
    )


def deviation(term: ContextTerm, where: Circumstances) -> float:
    """How far one circumstance is from normal, in units of its scatter, within `LIMIT`.

    Too little and too much light are two circumstances, each counted from 0 up.
    """
    value: float | None = getattr(where, MEASURE[term.name])
    if value is None:
        return 0.0
    off = max(-LIMIT, min(LIMIT, (value - term.centre) / term.scale))
    if term.name == "dim":
        return max(0.0, -off)
    return max(0.0, off) if term.name == "glare" else off


def fuse(evidence: PartEvidence, weights: FusionWeights, drift: float) -> Fused:
    """Return the probability that the part is defective, and the weights really used."""
    present = modalities(evidence)
    if not present:
        return Fused(None, {})
    where = circumstances(evidence, drift)
    total, used = 0.0, {}
    for name, p_defect in sorted(present.items()):
        weight, offset = _moved(_of(weights, name), where)
        used[name] = weight
        total += weight * logit(p_defect) + offset
    return Fused(1.0 / (1.0 + exp(-max(-50.0, min(50.0, total)))), used)


def fixed(base: Mapping[str, float], examples: int = 0) -> FusionWeights:
    """The fixed weights in the same form: what `pool` does where all modalities are present."""
    strongest = max(base.values())
    plain = {name: ModalityFusion(weight=weight / strongest) for name, weight in base.items()}
    return FusionWeights(
        examples=examples, vision=plain[VISION], sensors=plain[SENSORS], opinion=plain[OPINION]
    )


def _of(weights: FusionWeights, name: str) -> ModalityFusion:
    """A modality that the fit has not seen weighs what the second one does without a fit, as the opinion."""
    return weights.vision if name == VISION else weights.sensors if name == SENSORS else weights.opinion


def _moved(modality: ModalityFusion, where: Circumstances) -> tuple[float, float]:
    weight, offset = modality.weight, modality.offset
    for term in modality.terms:
        off = deviation(term, where)
        weight += term.weight * off
        offset += term.offset * off
    return max(0.0, weight), offset
