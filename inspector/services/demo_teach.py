"""`inspector demo --teach DIR`: a model from a folder of good images, kept for the next time."""

import hashlib
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Final

from inspector.detect import evaluating, model, risk, teaching
from inspector.detect.commands import find_backbone, teach
from inspector.detect.images import list_images
from inspector.errors import ConfigError
from inspector.explain.weights import cache_folder

_KEPT: Final = 3  # models; every other set of images, and every version, makes one


def taught(good: Path) -> Path:
    """Return a model folder taught from `good`; one that was taught from the same files is used again,
    unless what teaches has changed since.

    Raises:
        ConfigError: there are no images, or they will not do.
    """
    if not good.is_dir():
        raise ConfigError(f"--teach {good}: no such folder")
    models = cache_folder() / "taught"
    digest = hashlib.sha256(_version(models).encode())
    for path in list_images(good):
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    folder = models / f"demo-{digest.hexdigest()[:16]}"
    if not (folder / "manifest.yaml").is_file():
        models.mkdir(parents=True, exist_ok=True)
        teach(good=good, name=folder.name, models=models)
    _forget_old(models, folder)
    return folder


def _forget_old(models: Path, used: Path) -> None:
    """Remove all but `used` and those that were used last; other demos may run with them."""
    os.utime(used)
    others = [path for path in models.glob("demo-*") if path != used and path.is_dir()]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in others[_KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


@cache
def _version(models: Path) -> str:
    """Of all that makes a model from images: the code and the backbone."""
    packages = (teaching, model, risk, evaluating)
    code = [path for package in packages for path in Path(package.__path__[0]).glob("*.py")]
    digest = hashlib.sha256()
    for path in [*sorted(code), find_backbone(models)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
