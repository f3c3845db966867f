"""The `inspector camera` commands: which cameras there are, and what they see."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from inspector import log
from inspector.camera.acquisition import Camera, open_camera
from inspector.camera.discover import list_cameras
from inspector.camera.doctor import diagnose
from inspector.camera.examine import Level
from inspector.camera.features import feature_tree
from inspector.camera.found_camera import Access
from inspector.camera.pixels import Image
from inspector.clock import NS_PER_MS, NS_PER_S, SystemClock
from inspector.config import CameraConfig
from inspector.config_load import load_yaml
from inspector.errors import ConfigError, DeviceError

app = typer.Typer(name="camera", help="Find cameras and look through them.", no_args_is_help=True)

_OPEN_S = 5.0


@app.command("list", epilog="Example: inspector camera list --address 127.0.0.1")
def camera_list(
    address: Annotated[
        list[str] | None,
        typer.Option(help="Ask this address too, for a camera that broadcasts do not reach."),
    ] = None,
    producer: Annotated[
        str | None, typer.Option(help="A GenTL producer (.cti). Default: our own, GigE Vision.")
    ] = None,
) -> None:
    """List the cameras that answer, with what `select:` in a camera file can name."""
    cameras = list_cameras(producer, addresses=address or [])
    if not cameras:
        raise DeviceError(
            "no camera answers; check power, cable and that camera and computer are in one "
            "subnet, or ask an address directly with --address"
        )
    table = Table(box=None, header_style="bold")
    for heading in ("SERIAL", "NAME", "VENDOR", "MODEL", "ADDRESS", "MAC", "ACCESS"):
        table.add_column(heading, no_wrap=True)
    for camera in cameras:
        row = (camera.serial, camera.user_defined_name, camera.vendor, camera.model)
        table.add_row(*row, camera.address, camera.mac, camera.access)
    Console(width=None if Console().is_terminal else 160).print(table)
    if any(camera.access is Access.UNREACHABLE for camera in cameras):
        typer.echo("unreachable: such a camera has an address of another subnet", err=True)


@app.command("grab", epilog="Example: inspector camera grab camera_configs/demo.yaml -n 5 --to /tmp")
def camera_grab(
    config: Annotated[Path, typer.Argument(help="The camera file.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many frames.")] = 1,
    to: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path(),
    timeout_s: Annotated[float, typer.Option(min=0.1, help="Longest wait for a frame.")] = 10.0,
    software_trigger: Annotated[
        bool, typer.Option("--software-trigger", help="Trigger each frame from here.")
    ] = False,
) -> None:
    """Open a camera with its settings and save frames as PNG, named by camera and frame id."""
    log.configure("camera", human=True)
    camera_config = load_yaml(config, CameraConfig)
    if software_trigger:
        settings = {**camera_config.settings, "TriggerSource": "Software", "TriggerMode": "On"}
        camera_config = replace(camera_config, settings=settings)
    if not to.is_dir():
        raise ConfigError(f"{to} is no folder, create it first")
    clock = SystemClock()
    with open_camera(camera_config, clock, wait_s=_OPEN_S) as camera:
        camera.start()
        with Progress(transient=True) as progress:
            task = progress.add_task(f"camera {camera_config.id}", total=count)
            for _ in range(count):
                path = _grab_one(camera, to, timeout_s, software_trigger)
                progress.advance(task)
                progress.console.print(path, highlight=False)
        statistics = camera.statistics
        camera.stop()
    if statistics.incomplete or statistics.lost:
        typer.echo(
            f"{statistics.incomplete} of {statistics.frames} frames incomplete, {statistics.lost} "
            "lost: raise net.core.rmem_max, use MTU 9000, see example_gige_mono.yaml",
            err=True,
        )


@app.command(
    "describe", epilog="Example: inspector camera describe camera_configs/demo.yaml --filter Trigger"
)
def camera_describe(
    config: Annotated[Path, typer.Argument(help="The camera file; its settings are applied first.")],
    only: Annotated[str, typer.Option("--filter", help="Only names that contain this.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for another program.")] = False,
) -> None:
    """Print what a camera can be set to: names, values, ranges, units."""
    log.configure("camera", human=True)
    with open_camera(load_yaml(config, CameraConfig), SystemClock(), wait_s=_OPEN_S) as camera:
        features = feature_tree(camera.features)
    shown = [feature for feature in features if only.lower() in feature.name.lower()]
    if not shown:
        raise ConfigError(f"--filter {only}: the camera has no such feature")
    if as_json:
        typer.echo(json.dumps([asdict(feature) for feature in shown], indent=2))
        return
    table = Table(box=None, header_style="bold")
    for heading in ("FEATURE", "VALUE", "UNIT", "ALLOWED", "ACCESS"):
        table.add_column(heading, overflow="fold")
    category = ""
    for feature in shown:
        if feature.category != category:
            category = feature.category
            table.add_row(f"[bold]{category}[/bold]")
        value = "" if feature.value is None else str(feature.value)
        table.add_row(f"  {feature.name}", value, feature.unit, feature.allowed, feature.access)
    Console(width=None if Console().is_terminal else 160).print(table)


@app.command("doctor", epilog="Example: inspector camera doctor camera_configs/demo.yaml")
def camera_doctor(
    config: Annotated[Path, typer.Argument(help="The camera file.")],
    try_s: Annotated[float, typer.Option(min=0.1, help="How long to take frames.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for another program.")] = False,
) -> None:
    """Say what stands between a camera and this computer, and the command that mends it.

    Exit status: 0 nothing, 1 something is wrong, 2 the camera file is.
    """
    log.configure("camera", human=True)
    findings = diagnose(load_yaml(config, CameraConfig), SystemClock(), try_s=try_s)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    for finding in () if as_json else findings:
        typer.echo(f"{finding.level:<6} {finding.check}: {finding.text}")
        if finding.remedy:
            typer.echo(f"{'':<6} {finding.remedy}")
    if any(finding.level is Level.WRONG for finding in findings):
        raise typer.Exit(1)


def _grab_one(camera: Camera, to: Path, timeout_s: float, software_trigger: bool) -> str:
    clock = SystemClock()
    if software_trigger:
        camera.execute("TriggerSoftware")
    deadline_ns = clock.now_ns() + round(timeout_s * NS_PER_S)
    while (left_ms := (deadline_ns - clock.now_ns()) // NS_PER_MS) > 0:
        view = camera.fetch(left_ms)
        if view is None:
            continue
        with view:
            note = f" ({view.meta.missing_packets} packets missing)" * bool(view.meta.missing_packets)
            path = to / f"{view.meta.camera_id}-{view.meta.frame_id:06}.png"
            if not cv2.imwrite(str(path), _displayable(view.image, view.meta.pixel_format)):
                raise ConfigError(f"{path} cannot be written")
            return f"{path}{note}"
    triggered = camera.read("TriggerMode") == "On" and not software_trigger
    hint = "; it waits for a trigger: give one, or use --software-trigger" if triggered else ""
    raise DeviceError(f"camera {camera.config.id} sent no frame in {timeout_s:g} s{hint}")


# OpenCV's four-letter names are the first two rows of the sensor, as in PFNC's two-letter ones.
_TO_BGR = {
    "RGB8": cv2.COLOR_RGB2BGR,
    "BayerRG8": cv2.COLOR_BayerRGGB2BGR,
    "BayerGR8": cv2.COLOR_BayerGRBG2BGR,
    "BayerGB8": cv2.COLOR_BayerGBRG2BGR,
    "BayerBG8": cv2.COLOR_BayerBGGR2BGR,
}


def _displayable(image: Image, pixel_format: str) -> Image:
    """Return what OpenCV writes: grey of 8 or 16 bits, or blue-green-red."""
    code = _TO_BGR.get(pixel_format)
    if code is not None:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), code), np.uint8)
    return image
