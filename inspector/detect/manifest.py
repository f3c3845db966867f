"""models/NAME/manifest.yaml: what a model file takes, what its outputs mean, how it was made."""

import hashlib
from pathlib import Path
from typing import Final, Literal

import msgspec
import yaml

from inspector.errors import ConfigError, ModelError

MANIFEST_NAME: Final = "manifest.yaml"
KNOWN_DECODES: Final = ("anomaly_map",)


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: frozen, unknown keys are an error."""


class InputLayout(_Part, frozen=True, kw_only=True):
    """The raw image that the graph takes: uint8, (1, height, width, channels).

    `pixel_format` is the SFNC name of that layout: Mono8 has one channel, RGB8 three.
    """

    width_px: int
    height_px: int
    pixel_format: Literal["Mono8", "RGB8"]

    @property
    def channels(self) -> int:
        return 1 if self.pixel_format == "Mono8" else 3


class Calibration(_Part, frozen=True, kw_only=True):
    """p_defect = 1 / (1 + exp(-(slope * ln(score) + offset))), with slope > 0.

    `source` says what it rests on: good parts alone, or defects too.
    """

    slope: float
    offset: float
    source: Literal["good", "good_and_defect"]


class OnnxFile(_Part, frozen=True, kw_only=True):
    file: str
    sha256: str


class HowMade(_Part, frozen=True, kw_only=True):
    """Enough to make the model again."""

    command: str
    made_utc: str
    method: str
    backbone: str
    good_images: int
    defect_images: int
    network_width_px: int
    network_height_px: int


class Manifest(_Part, frozen=True, kw_only=True):
    """The whole file. `thresholds` are on p_defect: `defect` for the part, `box` for a region."""

    format: Literal[1]
    name: str
    task: Literal["anomaly"]
    onnx: OnnxFile
    input: InputLayout
    labels: tuple[str, ...]
    decode: str
    thresholds: dict[str, float]
    calibration: Calibration
    metrics: dict[str, float]
    how_made: HowMade


def parse_manifest(text: str, origin: str) -> Manifest:
    """Read a manifest's YAML text. `origin` names the file in errors. Pure.

    Raises ConfigError for a malformed file and ModelError for a decode that we do not have.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        first_line = str(error).splitlines()[0]
        raise ConfigError(f"{origin}: not valid YAML ({first_line})") from error
    try:
        manifest = msgspec.convert(raw, Manifest)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {error}") from error
    if manifest.decode not in KNOWN_DECODES:
        known = ", ".join(KNOWN_DECODES)
        raise ModelError(f"{origin}: unknown decode '{manifest.decode}'; known are: {known}")
    for key in ("defect", "box"):
        if not 0.0 < manifest.thresholds.get(key, -1.0) < 1.0:
            raise ConfigError(f"{origin}: thresholds.{key} must be there and between 0 and 1")
    if not manifest.labels:
        raise ConfigError(f"{origin}: labels must name at least one label")
    if manifest.calibration.slope <= 0:
        raise ConfigError(f"{origin}: calibration.slope must be over 0")
    if min(manifest.input.width_px, manifest.input.height_px) < 1:
        raise ConfigError(f"{origin}: input.width_px and input.height_px must be over 0")
    if Path(manifest.onnx.file).name != manifest.onnx.file:
        raise ConfigError(f"{origin}: onnx.file must be a file name in the manifest's own folder")
    return manifest


def dump_manifest(manifest: Manifest) -> str:
    """The YAML text of a manifest; `parse_manifest` gives the same manifest back."""
    return yaml.safe_dump(msgspec.to_builtins(manifest), sort_keys=False, allow_unicode=True)


def load_manifest(folder: Path) -> Manifest:
    """Read and check `folder`/manifest.yaml, and that the ONNX file is the one it names.

    Raises ModelError when a file is missing or the hash differs, ConfigError when malformed.
    """
    path = folder / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: no such file; teach a model with 'inspector teach' or correct detector.model"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
    manifest = parse_manifest(text, str(path))
    onnx_path = folder / manifest.onnx.file
    try:
        found = file_sha256(onnx_path)
    except OSError as error:
        raise ModelError(f"{onnx_path}: cannot be read ({error.strerror})") from error
    if found != manifest.onnx.sha256:
        raise ModelError(
            f"{onnx_path}: sha256 is {found[:12]}…, the manifest says "
            f"{manifest.onnx.sha256[:12]}…; teach the model again or restore the file"
        )
    return manifest


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as lower-case hex. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
