"""Reads the site file and its camera files. Every error names file, line and key, in one line."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from msgspec.structs import asdict, replace

from inspector.config import BrokerConfig, CameraConfig, Site, SiteConfig
from inspector.errors import ConfigError
from inspector.strict_data import Strict, check, to_json
from inspector.wrong_value import WrongValueError

C = TypeVar("C", bound=Strict)


def load_site(path: Path) -> Site:
    """Read a site file and the camera files that it names. Relative paths are relative to it.

    Raises:
        ConfigError: a file is missing, is not YAML, or has a wrong or unknown key.
    """
    site = load_yaml(path, SiteConfig)
    root = path.resolve().parent
    cameras = tuple(load_yaml(root / camera, CameraConfig) for camera in site.cameras)
    ids = [camera.id for camera in cameras]
    if len(ids) != len(set(ids)):
        raise ConfigError(f"{path}: cameras: two camera files have the same id")
    sha256 = hashlib.sha256(b"".join(map(to_json, (site, *cameras)))).hexdigest()
    rooted = replace(site, broker=_rooted(site.broker, root))
    return Site(site=rooted, cameras=cameras, config_sha256=sha256, root=root)


def _rooted(broker: BrokerConfig, root: Path) -> BrokerConfig:
    """Return the broker with its files where they are, whatever folder a service runs in."""
    tls = broker.tls
    if tls is not None:
        files = {name: root / path for name, path in asdict(tls).items() if path is not None}
        tls = replace(tls, **files)
    password = None if broker.password_file is None else root / broker.password_file
    return replace(broker, tls=tls, password_file=password)


def load_yaml(path: Path, kind: type[C]) -> C:
    """Read one YAML file as strict, frozen configuration.

    Raises:
        ConfigError: as `load_site`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    try:
        data = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    try:
        return check(data, kind)
    except WrongValueError as error:
        line = _line(yaml.compose(text, Loader=yaml.CSafeLoader), error.keys)
        raise ConfigError(f"{path}:{line}: {error.key or 'the file'}: {error.reason}") from error


def model_folder(site: Site) -> Path:
    """Find the model's folder: a path from the site file, or a name under the nearest `models/`.

    Raises:
        ConfigError: there is no such folder.
    """
    above = [parent / "models" for parent in (site.root, *site.root.parents)]
    try:
        return find_model(site.site.detector.model, [site.root, *above])
    except ConfigError as error:
        raise ConfigError(f"detector.model: {error}") from error


def find_model(name: str, folders: Sequence[Path]) -> Path:
    """The folder of the model `name` (a name or a path) in the first of `folders` that has it.

    Raises:
        ConfigError: none has.
    """
    for folder in folders:
        if os.path.isfile(folder / name / "manifest.yaml"):  # where we may not look there is none
            return folder / name
    raise ConfigError(
        f"no model {name!r} (no manifest.yaml in {folders[0] / name}, nor in the other places searched); "
        "teach one with `inspector teach`"
    )


def _line(tree: yaml.Node | None, keys: Sequence[str]) -> int:
    """Line (from 1) of the key, or of the deepest part of its path that the file has."""
    node: Any = tree
    line = 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == key]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
        else:
            break
    return line
