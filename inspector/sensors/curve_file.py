"""Curve models and recorded curves on disk."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import msgspec

from inspector.config import SensorConfig
from inspector.errors import ConfigError
from inspector.sensors.curve_model import CurveModel, CurveScorer

_MODEL = msgspec.json.Decoder(CurveModel)
_RECORD = msgspec.json.Decoder(dict[str, object])
Curve = tuple[list[float], list[float]]


def load_model(path: Path) -> CurveModel:
    """Read a model that `save_model` wrote. Raises ConfigError, one line."""
    try:
        return _MODEL.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"curve model {path}: {error.strerror}; make it by: inspector teach-curve"
        ) from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"curve model {path}: {error}; make it anew by: inspector teach-curve") from error


def load_scorers(sensors: tuple[SensorConfig, ...], root: Path) -> dict[str, CurveScorer]:
    """Read the models of the sensors that send curves; their paths are relative to `root`."""
    with_model = {sensor.id: sensor.curve_model for sensor in sensors if sensor.curve_model is not None}
    return {sensor_id: CurveScorer(load_model(root / path)) for sensor_id, path in with_model.items()}


def save_model(model: CurveModel, path: Path) -> None:
    """Write a model. Raises ConfigError, one line."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def read_curves(path: Path, x_key: str, y_key: str) -> Iterator[tuple[dict[str, object], Curve]]:
    """Yield each record of a JSON lines file (.jsonl or .jsonl.gz) with its curve.

    Raises ConfigError that names the file and the line.
    """
    number = 0
    try:
        with (gzip.open if path.suffix == ".gz" else Path.open)(path, "rb") as file:
            for line in file:
                number += 1
                record = _RECORD.decode(line)
                x, y = (msgspec.convert(record[key], list[float]) for key in (x_key, y_key))
                yield record, (x, y)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except KeyError as error:
        raise ConfigError(f"{path}, line {number}: no {error}; name the keys by --x and --y") from error
    except (msgspec.DecodeError, EOFError) as error:
        raise ConfigError(f"{path}, line {number}: {error}") from error
