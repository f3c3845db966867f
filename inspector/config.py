"""The site's configuration as frozen, strict data. Pure: reading files is `config_load`'s duty.

One site file names cameras, model, sensors, broker, decision and language model; each camera has
a file of its own. A secret stands here only as the name of an environment variable or of a file.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Confidence = Annotated[float, Field(gt=0.5, lt=1.0)]
Weight = Annotated[float, Field(gt=0.0, le=1.0)]
SfncValue = bool | int | float | str


class Config(BaseModel):
    """Base: frozen, strict about types, unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# -- camera --------------------------------------------------------------------------------------


class CameraSelector(Config):
    """Which camera on the network. At least one key; all that are set must match."""

    serial: str | None = None
    user_defined_name: str | None = None
    model: str | None = None
    vendor: str | None = None
    address: str | None = None  # IPv4

    @model_validator(mode="after")
    def _one_at_least(self) -> "CameraSelector":
        if not any((self.serial, self.user_defined_name, self.model, self.vendor, self.address)):
            raise ValueError("name the camera by serial, user_defined_name, model, vendor or address")
        return self


class CameraConfig(Config):
    """One camera: who it is, what it is set to, and what we do when it fails.

    `settings` are SFNC feature names and values, written in the order given. `producer` is a GenTL producer
    (.cti); None is our own. `interface_address` lets the producer look for cameras on an address that
    broadcasts do not reach (loopback). `delivered_bits` is what formats of 10 to 16 bits are brought to: 8
    keeps the highest eight, which is what the engines take, 16 keeps them all.
    """

    id: Name
    select: CameraSelector
    producer: str | None = None
    interface_address: str | None = None
    settings: dict[str, SfncValue] = Field(default_factory=dict)
    buffers: int = Field(default=16, ge=3, le=128)
    frame_timeout_ms: int = Field(default=1000, ge=10)  # only for a camera that runs freely
    heartbeat_timeout_ms: int = Field(default=1000, ge=500)
    mm_per_px: float | None = Field(default=None, gt=0)
    delivered_bits: Literal[8, 16] = 8


# -- detection -----------------------------------------------------------------------------------


class DetectorConfig(Config):
    """`model` is a folder name under models/ or a path to one."""

    model: str
    engine: Literal["openvino", "tensorrt"] = "openvino"
    precision: Literal["fp32", "fp16", "int8"] = "fp32"  # of the engine file, for tensorrt
    threads: int = Field(default=1, ge=1)
    requests_in_flight: int = Field(default=2, ge=1, le=16)
    max_age_ms: int = Field(default=1000, ge=1)  # an older frame is dropped, and counted
    power: Literal["fixed", "lowest"] = "fixed"  # lowest: the lowest power mode that holds the deadline


# -- sensors -------------------------------------------------------------------------------------


class LimitRule(Config):
    """Limits of one sensor kind or one sensor, in its unit.

    Between `warn` and `alarm` the probability that the part is defective rises from `p_defect_normal`
    (0.5 says nothing) to `p_defect_at_alarm`; `urgency_at_alarm` is the urgency of a reading at or past it.
    A limit may lie above (high) or below (low) the normal range, or upon how fast the reading
    changes, up or down, between two readings (rate, in the unit per second). Where a reading within its
    limits speaks for the part (a passed electrical test, an operator's word), `p_defect_normal` is below 0.5.
    """

    warn_high: float | None = None
    alarm_high: float | None = None
    warn_low: float | None = None
    alarm_low: float | None = None
    warn_rate: float | None = Field(default=None, gt=0)
    alarm_rate: float | None = Field(default=None, gt=0)
    p_defect_normal: Probability = 0.5
    p_defect_at_alarm: Probability = 0.9
    urgency_at_alarm: Probability = 0.5

    @model_validator(mode="after")
    def _ordered(self) -> "LimitRule":
        for warn, alarm, sign in (
            (self.warn_high, self.alarm_high, 1),
            (self.warn_low, self.alarm_low, -1),
            (self.warn_rate, self.alarm_rate, 1),
        ):
            if (warn is None) != (alarm is None):
                raise ValueError("a warn limit and its alarm limit come together")
            if warn is not None and alarm is not None and sign * (alarm - warn) <= 0:
                raise ValueError("the alarm limit must lie beyond the warn limit")
        return self


SparkplugName = Annotated[str, Field(pattern=r"^[^+#/]{1,64}$")]


class SparkplugDevice(Config):
    """An edge node of Sparkplug B, or a device behind it."""

    group_id: SparkplugName
    edge_node_id: SparkplugName
    device_id: SparkplugName | None = None


class SparkplugSource(SparkplugDevice):
    """A metric that a sensor is read from."""

    metric: Annotated[str, Field(min_length=1, max_length=128)]


class SensorConfig(Config):
    """A sensor that we listen to. One that is not listed is refused, and counted.

    `expected` sensors are evidence: a part without a reading of theirs says so.
    `trust_urgency` takes the urgency that the message itself states.
    A sensor that is not heard for `heartbeat_s` becomes an event of `urgency_when_silent`, once in each such
    time. `sparkplug` reads it from there and not from our own topic. With `curve_model` (`inspector
    teach-curve`) it sends curves; its readings are their deviations from good ones, in the unit "" (1.0 is
    the highest that good curves reach). Sensors of one `modality` weigh as one, the most suspicious of them.
    A part in doubt waits until its deadline for what an `awaited` sensor may still say, but is not held for
    want of it.
    """

    id: Name
    kind: Name
    unit: str
    min_value: float
    max_value: float
    rule: LimitRule | None = None
    expected: bool = False
    modality: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")] = "sensors"
    awaited: bool = False
    trust_urgency: bool = True
    heartbeat_s: float | None = Field(default=None, gt=0)
    urgency_when_silent: Probability = 0.5
    sparkplug: SparkplugSource | None = None
    curve_model: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "SensorConfig":
        if self.sparkplug is not None and self.curve_model is not None:
            raise ValueError("give sparkplug or curve_model, not both")
        if self.modality in {"vision", "opinion"}:
            raise ValueError(f"modality {self.modality} is not of a sensor; give another name")
        return self


class ModalityConfig(Config):
    """A plug-in that is a modality: the entry point `name` of the group `inspector.modalities`.

    It speaks as `sensor`, one of the site's. What it begins to say up to `reach_ms` after a part's trigger is
    about that part, the last one; with 0 it is about the moment. `options` are the plug-in's own.
    """

    name: Name
    sensor: Name
    reach_ms: int = Field(default=0, ge=0, le=10_000)
    options: dict[str, SfncValue | tuple[str, ...]] = Field(default_factory=dict)


# -- broker --------------------------------------------------------------------------------------


class TlsConfig(Config):
    """`check_cert_file` is what `inspector check` logs in with, where the broker takes the name in the
    certificate as the client id: with the cell's own it would throw a running cell out.
    """

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None
    check_cert_file: Path | None = None
    check_key_file: Path | None = None

    @model_validator(mode="after")
    def _check_pair(self) -> "TlsConfig":
        if self.check_key_file and not self.check_cert_file:
            raise ValueError("check_key_file needs check_cert_file")
        return self


class BrokerConfig(Config):
    """`password_env` and `password_file` name where the password is, never the password."""

    host: str = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    protocol: Literal["mqtt5", "mqtt311"] = "mqtt5"
    client_id: Name = "inspector"
    username: str | None = None
    password_env: str | None = None
    password_file: Path | None = None
    tls: TlsConfig | None = None
    keepalive_s: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _credentials(self) -> "BrokerConfig":
        if self.password_env and self.password_file:
            raise ValueError("give password_env or password_file, not both")
        return self


# -- decision ------------------------------------------------------------------------------------


class Failsafe(StrEnum):
    HOLD = "HOLD"
    REJECT = "REJECT"


class DecisionConfig(Config):
    """The policy of `decide`. `deadline_ms` counts from the part's trigger to the verdict at the PLC,
    `verdict_validity_ms` from the deadline. Keep `max_skew_ms` below half the time between parts. Where parts
    come closer, or a camera's clock is not known, `frames_by` count lets the number of a frame decide
    between neighbours: for cameras that every trigger fires, once.
    """

    trigger: Literal["photo_eye", "frame"] = "photo_eye"
    frames_by: Literal["time", "count"] = "time"
    max_skew_ms: int = Field(default=50, ge=1)
    deadline_ms: int = Field(default=250, ge=1)
    delivery_margin_ms: int = Field(default=25, ge=0)  # decided this long before the deadline
    verdict_validity_ms: int = Field(default=250, ge=0)
    confirm_confidence: Confidence = 0.75
    emergency_urgency: float = Field(default=0.8, gt=0.0, lt=1.0)
    failsafe: Failsafe = Failsafe.HOLD
    weight_vision: Weight = 0.6
    weight_second: Weight = 0.4
    fusion: Path | None = None  # a file that `inspector calibrate fusion` wrote; relative to the site file
    opinion_budget_ms: int = Field(default=800, ge=1)  # ask for one only when this much time is left

    @model_validator(mode="after")
    def _in_time(self) -> "DecisionConfig":
        if self.delivery_margin_ms >= self.deadline_ms:
            raise ValueError("delivery_margin_ms must be shorter than deadline_ms")
        return self


class ContextTerm(Config):
    """How one circumstance moves a modality: its weight, and its log-odds, for each `scale` off `centre`."""

    name: Literal["dim", "glare", "focus", "drift", "confidence", "health"]
    centre: float
    scale: float = Field(gt=0.0)
    weight: float = 0.0
    offset: float = 0.0


class ModalityFusion(Config):
    """A modality's weight and offset (log-odds) in normal circumstances, and what moves them."""

    weight: float = Field(ge=0.0)
    offset: float = 0.0
    terms: tuple[ContextTerm, ...] = ()


class FusionWeights(Config):
    """What `inspector calibrate fusion` writes. `examples` is how many labelled parts it rests on."""

    examples: int = Field(ge=0)
    vision: ModalityFusion
    sensors: ModalityFusion
    opinion: ModalityFusion


class ArbiterSetup(Config):
    """All that a verdict depends on besides the evidence. Recorded with a session, for its replay."""

    decision: DecisionConfig
    fusion: FusionWeights | None = None  # None: fixed weights
    cameras: tuple[str, ...]
    expected_sensors: tuple[str, ...]
    awaited_sensors: tuple[str, ...] = ()
    config_sha256: str
    model_sha256: str


# -- language model ------------------------------------------------------------------------------


class LlmServerConfig(Config):
    """An OpenAI-compatible server: llama-server, vLLM, SGLang, Ollama, TensorRT-LLM and others.

    `url` ends before /chat/completions (http://host:8000/v1). The key is read from the environment
    variable or the file that is named here. `images`: the model takes image_url parts.
    """

    url: Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/[^\s]*)?$")]
    model: str = "default"
    api_key_env: str | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None
    timeout_ms: int = Field(default=800, ge=1)
    max_concurrent: int = Field(default=1, ge=1, le=64)
    images: bool = False

    @model_validator(mode="after")
    def _credentials(self) -> "LlmServerConfig":
        if self.api_key_env and self.api_key_file:
            raise ValueError("give api_key_env or api_key_file, not both")
        return self


class ExplainerConfig(Config):
    """`model` is a name that `inspector models list` knows, or a GGUF file; "none" leaves the template.

    `server` takes the place of `model`. `knowledge` is the site's FMEA: a CSV or Markdown file, or a
    folder of them, relative to the site file. `mmproj` lets a local model see. `opinions` asks for
    second opinions; `memory_mib` caps the process that runs the model.
    """

    model: str = "none"
    server: LlmServerConfig | None = None
    language: Literal["en", "de", "zh"] = "en"
    knowledge: Path | None = None
    threads: int = Field(default=1, ge=1)
    gpu_layers: int = Field(default=0, ge=0)
    mmproj: Path | None = None
    adapter: Path | None = None  # from `inspector explain tune`, relative to the site file
    nice: int = Field(default=10, ge=0, le=19)
    pause_for_frames: bool = False  # a local model stands still while a frame is in the detector
    memory_mib: int | None = Field(default=None, ge=64)
    context_tokens: int = Field(default=2048, ge=512)
    max_tokens: int = Field(default=160, ge=32)
    deadline_s: float = Field(default=30.0, gt=0)
    explain: Literal["all", "not_passed"] = "not_passed"
    opinions: bool = False


class RecorderConfig(Config):
    """Sessions go to `directory`/<start time>/. Oldest sessions go first when `max_gib` is passed."""

    directory: Path = Path("sessions")
    frames: Literal["all", "not_passed", "none"] = "all"
    max_gib: float = Field(default=20.0, gt=0)


class RecipeDecision(Config):
    """What a recipe decides otherwise than the site, key by key; what is left out is as the site has it.

    Times and the emergency are the line's: the PLC's timer and the stop know no recipe.
    """

    confirm_confidence: Confidence | None = None
    failsafe: Failsafe | None = None
    weight_vision: Weight | None = None
    weight_second: Weight | None = None
    fusion: Path | None = None


class RecipeConfig(Config):
    """A product that the line makes: its model, a folder as in `detector.model`, and its decision."""

    name: Name
    model: str
    decision: RecipeDecision = RecipeDecision()


class MetricsConfig(Config):
    """Prometheus, one port a service: `port` and the following ones, on loopback by default."""

    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65500)


class SiteConfig(Config):
    """The whole cell. `base_topic` is the ISA-95 path enterprise/site/area/line/cell, `sparkplug` is what
    the cell is told as to a Sparkplug B host besides. `recipe` is the one of `recipes` that is used until
    another one is selected; "" is the site as it stands.
    """

    base_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,5}$")]
    cameras: tuple[Path, ...] = Field(min_length=1)  # one YAML file each
    detector: DetectorConfig
    sensors: tuple[SensorConfig, ...] = ()
    modalities: tuple[ModalityConfig, ...] = ()
    broker: BrokerConfig = BrokerConfig()
    sparkplug: SparkplugDevice | None = None
    decision: DecisionConfig = DecisionConfig()
    explainer: ExplainerConfig = ExplainerConfig()
    recorder: RecorderConfig = RecorderConfig()
    metrics: MetricsConfig | None = None
    recipes: tuple[RecipeConfig, ...] = ()
    recipe: str = ""

    @field_validator("recipes")
    @classmethod
    def _named_once(cls, recipes: tuple[RecipeConfig, ...]) -> tuple[RecipeConfig, ...]:
        names = [recipe.name for recipe in recipes]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two recipes are named {twice[0]}")
        return recipes

    @field_validator("recipe")
    @classmethod
    def _one_of_them(cls, name: str, info: ValidationInfo) -> str:
        if "recipes" in info.data and name not in {"", *(recipe.name for recipe in info.data["recipes"])}:
            raise ValueError(f"there is no recipe {name}; list it under recipes")
        return name

    @model_validator(mode="after")
    def _unique(self) -> "SiteConfig":
        ids = [sensor.id for sensor in self.sensors]
        if len(ids) != len(set(ids)):
            raise ValueError("two sensors have the same id")
        speaking = [modality.sensor for modality in self.modalities]
        if unknown := sorted(set(speaking) - set(ids)):
            raise ValueError(f"modalities: there is no sensor {unknown[0]}")
        if len(speaking) != len(set(speaking)):
            raise ValueError("two modalities speak as the same sensor")
        return self


class Site(Config):
    """A site file with its camera files read, and the hash of all of it."""

    site: SiteConfig
    cameras: tuple[CameraConfig, ...]
    config_sha256: str
    root: Path  # relative paths in the files are relative to this
