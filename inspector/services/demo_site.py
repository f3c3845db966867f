"""The demo's own site: the shipped demo site, with this run's broker, camera address and folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inspector.detect.model.manifest import load_manifest
from inspector.errors import ConfigError, ModelError

_CAMERA_FORMAT = {"Mono8": "Mono8", "RGB8": "BayerRG8"}


@dataclass(frozen=True, slots=True)
class DemoChoices:
    """What the command line chose. `model` is a folder or a name; None keeps the site's."""

    broker_host: str
    broker_port: int
    camera_address: str
    sessions: Path
    llm: str
    model: Path | None


def home() -> Path:
    """Folder that holds deploy/, models/ and camera_configs/.

    Raises:
        ConfigError: inspector is installed without them.
    """
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (folder / "deploy" / "demo" / "site.yaml").is_file():
            return folder
    raise ConfigError("deploy/demo/site.yaml not found: run the demo from a checkout of inspector")


def write_site(folder: Path, choices: DemoChoices) -> Path:
    """Write site.yaml and its camera file into `folder`; returns the site file."""
    base = home() / "deploy" / "demo"
    site: dict[str, Any] = yaml.safe_load((base / "site.yaml").read_text())
    model = choices.model or home() / "models" / site["detector"]["model"]
    try:
        pixel_format = load_manifest(model).input.pixel_format
    except ModelError as error:
        raise ConfigError(f"the demo's model: {error}") from error
    for number, camera in enumerate(site["cameras"]):
        data: dict[str, Any] = yaml.safe_load((base / camera).read_text())
        data["interface_address"] = choices.camera_address
        # A model that was taught from colour images needs a colour camera.
        data["settings"]["PixelFormat"] = _CAMERA_FORMAT[pixel_format]
        (folder / f"camera{number}.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
        site["cameras"][number] = f"camera{number}.yaml"
    site["detector"]["model"] = str(model.resolve())
    # Demos that run at the same time share the sessions folder, but no camera: its address tells them apart.
    client_id = f"inspector-{choices.camera_address}"
    site["broker"] |= {"host": choices.broker_host, "port": choices.broker_port, "client_id": client_id}
    site["recorder"]["directory"] = str(choices.sessions.resolve())
    site["explainer"]["model"] = choices.llm
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(site, sort_keys=False))
    return path
