"""Every message that crosses a process boundary or a package boundary. Data only.

Units are in the names: `_ns` is CLOCK_MONOTONIC of this host, `_utc_ns` is UTC and stands only
where the outside gave it or gets it, `_px` are source image pixels, boxes are half-open
(x0, y0, x1, y1). All probabilities are that the part is **defective**, in [0, 1].
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in source pixels, half-open: x0 <= x < x1."""


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all messages: frozen, keyword-only, unknown fields are an error when decoding."""


# -- acquisition ---------------------------------------------------------------------------------


class FrameMeta(Message, frozen=True, kw_only=True):
    """What is known of one frame besides its pixels.

    `pixel_format` is the SFNC PixelFormat name (Mono8, BayerRG8, ...). `exposure_start_ns` is
    camera time mapped to this host's clock, `received_ns` the moment the frame was complete here.
    `clock_uncertainty_us` is how far `exposure_start_ns` may be off; None where nobody knows.
    """

    camera_id: str
    frame_id: int
    exposure_start_ns: int
    exposure_us: float
    received_ns: int
    width_px: int
    height_px: int
    pixel_format: str
    encoder_ticks: int | None = None
    missing_packets: int = 0
    clock_uncertainty_us: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame in shared memory. `image` is a read-only view; it lives as long as this object.

    Shape (height, width) for Mono and Bayer formats, (height, width, 3) for RGB8; dtype uint8,
    or uint16 for the 10 to 16 bit formats.
    """

    meta: FrameMeta
    image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


# -- detection -----------------------------------------------------------------------------------


class ResultStatus(StrEnum):
    OK = "OK"
    DROPPED = "DROPPED"  # the queue was full or the frame too old
    INVALID_FRAME = "INVALID_FRAME"  # incomplete, wrong size or wrong pixel format
    ENGINE_ERROR = "ENGINE_ERROR"


class Detection(Message, frozen=True, kw_only=True):
    label: str
    score: float
    box_px: Box
    area_mm2: float | None = None


class Heatmap(Message, frozen=True, kw_only=True):
    """Row-major uint8, 0 (normal) to 255 (surely abnormal), spread over the whole source image."""

    width: int
    height: int
    data: bytes


class FrameContext(Message, frozen=True, kw_only=True):
    """How good the picture was to see on, measured on the network's input.

    `light_level` is the mean grey value, in [0, 1]; `sharpness` the variance of its Laplacian, with
    grey values in [0, 1] (Pech-Pacheco et al. 2000): it falls when the picture is out of focus.
    """

    light_level: float
    sharpness: float


class FrameResult(Message, frozen=True, kw_only=True):
    """What the detector says of one frame. `p_defect` is calibrated, and None unless status is OK.

    `clock_uncertainty_us` is that of `exposure_start_ns`, None where it is not known. A size of 0
    is not known. `reason` says why there is no probability, for people.
    """

    camera_id: str
    frame_id: int
    exposure_start_ns: int
    clock_uncertainty_us: float | None = None
    received_ns: int
    width_px: int = 0
    height_px: int = 0
    model_sha256: str
    status: ResultStatus
    reason: str = ""
    context: FrameContext | None = None
    p_defect: float | None
    anomaly_score: float | None = None
    detections: tuple[Detection, ...] = ()
    heatmap: Heatmap | None = None
    started_ns: int
    finished_ns: int


# -- line events ---------------------------------------------------------------------------------


class Quality(StrEnum):
    GOOD = "GOOD"
    UNCERTAIN = "UNCERTAIN"
    BAD = "BAD"


class SensorEvent(Message, frozen=True, kw_only=True):
    """One valid reading. `urgency` and `p_defect` were set by the message or by the site's rules.

    `p_defect` is None where the reading says nothing about a part (an emergency button).
    `observed_ns` is when it was measured, on this host's clock. Readings of one `modality` are weighed
    together.
    """

    sensor_id: str
    kind: str
    modality: str = "sensors"
    value: float
    unit: str
    quality: Quality
    urgency: float
    p_defect: float | None = None
    abnormal: str | None = None  # the limit that it broke, in words; None when within limits
    seq: int
    source_utc_ns: int | None = None
    observed_ns: int
    received_ns: int


class Statement(Message, frozen=True, kw_only=True):
    """What a modality that is a plug-in has to say: a value of the sensor that it speaks as.

    `begun_ns` is when that began (a person's first syllable), not when it was understood.
    """

    sensor_id: str
    value: float
    seq: int
    begun_ns: int


class PartTrigger(Message, frozen=True, kw_only=True):
    """A part passed the photo-eye. `part_id` is the PLC's name for it."""

    part_id: str
    seq: int
    trigger_ns: int
    received_ns: int


class CommandKind(StrEnum):
    RESET = "RESET"  # unlatch an emergency
    START = "START"  # Ready to ContinuousExecution
    STOP = "STOP"  # ContinuousExecution to Ready
    SELECT_RECIPE = "SELECT_RECIPE"  # while stopped: another product comes


class Command(Message, frozen=True, kw_only=True):
    """`recipe` is set with SELECT_RECIPE alone."""

    kind: CommandKind
    source: str
    received_ns: int
    recipe: str = ""


# -- deciding ------------------------------------------------------------------------------------


class Opinion(Message, frozen=True, kw_only=True):
    """The language model's second opinion of a part."""

    part_id: str
    p_defect: float
    latency_ms: float
    model_sha256: str


class OpinionRequest(Message, frozen=True, kw_only=True):
    """Ask for an `Opinion`; one that comes after `deadline_ns` is of no use."""

    part_id: str
    evidence: "PartEvidence"
    deadline_ns: int


class PartEvidence(Message, frozen=True, kw_only=True):
    """Everything that belongs to one part. `missing` names what should be there and is not."""

    part_id: str
    trigger_ns: int
    results: tuple[FrameResult, ...] = ()
    events: tuple[SensorEvent, ...] = ()
    opinion: Opinion | None = None
    missing: tuple[str, ...] = ()
    window_start_ns: int
    window_end_ns: int


class Decision(StrEnum):
    EMERGENCY_BRAKE = "EMERGENCY_BRAKE"
    CONFIRMED_ACTION = "CONFIRMED_ACTION"
    PENDING = "PENDING"


class Action(StrEnum):
    STOP = "STOP"
    REJECT = "REJECT"
    PASS = "PASS"
    HOLD = "HOLD"


class ReasonCode(StrEnum):
    DEFECT = "DEFECT"
    GOOD = "GOOD"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    EVIDENCE_MISSING = "EVIDENCE_MISSING"
    TRIGGER_LATE = "TRIGGER_LATE"  # the part's deadline had passed when its trigger was taken in hand
    EMERGENCY = "EMERGENCY"
    LATCHED = "LATCHED"  # an earlier emergency has not been reset


class Verdict(Message, frozen=True, kw_only=True):
    """The one final word on a part. `part_id` is "" for an emergency of the line itself.

    `confidence` is that of the decision, not of a defect. `weights` are those really used, after
    renormalisation over the modalities that were present. `missing` says which evidence was not.
    `skew_ms` is how far the evidence may lie from the trigger in time, with the uncertainty of the
    cameras' clocks; `clock_uncertainty_ms` is the largest of these, None when one is not known.
    """

    verdict_id: str
    part_id: str
    seq: int
    decision: Decision
    action: Action
    reason_code: ReasonCode
    confidence: float
    p_defect: float | None
    weights: dict[str, float]
    skew_ms: float
    clock_uncertainty_ms: float | None = 0.0
    modalities: tuple[str, ...]
    missing: tuple[str, ...]
    cause: str  # "" or the sensor or label that decided it
    trigger_ns: int
    decided_ns: int
    deadline_ns: int
    valid_until_ns: int
    failsafe: bool
    config_sha256: str
    model_sha256: str


class VerdictRecord(Message, frozen=True, kw_only=True):
    """A verdict with what it was decided on, for those who explain and record it."""

    verdict: Verdict
    evidence: PartEvidence


class DeliveryState(StrEnum):
    DELIVERED = "DELIVERED"  # the broker has it (QoS 1 acknowledged)
    UNDELIVERED = "UNDELIVERED"  # its validity ended first
    ACKNOWLEDGED = "ACKNOWLEDGED"  # the PLC has it


class Delivery(Message, frozen=True, kw_only=True):
    """What became of a verdict on its way to the PLC."""

    verdict_id: str
    part_id: str
    state: DeliveryState
    at_ns: int


class ExplanationSource(StrEnum):
    LLM = "LLM"
    TEMPLATE = "TEMPLATE"


class Explanation(Message, frozen=True, kw_only=True):
    """Follows its verdict; never changes it. `cited` are the ids of the facts that it rests on."""

    verdict_id: str
    part_id: str
    text: str
    cause: str
    recommended_action: str
    source: ExplanationSource
    cited: tuple[str, ...]
    model_sha256: str
    latency_ms: float


# -- the system itself ---------------------------------------------------------------------------


class ServiceState(StrEnum):
    STARTING = "STARTING"
    READY = "READY"
    DEGRADED = "DEGRADED"
    STOPPING = "STOPPING"
    DEAD = "DEAD"  # said by the supervisor, of a process that is gone


class Health(Message, frozen=True, kw_only=True):
    """A service's heartbeat. `counters` only grow while the process lives."""

    service: str
    pid: int
    state: ServiceState
    detail: str
    at_ns: int
    counters: dict[str, float]


class Fault(Message, frozen=True, kw_only=True):
    """Something that a person should know. `code` is stable, `text` says what to do."""

    service: str
    code: str
    text: str
    at_ns: int
    part_id: str = ""
    camera_id: str = ""


class SelectRecipe(Message, frozen=True, kw_only=True):
    """The arbiter to the supervisor: use this recipe. The answer is `RecipeRefused`, or a restart."""

    recipe: str


class RecipeRefused(Message, frozen=True, kw_only=True):
    """The supervisor to the arbiter: the recipe cannot be used, and all is as it was."""

    recipe: str
    reason: str


class JudgedPart(Message, frozen=True, kw_only=True):
    """A part that has its verdict, told from another of that name by when it was triggered."""

    part_id: str
    trigger_ns: int


class Resumed(Message, frozen=True, kw_only=True):
    """What an arbiter that starts has from the one before it: it is its first input.

    `judged` is the oldest first; `seq` was the last verdict's.
    """

    judged: tuple[JudgedPart, ...] = ()
    seq: int = 0
    latched_by: SensorEvent | None = None


class JournalEntry(Message, frozen=True, kw_only=True):
    """One input of the arbiter, in the order and at the time it was taken. A replay feeds these.

    Exactly one of the optional fields is set; none is set for a plain tick of the clock.
    """

    seq: int
    epoch: str
    now_ns: int
    trigger: PartTrigger | None = None
    result: FrameResult | None = None
    event: SensorEvent | None = None
    opinion: Opinion | None = None
    command: Command | None = None
    health: Health | None = None
    resumed: Resumed | None = None


class JournalTaken(Message, frozen=True, kw_only=True):
    """The recorder has the journal of this epoch up to `seq`: there is room for more."""

    epoch: str
    seq: int
