"""How parts are decided: the policy, fitted fusion weights, and all that a verdict depends on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from inspector.strict_data import Strict

Confidence = Annotated[float, Meta(gt=0.5, lt=1.0)]
Weight = Annotated[float, Meta(gt=0.0, le=1.0)]
Circumstance = Literal["dim", "glare", "focus", "drift", "confidence", "health"]


class Failsafe(StrEnum):
    HOLD = "HOLD"
    REJECT = "REJECT"


class DecisionConfig(Strict, frozen=True, kw_only=True):
    """The policy of `decide`. `deadline_ms` counts from the part's trigger to the verdict at the PLC,
    `verdict_validity_ms` from the deadline. Keep `max_skew_ms` below half the time between parts. Where parts
    come closer, or a camera's clock is not known, `frames_by` count lets the number of a frame decide
    between neighbours: for cameras that every trigger fires, once.
    """

    trigger: Literal["photo_eye", "frame"] = "photo_eye"
    frames_by: Literal["time", "count"] = "time"
    max_skew_ms: Annotated[int, Meta(ge=1)] = 50
    deadline_ms: Annotated[int, Meta(ge=1)] = 250
    delivery_margin_ms: Annotated[int, Meta(ge=0)] = 25  # decided this long before the deadline
    verdict_validity_ms: Annotated[int, Meta(ge=0)] = 250
    confirm_confidence: Confidence = 0.75
    emergency_urgency: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.8
    failsafe: Failsafe = Failsafe.HOLD
    weight_vision: Weight = 0.6
    weight_second: Weight = 0.4
    fusion: Path | None = None  # a file that `inspector calibrate fusion` wrote; relative to the site file
    opinion_budget_ms: Annotated[int, Meta(ge=1)] = 800  # ask for one only when this much time is left

    def __post_init__(self) -> None:
        if self.delivery_margin_ms >= self.deadline_ms:
            raise ValueError("delivery_margin_ms must be shorter than deadline_ms")


class RecipeDecision(Strict, frozen=True, kw_only=True):
    """What a recipe decides otherwise than the site, key by key; what is left out is as the site has it.

    Times and the emergency are the line's: the PLC's timer and the stop know no recipe.
    """

    confirm_confidence: Confidence | None = None
    failsafe: Failsafe | None = None
    weight_vision: Weight | None = None
    weight_second: Weight | None = None
    fusion: Path | None = None


class ContextTerm(Strict, frozen=True, kw_only=True):
    """How one circumstance moves a modality: its weight, and its log-odds, for each `scale` off `centre`."""

    name: Circumstance
    centre: float
    scale: Annotated[float, Meta(gt=0.0)]
    weight: float = 0.0
    offset: float = 0.0


class ModalityFusion(Strict, frozen=True, kw_only=True):
    """A modality's weight and offset (log-odds) in normal circumstances, and what moves them."""

    weight: Annotated[float, Meta(ge=0.0)]
    offset: float = 0.0
    terms: tuple[ContextTerm, ...] = ()


class FusionWeights(Strict, frozen=True, kw_only=True):
    """What `inspector calibrate fusion` writes. `examples` is how many labelled parts it rests on."""

    examples: Annotated[int, Meta(ge=0)]
    vision: ModalityFusion
    sensors: ModalityFusion
    opinion: ModalityFusion


class ArbiterSetup(Strict, frozen=True, kw_only=True):
    """All that a verdict depends on besides the evidence. Recorded with a session, for its replay."""

    decision: DecisionConfig
    fusion: FusionWeights | None = None  # None: fixed weights
    cameras: tuple[str, ...]
    expected_sensors: tuple[str, ...]
    awaited_sensors: tuple[str, ...] = ()
    config_sha256: str
    model_sha256: str
