"""What a verdict depends on besides the evidence, from the site and its model: one place for it."""

from pathlib import Path

from inspector.config import ArbiterSetup, FusionWeights, Site
from inspector.config_load import model_folder
from inspector.detect.model.manifest import load_manifest
from inspector.services.weights_file import read_weights


def arbiter_setup(site: Site) -> ArbiterSetup:
    """Collect the arbiter's setup.

    Raises:
        ConfigError: the model is missing, or the file of fitted weights is missing or wrong.
        ModelError: its manifest is wrong.
    """
    return ArbiterSetup(
        decision=site.site.decision,
        fusion=fitted_fusion(site),
        cameras=tuple(camera.id for camera in site.cameras),
        expected_sensors=tuple(sensor.id for sensor in site.site.sensors if sensor.expected),
        awaited_sensors=tuple(sensor.id for sensor in site.site.sensors if sensor.awaited),
        config_sha256=site.config_sha256,
        model_sha256=load_manifest(model_folder(site)).onnx.sha256,
    )


def outbox_folder(site: Site) -> Path:
    """One a cell: cells that share a sessions folder must not share what waits for the PLC."""
    line = site.site.base_topic.replace("/", "+")  # a base topic holds no plus sign
    return site.root / site.site.recorder.directory / "outbox" / f"{line}@{site.site.broker.client_id}"


def fitted_fusion(site: Site) -> FusionWeights | None:
    """Return the fitted weights that the site names, or None. Raises ConfigError."""
    path = site.site.decision.fusion
    return None if path is None else read_weights(site.root / path)
