"""Fitted fusion weights in a JSON file, written by `inspector calibrate fusion`, named in the site file."""

import os
from pathlib import Path

from inspector.config import FusionWeights
from inspector.errors import ConfigError
from inspector.strict_data import check_json, to_json_lines
from inspector.wrong_value import WrongValueError


def read_weights(path: Path) -> FusionWeights:
    """Raises ConfigError, one line that names the file and what is wrong in it."""
    try:
        return check_json(path.read_bytes(), FusionWeights)
    except OSError as error:
        raise ConfigError(
            f"decision.fusion: cannot read {path} ({error.strerror}); `inspector calibrate fusion` writes it"
        ) from error
    except WrongValueError as error:
        raise ConfigError(f"{path}: {error.key or 'the file'}: {error.reason}") from error


def write_weights(path: Path, weights: FusionWeights) -> None:
    """Write them, or leave the old file as it was. Raises ConfigError."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(to_json_lines(weights) + "\n", encoding="utf-8")
        os.replace(new, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
