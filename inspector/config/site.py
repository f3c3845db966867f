"""The site file."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from inspector.config.broker import BrokerConfig
from inspector.config.camera import CameraConfig
from inspector.config.decision import DecisionConfig, RecipeDecision
from inspector.config.explainer import ExplainerConfig
from inspector.config.sensor import ModalityConfig, SensorConfig, SparkplugDevice
from inspector.config.values import Name
from inspector.strict_data import Strict
from inspector.wrong_value import WrongValueError


class DetectorConfig(Strict, frozen=True, kw_only=True):
    """`model` is a folder name under models/ or a path to one."""

    model: str
    engine: Literal["openvino", "tensorrt"] = "openvino"
    precision: Literal["fp32", "fp16", "int8"] = "fp32"  # of the engine file, for tensorrt
    threads: Annotated[int, Meta(ge=1)] = 1
    requests_in_flight: Annotated[int, Meta(ge=1, le=16)] = 2
    max_age_ms: Annotated[int, Meta(ge=1)] = 1000  # an older frame is dropped, and counted
    power: Literal["fixed", "lowest"] = "fixed"  # lowest: the lowest power mode that holds the deadline


class RecorderConfig(Strict, frozen=True, kw_only=True):
    """Sessions go to `directory`/<start time>/. Oldest sessions go first when `max_gib` is passed."""

    directory: Path = Path("sessions")
    frames: Literal["all", "not_passed", "none"] = "all"
    max_gib: Annotated[float, Meta(gt=0)] = 20.0


class RecipeConfig(Strict, frozen=True, kw_only=True):
    """A product that the line makes: its model, a folder as in `detector.model`, and its decision."""

    name: Name
    model: str
    decision: RecipeDecision = RecipeDecision()


class MetricsConfig(Strict, frozen=True, kw_only=True):
    """Prometheus, one port a service: `port` and the following ones, on loopback by default."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65500)]


class SiteConfig(Strict, frozen=True, kw_only=True):
    """The whole cell. `base_topic` is the ISA-95 path enterprise/site/area/line/cell, `sparkplug` is what
    the cell is told as to a Sparkplug B host besides. `recipe` is the one of `recipes` that is used until
    another one is selected; "" is the site as it stands.
    """

    base_topic: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,5}\Z")]
    cameras: Annotated[tuple[Path, ...], Meta(min_length=1)]  # one YAML file each
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

    def __post_init__(self) -> None:
        self._check_recipes()
        ids = [sensor.id for sensor in self.sensors]
        if len(ids) != len(set(ids)):
            raise WrongValueError("two sensors have the same id", "sensors")
        speaking = [modality.sensor for modality in self.modalities]
        if unknown := sorted(set(speaking) - set(ids)):
            raise WrongValueError(f"there is no sensor {unknown[0]}", "modalities")
        if len(speaking) != len(set(speaking)):
            raise WrongValueError("two modalities speak as the same sensor", "modalities")

    def _check_recipes(self) -> None:
        names = [recipe.name for recipe in self.recipes]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise WrongValueError(f"two recipes are named {twice[0]}", "recipes")
        if self.recipe not in {"", *names}:
            raise WrongValueError(f"there is no recipe {self.recipe}; list it under recipes", "recipe")


class Site(Strict, frozen=True, kw_only=True):
    """A site file with its camera files read, and the hash of all of it."""

    site: SiteConfig
    cameras: tuple[CameraConfig, ...]
    config_sha256: str
    root: Path  # relative paths in the files are relative to this
