"""What to plan for: a GGUF file, a name of the table, or a YAML file as those of models/language."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from inspector.config import ExplainerConfig
from inspector.errors import ConfigError
from inspector.explain.gguf_header import read_header
from inspector.explain.memory_plan import MIB, Shape, shape_of
from inspector.explain.weights import resolve
from inspector.strict_data import check


@dataclass(frozen=True, slots=True)
class Planned:
    title: str
    shape: Shape
    context_tokens: int


def planned(model: str, mmproj: Path | None = None, image_tokens: int = 1200) -> Planned:
    """Return what `model` is. Raises ConfigError, ModelError when it is not there or not readable."""
    if model.endswith((".yaml", ".yml")):
        return _of_yaml(Path(model))
    path = resolve(model, hashed=False).path
    projector = mmproj.stat().st_size if mmproj is not None else 0
    header = read_header(path)
    title = f"{header.values.get('general.name', path.stem)} ({header.architecture})"
    shape = shape_of(header, projector_bytes=projector, image_tokens=image_tokens if projector else 0)
    return Planned(title, shape, ExplainerConfig().context_tokens)


def _of_yaml(path: Path) -> Planned:
    try:
        said: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
        config = check(said["explainer"], ExplainerConfig)
        return Planned(str(said["title"]), Shape(**said["plan"]), config.context_tokens)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} is not as the files of models/language are: {error}") from error


def available_ram() -> int:
    """Return the bytes of memory that are free or can be freed."""
    return int(psutil.virtual_memory().available)


def available_gpu() -> int:
    """Return the free bytes of the first NVIDIA GPU, 0 when there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    asked = [tool, "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        ran = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10)
        return int(ran.stdout.splitlines()[0]) * MIB
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0  # a driver without a GPU behind it
