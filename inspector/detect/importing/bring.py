"""Brings in a model of another make: its ONNX file becomes a model folder that every engine can run.

The frame's way into the network (size, shape, channels, scale) becomes part of the graph, so that an engine
hands over raw frames whatever the model; what its outputs mean is said in the manifest.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
import onnx

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.importing.frame_entry import (
    Entry,
    Normalise,
    network_size,
    with_frame_entry,
    with_output_shapes,
)
from inspector.detect.importing.head_guess import guess_head
from inspector.detect.importing.source_run import SourceRun
from inspector.detect.model.decode import decode
from inspector.detect.model.graph_file import load_graph
from inspector.detect.model.manifest import (
    UNCALIBRATED,
    Activation,
    Head,
    HowMade,
    InputLayout,
    Manifest,
    OnnxFile,
)
from inspector.detect.model.model_folder import ONNX_NAME, write_model
from inspector.detect.quantizing.gate import EXPORT, decoded_all, made_up_frames, require_parity
from inspector.errors import ConfigError, ModelError

Kind = Literal["yolo", "detr", "fcos", "boxes", "classification", "anomalib"]
Fit = Literal["letterbox", "stretch"]

_FITS: Final[dict[Kind, Fit]] = {"yolo": "letterbox", "boxes": "stretch"}
_NORMALISE: Final[dict[Kind, Normalise]] = {"detr": "imagenet", "classification": "imagenet"}
_TASKS: Final[dict[str, Literal["anomaly", "classification"]]] = {
    "anomalib": "anomaly",
    "classification": "classification",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BringOptions:
    """None leaves a choice to what models of that kind mostly do, or to the file itself."""

    name: str
    kind: Kind
    frame: InputLayout
    labels: tuple[str, ...] = ()
    good_labels: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    fit: Fit | None = None
    normalise: Normalise | None = None
    bgr: bool = False
    activation: Activation | None = None
    outputs: tuple[tuple[str, str], ...] = ()
    command: str = ""


def bring(path: Path, models_dir: Path, options: BringOptions) -> tuple[Path, Manifest]:
    """Write models_dir/NAME from the ONNX file at `path`, after one run on the CPU engine.

    Raises ModelError for a file that is damaged, takes other inputs, gives other outputs, or holds an
    operator that the engine lacks; ConfigError for options that do not fit it. Nothing is written then.
    """
    folder = models_dir / options.name
    if path.resolve() == (folder / ONNX_NAME).resolve():
        raise ConfigError(f"--name {options.name}: {path} would be lost; give the model another name")
    model = load_graph(path)
    entry = Entry(
        frame=options.frame,
        size=network_size(model, options.size, path),
        fit=options.fit or _FITS.get(options.kind, "stretch"),
        normalise=options.normalise or _NORMALISE.get(options.kind, "unit"),
        bgr=options.bgr,
    )
    labels = options.labels or _labels_inside(model)
    if options.kind == "anomalib":
        labels = labels or ("anomaly",)
    if not labels:
        raise ConfigError(f"{path}: --labels is needed; the file does not name its classes")
    if unknown := set(options.good_labels) - set(labels):
        raise ConfigError(f"--good-labels: {min(unknown)} is not one of the labels {', '.join(labels)}")
    if len(set(labels) - set(options.good_labels)) == 0:
        raise ConfigError("--good-labels: at least one label must speak for a defect")
    whole = with_frame_entry(model, entry, path)
    run = CpuRun(whole.SerializeToString(), str(path))
    outputs = run(np.zeros((1, *_shape(options.frame)), dtype=np.uint8))
    head = Head(
        decode="", outputs={}, labels=labels, good_labels=options.good_labels,
        network_width_px=entry.size[0], network_height_px=entry.size[1], fit=entry.fit,
    )  # fmt: skip
    head = guess_head(options.kind, head, outputs, dict(_roles(options.outputs)), options.activation)
    manifest = _manifest(head, options, path)
    try:
        decode(outputs, manifest)
    except ModelError as error:
        raise ModelError(f"{path}: {error}; is --decode {options.kind} right?") from error
    reference = SourceRun(model, entry, path)
    frames = made_up_frames(options.frame)
    parity = require_parity(
        decoded_all([reference(frame) for frame in frames], manifest),
        decoded_all([run(frame) for frame in frames], manifest),
        manifest,
        f"{path}: the file and the model made of it",
    )
    manifest = msgspec.structs.replace(manifest, metrics=parity.metrics(EXPORT))
    whole = with_output_shapes(whole, run.shapes(), path)
    return folder, write_model(folder, whole.SerializeToString(), manifest)


def _labels_inside(model: onnx.ModelProto) -> tuple[str, ...]:
    """YOLO's exporters leave the classes in the metadata, as a Python dictionary or list."""
    text = next((entry.value for entry in model.metadata_props if entry.key == "names"), "")
    try:
        names = ast.literal_eval(text) if text else ()
    except (ValueError, SyntaxError):
        return ()
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names)]
    return tuple(str(name) for name in names) if isinstance(names, Sequence) else ()


def _roles(given: tuple[tuple[str, str], ...]) -> dict[str, tuple[str, ...]]:
    roles: dict[str, tuple[str, ...]] = {}
    for role, name in given:
        roles[role] = (*roles.get(role, ()), name)
    return roles


def _shape(frame: InputLayout) -> tuple[int, int, int]:
    return frame.height_px, frame.width_px, frame.channels


def _manifest(head: Head, options: BringOptions, path: Path) -> Manifest:
    return Manifest(
        format=1,
        name=options.name,
        task=_TASKS.get(head.decode, "boxes"),
        onnx=OnnxFile(file=ONNX_NAME, sha256=""),
        input=options.frame,
        labels=head.labels,
        decode=head.decode,
        thresholds={"defect": 0.5, "box": 0.5},
        calibration=UNCALIBRATED,
        metrics={},
        how_made=HowMade(
            command=options.command,
            made_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            method="import",
            backbone=path.name,
            good_images=0,
            defect_images=0,
            network_width_px=head.network_width_px,
            network_height_px=head.network_height_px,
        ),
        head=head,
    )
