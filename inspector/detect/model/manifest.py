"""models/NAME/manifest.yaml: what a model file takes, what its outputs mean, how it was made."""

import hashlib
import math
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import msgspec
import yaml

from inspector.errors import ConfigError, ModelError

MANIFEST_NAME: Final = "manifest.yaml"
KNOWN_DECODES: Final = (
    "anomaly_map", "yolo_v5", "yolo_v8", "detr", "fcos", "boxes", "classification", "anomalib",
)  # fmt: skip
"""How outputs are read: the first is our own one-class model, the others need `head`."""

SCORE: Final = "score"
SCORE_MAP: Final = "score_map"
"""The outputs of our one-class model. Named here, so that running one does not import onnx."""

Activation = Literal["none", "sigmoid", "softmax"]


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
    """p_defect = 1 / (1 + exp(-(slope * x + offset))), with slope > 0 and x = ln(score) or, with the scale
    "logit", x = ln(score / (1 - score)) for scores that are probabilities already.

    `source` says what it rests on: good parts alone, or defects too; "none": on the network's own word.

    Where one of these is there, it comes after that line, whose log-odds are z and whose probability is q:
    `beta` (a, b, c), log-odds a ln(q) - b ln(1 - q) + c; `knots`, pairs of z and log-odds, both rising,
    joined by straight lines and carried on with a slope of 1.
    """

    slope: float
    offset: float
    source: Literal["good", "good_and_defect", "none"]
    scale: Literal["ln", "logit"] = "ln"
    beta: tuple[float, float, float] | None = None
    knots: tuple[tuple[float, float], ...] = ()


UNCALIBRATED: Final = Calibration(slope=1.0, offset=0.0, source="none", scale="logit")
"""p_defect is the score as it is."""


class Head(_Part, frozen=True, kw_only=True):
    """How the outputs of a network other than our one-class model are read (docs/models.md).

    `outputs` names the graph's outputs by their role; boxes are in pixels of the network's input, where
    the frame lies as `fit` says. A label in `good_labels` speaks for a good part. Boxes under
    `lowest_score` are not looked at; of two that overlap by more than `largest_iou` the weaker goes.
    `calibration` is that of the boxes where a one-class model finds boxes as well, and `box_threshold` their
    threshold; the manifest's own are then of the one-class score alone, else of all.
    """

    decode: str
    outputs: dict[str, tuple[str, ...]]
    labels: tuple[str, ...]
    network_width_px: int
    network_height_px: int
    fit: Literal["letterbox", "stretch"] = "stretch"
    activation: Activation = "none"
    distances_in_strides: bool = False
    good_labels: tuple[str, ...] = ()
    lowest_score: float = 0.05
    largest_iou: float = 0.5
    calibration: Calibration = UNCALIBRATED
    box_threshold: float | None = None


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


class Spread(_Part, frozen=True, kw_only=True):
    """Mean and standard deviation."""

    mean: float
    deviation: float


class TaughtPictures(_Part, frozen=True, kw_only=True):
    """Light and focus of the `count` good images taught, in powers of two (picture_drift.light_and_focus)."""

    count: int
    light: Spread
    focus: Spread


class Manifest(_Part, frozen=True, kw_only=True):
    """The whole file. `thresholds` are on p_defect: `defect` for the part, `box` for a region.

    `decode` reads what makes `anomaly_score`. A one-class model with a `head` finds boxes as well.
    """

    format: Literal[1]
    name: str
    task: Literal["anomaly", "boxes", "classification", "anomaly_and_boxes"]
    onnx: OnnxFile
    input: InputLayout
    labels: tuple[str, ...]
    decode: str
    thresholds: dict[str, float]
    calibration: Calibration
    metrics: dict[str, float]
    how_made: HowMade
    head: Head | None = None
    pictures: TaughtPictures | None = None


def parse_manifest(text: str, origin: str) -> Manifest:
    """Read a manifest's YAML text. `origin` names the file in errors. Pure.

    Raises ConfigError for a malformed file and ModelError for a decode that we do not have.
    """
    try:
        raw = yaml.load(text, Loader=yaml.CSafeLoader)  # of libyaml: a tenth of the time
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
    _check_calibration(manifest.calibration, f"{origin}: calibration")
    if min(manifest.input.width_px, manifest.input.height_px) < 1:
        raise ConfigError(f"{origin}: input.width_px and input.height_px must be over 0")
    _check_head(manifest, origin)
    _check_pictures(manifest.pictures, f"{origin}: pictures")
    if Path(manifest.onnx.file).name != manifest.onnx.file:
        raise ConfigError(f"{origin}: onnx.file must be a file name in the manifest's own folder")
    return manifest


def _check_head(manifest: Manifest, origin: str) -> None:
    head = manifest.head
    if head is None:
        if manifest.decode != "anomaly_map":
            raise ConfigError(f"{origin}: decode {manifest.decode} needs the section 'head'")
        return
    if head.decode not in KNOWN_DECODES:
        raise ModelError(f"{origin}: unknown decode '{head.decode}'; known are: {', '.join(KNOWN_DECODES)}")
    if manifest.decode not in ("anomaly_map", head.decode):
        raise ConfigError(f"{origin}: decode and head.decode differ")
    if not head.labels:
        raise ConfigError(f"{origin}: head.labels must name at least one label")
    if unknown := set(head.good_labels) - set(head.labels):
        raise ConfigError(f"{origin}: head.good_labels: {min(unknown)} is not in head.labels")
    if min(head.network_width_px, head.network_height_px) < 1:
        raise ConfigError(f"{origin}: head.network_width_px and head.network_height_px must be over 0")
    if not (head.outputs and all(head.outputs.values())):
        raise ConfigError(f"{origin}: head.outputs must name at least one output for each role")
    if not (0.0 <= head.lowest_score < 1.0 and 0.0 < head.largest_iou <= 1.0):
        raise ConfigError(f"{origin}: head.lowest_score and head.largest_iou must lie in 0 to 1")
    if head.box_threshold is not None and not 0.0 < head.box_threshold < 1.0:
        raise ConfigError(f"{origin}: head.box_threshold must be between 0 and 1")
    _check_calibration(head.calibration, f"{origin}: head.calibration")


def _check_pictures(pictures: TaughtPictures | None, where: str) -> None:
    if pictures is None:
        return
    if pictures.count < 2:
        raise ConfigError(f"{where}.count must be 2 or more")
    spreads = (pictures.light, pictures.focus)
    if not all(math.isfinite(spread.mean) and 0.0 <= spread.deviation < math.inf for spread in spreads):
        raise ConfigError(f"{where}: a mean must be finite, a deviation too and not negative")


def _check_calibration(calibration: Calibration, where: str) -> None:
    beta, knots = calibration.beta, calibration.knots
    numbers = (calibration.slope, calibration.offset, *(beta or ()), *(v for knot in knots for v in knot))
    if not all(math.isfinite(number) for number in numbers):
        raise ConfigError(f"{where}: a number is not finite")
    if calibration.slope <= 0:
        raise ConfigError(f"{where}.slope must be over 0")
    if beta is not None and (knots or min(beta[:2]) < 0 or max(beta[:2]) <= 0):
        raise ConfigError(f"{where}.beta: a and b must not be negative, one of them over 0, and knots empty")
    if knots and len(knots) < 2:
        raise ConfigError(f"{where}.knots: takes two or more")
    if any(low[0] >= high[0] or low[1] >= high[1] for low, high in pairwise(knots)):
        raise ConfigError(f"{where}.knots must rise")


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
