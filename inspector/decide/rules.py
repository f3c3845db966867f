"""What the evidence of one part amounts to. The only place that knows the order of priorities.

1. EMERGENCY_BRAKE, decided in `arbiter` because it waits for no part;
2. CONFIRMED_ACTION when the fused confidence is over the limit and nothing is missing;
3. PENDING with the configured failsafe action otherwise.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from inspector.config import ArbiterSetup, DecisionConfig, FusionWeights
from inspector.fusion.context import fuse
from inspector.fusion.pool import OPINION, SENSORS, VISION, modalities, pool
from inspector.types import Action, Decision, PartEvidence, ReasonCode, ResultStatus, SensorEvent


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict without its name, number and times."""

    decision: Decision
    action: Action
    reason_code: ReasonCode
    confidence: float
    p_defect: float | None
    weights: dict[str, float]
    modalities: tuple[str, ...]
    cause: str
    failsafe: bool

    def because(self, cause: str) -> "Judgement":
        """The same judgement, with its cause said more precisely."""
        return replace(self, cause=cause)

    def too_late(self, policy: DecisionConfig) -> "Judgement":
        """What is left of it when the part's deadline has passed: the failsafe, whatever it was."""
        return replace(
            self,
            decision=Decision.PENDING,
            action=Action(policy.failsafe.value),
            reason_code=ReasonCode.TRIGGER_LATE,
            failsafe=True,
        )


def emergency_judgement(reason_code: ReasonCode, cause: str) -> Judgement:
    """Stop. Certain, because it rests on a rule and not on a probability."""
    return Judgement(
        decision=Decision.EMERGENCY_BRAKE,
        action=Action.STOP,
        reason_code=reason_code,
        confidence=1.0,
        p_defect=None,
        weights={},
        modalities=(SENSORS,),
        cause=cause,
        failsafe=False,
    )


def base_weights(policy: DecisionConfig, others: Iterable[str] = ()) -> dict[str, float]:
    """Weights before renormalisation. Whatever the second modality is, it weighs `weight_second`."""
    names = (SENSORS, OPINION, *others)
    return {**dict.fromkeys(names, policy.weight_second), VISION: policy.weight_vision}


def missing_evidence(evidence: PartEvidence, setup: ArbiterSetup) -> tuple[str, ...]:
    """Name what should be there and is not, or is there and of no use: `vision.<camera>`, `sensor.<id>`."""
    seen = {result.camera_id for result in evidence.results if result.status is ResultStatus.OK}
    read = {event.sensor_id for event in evidence.events if event.p_defect is not None}
    cameras = tuple(f"vision.{camera}" for camera in setup.cameras if camera not in seen)
    sensors = tuple(f"sensor.{sensor}" for sensor in setup.expected_sensors if sensor not in read)
    return cameras + sensors


def emergency(event: SensorEvent, policy: DecisionConfig) -> bool:
    """Whether this one event stops the line."""
    return event.urgency > policy.emergency_urgency


def judge(
    evidence: PartEvidence, policy: DecisionConfig, weights: FusionWeights | None = None, drift: float = 0.0
) -> Judgement:
    """Decide a part on what is known of it now. `evidence.missing` must be filled in.

    With `weights` the modalities are fused by what the circumstances make of them, `drift` among these.
    """
    present = modalities(evidence)
    fused = (
        pool(present, base_weights(policy, present)) if weights is None else fuse(evidence, weights, drift)
    )
    cause = likely_cause(evidence, present)
    p_defect = fused.p_defect
    confidence = max(p_defect, 1.0 - p_defect) if p_defect is not None else 0.0
    if not evidence.missing and p_defect is not None and confidence > policy.confirm_confidence:
        defective = p_defect >= 0.5
        return Judgement(
            decision=Decision.CONFIRMED_ACTION,
            action=Action.REJECT if defective else Action.PASS,
            reason_code=ReasonCode.DEFECT if defective else ReasonCode.GOOD,
            confidence=confidence,
            p_defect=p_defect,
            weights=fused.weights,
            modalities=tuple(sorted(present)),
            cause=cause if defective else "",
            failsafe=False,
        )
    return Judgement(
        decision=Decision.PENDING,
        action=Action(policy.failsafe.value),
        reason_code=ReasonCode.EVIDENCE_MISSING if evidence.missing else ReasonCode.LOW_CONFIDENCE,
        confidence=confidence,
        p_defect=p_defect,
        weights=fused.weights,
        modalities=tuple(sorted(present)),
        cause=cause,
        failsafe=True,
    )


def likely_cause(evidence: PartEvidence, present: Mapping[str, float]) -> str:
    """Return the label or sensor that speaks loudest for a defect, or "" when nothing does."""
    suspects: list[tuple[float, str]] = []
    if present.get(VISION, 0.0) >= 0.5:
        detections = [found for result in evidence.results for found in result.detections]
        label = (
            max(detections, key=lambda found: (found.score, found.label)).label if detections else "anomaly"
        )
        suspects.append((present[VISION], label))
    suspects += [
        (event.p_defect, event.sensor_id)
        for event in evidence.events
        if event.p_defect is not None and event.p_defect > 0.5
    ]
    return max(suspects)[1] if suspects else ""
