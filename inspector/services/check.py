"""Are the things there that a site names? Quick, and each answer is one line."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from inspector.camera.acquisition import open_camera
from inspector.clock import SystemClock
from inspector.config import Site
from inspector.config_load import model_folder
from inspector.detect.model.manifest import load_manifest
from inspector.errors import ConfigError, DeviceError, ModelError
from inspector.explain.site_check import check_explainer
from inspector.plc.check import check_broker
from inspector.recipe import apply_recipe
from inspector.sensors.curve_file import load_scorers
from inspector.services.modality import factory_of
from inspector.services.recipe import examine_recipe, recipe_in_use
from inspector.services.setup import arbiter_setup

_CAMERA_S = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A warning is no reason not to start; nor is an error, which is about
    something that will be refused when it is asked for.
    """

    level: str  # ok | warn | error
    text: str

    def line(self) -> str:
        return f"{self.level:<6} {self.text}"


def check_site(site: Site) -> Iterator[Finding]:
    """Look at recipes, model, language model, recorder, broker and cameras, in this order.

    `site` is the site as it stands in its file; all but the recipes is looked at as the one in use has it.

    Raises:
        ConfigError: something without which the cell cannot run; names the key or the address.
    """
    yield from _check_recipes(site)
    site = apply_recipe(site, recipe_in_use(site))
    folder = model_folder(site)
    try:
        manifest = load_manifest(folder)
    except ModelError as error:
        raise ConfigError(f"detector.model: {error}") from error
    yield Finding("ok", f"model: {folder}, {manifest.onnx.sha256[:12]}")
    fitted = arbiter_setup(site).fusion
    if fitted is not None:
        yield Finding("ok", f"fusion: {site.site.decision.fusion}, fitted on {fitted.examples} parts")
    for well, text in check_explainer(site.site.explainer, site.root):
        yield Finding("ok" if well else "warn", text)
    directory = site.root / site.site.recorder.directory
    parent = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(parent, os.W_OK):
        raise ConfigError(f"recorder.directory: {directory} cannot be written")
    yield Finding("ok", f"recorder: {directory}")
    for sensor_id in load_scorers(site.site.sensors, site.root):
        yield Finding("ok", f"sensor {sensor_id}: its curve model was read")
    for modality in site.site.modalities:
        factory_of(modality)
        yield Finding("ok", f"modality {modality.name}: its plug-in is there; speaks as {modality.sensor}")
    yield Finding("ok", f"broker: {check_broker(site.site.broker)}")
    for camera in site.cameras:
        try:
            with open_camera(camera, SystemClock(), wait_s=_CAMERA_S):
                yield Finding("ok", f"camera {camera.id}: found, its settings were taken")
        except DeviceError as error:
            raise ConfigError(str(error)) from error


def _check_recipes(site: Site) -> Iterator[Finding]:
    in_use = recipe_in_use(site)
    for recipe in site.site.recipes:
        used = "; it is in use" if recipe.name == in_use else ""
        try:
            yield Finding("ok", f"recipe {recipe.name}: model {examine_recipe(site, recipe.name)[:12]}{used}")
        except (ConfigError, ModelError) as error:
            text = f"recipe {recipe.name}: {error}{used}"
            if used:
                raise ConfigError(text) from error
            yield Finding("error", text)
