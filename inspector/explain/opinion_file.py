"""The calibration of second opinions, in the site's folder. Read at the start."""

from pathlib import Path

import msgspec

from inspector.errors import ConfigError
from inspector.explain.opinion import OpinionFit

OPINION_FILE = "opinion.json"


def load_fit(folder: Path) -> OpinionFit | None:
    """Return the calibration in `folder`; None when there is none. Raises ConfigError if it is damaged."""
    path = folder / OPINION_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=OpinionFit)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{path} cannot be used ({error}); have it written again, or remove it") from error


def save_fit(folder: Path, fit: OpinionFit) -> Path:
    """Write the calibration, whole or not at all; return its path. Raises OSError."""
    path = folder / OPINION_FILE
    temporary = path.with_suffix(".json.new")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(fit)) + b"\n")
    temporary.replace(path)
    return path
