"""`inspector import`: a model of another make becomes a model folder."""

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from inspector.detect.commands import export_words
from inspector.detect.importing.bring import BringOptions, Fit, Kind, bring
from inspector.detect.importing.frame_entry import Normalise
from inspector.detect.model.manifest import Activation, InputLayout
from inspector.errors import ConfigError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
IMPORT_EPILOG: Final = """Examples:

inspector import best.onnx --decode yolo --frame 1280x1024 --name scratches    (labels are in the file)

inspector import rtdetr.onnx --decode detr --normalise unit --labels chip,crack --frame 640x480 --name chips

inspector import sorter.onnx --decode classification --labels ok,bad --good-labels ok --frame 640x480 --name a
"""


def import_model(
    *,
    file: Annotated[Path, typer.Argument(help="The ONNX file.")],
    decode: Annotated[Kind, typer.Option(help="How its outputs are read: docs/models.md.")],
    frame: Annotated[str, typer.Option(help="Size of the camera's frames, WIDTHxHEIGHT pixels.")],
    name: Annotated[str, typer.Option(help="Name of the model: a folder under --models.")],
    models: Annotated[Path, typer.Option(help="Folder of all models.")] = Path("models"),
    pixel_format: Annotated[
        Literal["Mono8", "RGB8"], typer.Option(help="RGB8 takes BayerXX8 and BGR8 cameras too.")
    ] = "RGB8",
    labels: Annotated[str, typer.Option(help="Classes in order: a,b,c or a file with one a line.")] = "",
    good_labels: Annotated[str, typer.Option(help="Those of them that mean a good part.")] = "",
    size: Annotated[
        str, typer.Option(help="Network input, WIDTHxHEIGHT, where the file leaves it open.")
    ] = "",
    fit: Annotated[Fit | None, typer.Option(help="yolo: letterbox, others: stretch.")] = None,
    normalise: Annotated[
        Normalise | None,
        typer.Option(help="unit: 0 to 1. Default imagenet for detr and classification, else unit."),
    ] = None,
    bgr: Annotated[bool, typer.Option("--bgr", help="The network was trained on BGR images.")] = False,
    activation: Annotated[
        Activation | None, typer.Option(help="What turns the outputs into scores; 'none': already done.")
    ] = None,
    output: Annotated[list[str] | None, typer.Option(help="ROLE=NAME where names do not tell.")] = None,
) -> None:
    """Bring in a model of your own: YOLO-, DETR- or FCOS-type, classification, or anomalib's."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: use letters, digits, '_', '.' and '-' (64 at most)")
    width, height = parse_wh(frame, "--frame")
    options = BringOptions(
        name=name,
        kind=decode,
        frame=InputLayout(width_px=width, height_px=height, pixel_format=pixel_format),
        labels=_labels(labels),
        good_labels=tuple(part for part in good_labels.split(",") if part),
        size=parse_wh(size, "--size") if size else None,
        fit=fit,
        normalise=normalise,
        bgr=bgr,
        activation=activation,
        outputs=tuple(_role(text) for text in output or ()),
        command=shlex.join(["inspector", *sys.argv[1:]]),
    )
    folder, manifest = bring(file, models, options)
    head = manifest.head
    assert head is not None
    typer.echo(
        f"{folder}: decode {head.decode}, labels {', '.join(head.labels[:8])}"
        f"{', ...' if len(head.labels) > 8 else ''}, network input "
        f"{head.network_width_px}x{head.network_height_px} ({head.fit})\n"
        f"{export_words(manifest)}\n"
        "p_defect is the network's own score; check it with 'inspector evaluate' before it decides."
    )


def parse_wh(text: str, option: str) -> tuple[int, int]:
    """ "1280x1024" to (1280, 1024). Raises ConfigError."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match or not (int(match[1]) and int(match[2])):
        raise ConfigError(f"{option} {text}: write WIDTHxHEIGHT, as in 1280x1024")
    return int(match[1]), int(match[2])


def _labels(text: str) -> tuple[str, ...]:
    path = Path(text)
    if text and "," not in text and path.is_file():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--labels {path}: cannot be read") from error
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _role(text: str) -> tuple[str, str]:
    role, equals, name = text.partition("=")
    if not (role and equals and name):
        raise ConfigError(f"--output {text}: write ROLE=NAME, as in scores=cls_logits")
    return role, name
