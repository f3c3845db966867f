"""What a verdict depends on besides the evidence, from the site and its model: one place for it."""

from inspector.config import ArbiterSetup, Site
from inspector.config_load import model_folder
from inspector.detect.manifest import load_manifest


def arbiter_setup(site: Site) -> ArbiterSetup:
    """Collect the arbiter's setup.

    Raises:
        ConfigError: the model is missing.
        ModelError: its manifest is wrong.
    """
    return ArbiterSetup(
        decision=site.site.decision,
        cameras=tuple(camera.id for camera in site.cameras),
        expected_sensors=tuple(sensor.id for sensor in site.site.sensors if sensor.expected),
        config_sha256=site.config_sha256,
        model_sha256=load_manifest(model_folder(site)).onnx.sha256,
    )
