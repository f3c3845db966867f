"""The site's configuration as frozen, strict data. Pure: reading files is `config_load`'s duty.

One site file names cameras, model, sensors, broker, decision and language model; each camera has
a file of its own. A secret stands here only as the name of an environment variable or of a file.
"""

from inspector.config.broker import BrokerConfig, TlsConfig
from inspector.config.camera import CameraConfig, CameraSelector
from inspector.config.decision import (
    ArbiterSetup,
    Circumstance,
    ContextTerm,
    DecisionConfig,
    Failsafe,
    FusionWeights,
    ModalityFusion,
    RecipeDecision,
)
from inspector.config.explainer import ExplainerConfig, LlmServerConfig
from inspector.config.sensor import LimitRule, ModalityConfig, SensorConfig, SparkplugDevice, SparkplugSource
from inspector.config.site import (
    DetectorConfig,
    MetricsConfig,
    RecipeConfig,
    RecorderConfig,
    Site,
    SiteConfig,
)
from inspector.config.values import SfncValue

__all__ = [
    "ArbiterSetup",
    "BrokerConfig",
    "CameraConfig",
    "CameraSelector",
    "Circumstance",
    "ContextTerm",
    "DecisionConfig",
    "DetectorConfig",
    "ExplainerConfig",
    "Failsafe",
    "FusionWeights",
    "LimitRule",
    "LlmServerConfig",
    "MetricsConfig",
    "ModalityConfig",
    "ModalityFusion",
    "RecipeConfig",
    "RecipeDecision",
    "RecorderConfig",
    "SensorConfig",
    "SfncValue",
    "Site",
    "SiteConfig",
    "SparkplugDevice",
    "SparkplugSource",
    "TlsConfig",
]
