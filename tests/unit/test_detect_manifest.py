"""A broken model folder is told in one clear line."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from inspector.config_load import find_model
from inspector.detect.model.manifest import (
    dump_manifest,
    load_manifest,
    parse_manifest,
)
from inspector.errors import ConfigError, InspectorError, ModelError

ONNX = b"not really a network"


def raw() -> dict[str, Any]:
    return {
        "format": 1, "name": "flange", "task": "anomaly",
        "onnx": {"file": "model.onnx", "sha256": hashlib.sha256(ONNX).hexdigest()},
        "input": {"width_px": 640, "height_px": 480, "pixel_format": "Mono8"},
        "labels": ["anomaly"], "decode": "anomaly_map",
        "thresholds": {"defect": 0.5, "box": 0.5},
        "calibration": {"slope": 3.0, "offset": -1.0, "source": "good"},
        "metrics": {"held_out_overkill_rate": 0.0},
        "how_made": {
            "command": "inspector teach", "made_utc": "2026-01-01T00:00:00+00:00",
            "method": "gaussian", "backbone": "x", "good_images": 30, "defect_images": 0,
            "network_width_px": 512, "network_height_px": 384,
        },
    }  # fmt: skip


def write(folder: Path, manifest: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(ONNX)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def pictures(*, count: int = 5, mean: float = -2.0, deviation: float = 0.1) -> dict[str, Any]:
    return {
        "count": count,
        "light": {"mean": mean, "deviation": deviation},
        "focus": {"mean": -3.0, "deviation": 0.2},
    }


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    manifest = load_manifest(write(tmp_path / "flange", raw() | {"pictures": pictures()}))
    assert manifest.input.channels == 1
    assert parse_manifest(dump_manifest(manifest), "again") == manifest


@pytest.mark.parametrize(
    ("path", "value", "error", "words"),
    [
        (("decode",), "yolo_v99", ModelError, "unknown decode 'yolo_v99'"),
        (("onnx", "sha256"), "f" * 64, ModelError, "sha256"),
        (("onnx", "file"), "gone.onnx", ModelError, "gone.onnx"),
        (("onnx", "file"), "../../etc/passwd", ConfigError, "onnx.file"),
        (("colour",), "blue", ConfigError, "colour"),
        (("input", "width_px"), "wide", ConfigError, "width_px"),
        (("input", "width_px"), 0, ConfigError, "width_px"),
        (("input", "pixel_format"), "Mono12", ConfigError, "pixel_format"),
        (("thresholds",), {"defect": 0.5}, ConfigError, "thresholds.box"),
        (("thresholds", "defect"), 1.5, ConfigError, "thresholds.defect"),
        (("calibration", "slope"), -1.0, ConfigError, "slope"),
        (("labels",), [], ConfigError, "labels"),
        (("format",), 2, ConfigError, "format"),
        (("pictures",), pictures(count=1), ConfigError, "pictures.count"),
        (("pictures",), pictures(deviation=-0.1), ConfigError, "pictures"),
        (("pictures",), pictures(mean=float("nan")), ConfigError, "pictures"),
    ],
)
def test_each_mistake_is_named(
    tmp_path: Path,
    path: tuple[str, ...],
    value: object,
    error: type[InspectorError],
    words: str,
) -> None:
    manifest = raw()
    place = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(error) as caught:
        load_manifest(write(tmp_path / "m", manifest))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "manifest.yaml" in str(caught.value) or "onnx" in str(caught.value)


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n- 2", "\x00", "42"])
def test_what_is_not_a_manifest_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_manifest(text, "models/m/manifest.yaml")
    assert "models/m/manifest.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_is_found_by_name_or_by_path(tmp_path: Path) -> None:
    folder = write(tmp_path / "flange", raw())
    assert find_model("flange", [tmp_path]) == folder
    assert find_model(str(folder), [tmp_path / "elsewhere", tmp_path]) == folder
    with pytest.raises(ConfigError, match="no model 'nut'"):
        find_model("nut", [tmp_path])
