"""Fitted fusion weights in a JSON file, written by `inspector calibrate fusion`, named in the site file."""

import os
from pathlib import Path

from pydantic import ValidationError

from inspector.config import FusionWeights
from inspector.errors import ConfigError


def read_weights(path: Path) -> FusionWeights:
    """Raises ConfigError, one line that names the file and what is wrong in it."""
    try:
        return FusionWeights.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"decision.fusion: cannot read {path} ({error.strerror}); `inspector calibrate fusion` writes it"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {key or 'the file'}: {first['msg']}") from error


def write_weights(path: Path, weights: FusionWeights) -> None:
    """Write them, or leave the old file as it was. Raises ConfigError."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(weights.model_dump_json(indent=2) + "\n", encoding="utf-8")
        os.replace(new, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
