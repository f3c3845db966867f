"""`line-sim camera`: a virtual camera on the command line."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from inspector.errors import InspectorError
from line_sim.camera.camera import VirtualCamera
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.faults import FaultKnobs
from line_sim.camera.folder_source import Fit, FolderSource
from line_sim.camera.gvcp import GVCP_PORT
from line_sim.camera.pattern_source import PatternSource
from line_sim.camera.pixel_format import PixelFormat
from line_sim.camera.source import FrameSource

PATTERN = "pattern"
_ALIVE_CHECK_S = 1.0
_EXIT_CRASHED, _EXIT_UNUSABLE = 1, 2


def camera_command(
    *,
    address: Annotated[
        str, typer.Option(help="IPv4 address of this host; each camera needs its own (127.0.0.2, ...).")
    ] = "127.0.0.1",
    source: Annotated[
        str, typer.Option(help="Folder of images to stream in sorted order, or 'pattern'.")
    ] = PATTERN,
    fit: Annotated[
        Fit, typer.Option(help="How images of another size come onto the sensor.")
    ] = Fit.LETTERBOX,
    width: Annotated[int, typer.Option(help="Sensor width in pixels, a multiple of 4.")] = 1280,
    height: Annotated[int, typer.Option(help="Sensor height in pixels, a multiple of 4.")] = 1024,
    pixel_format: Annotated[str, typer.Option(help="Mono8 or BayerRG8; the one at power-up.")] = "Mono8",
    serial: Annotated[str, typer.Option(help="Serial number, up to 15 characters.")] = "SIM-0001",
    name: Annotated[str, typer.Option(help="User-defined name, up to 15 characters.")] = "virtual-camera",
    frame_rate: Annotated[float, typer.Option(help="AcquisitionFrameRate at power-up, in Hz.")] = 10.0,
    loss: Annotated[float, typer.Option(help="Probability that a stream packet is lost, 0 to 1.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the losses.")] = 0,
) -> None:
    """Run a virtual GigE Vision camera until Ctrl-C.

    Any GigE Vision software finds it: `arv-tool-0.8`, `arv-viewer-0.8`, or `inspector`.

    Examples:

        line-sim camera

        line-sim camera --address 127.0.0.2 --serial SIM-0002 --name top-view

        line-sim camera --source photos/ --width 640 --height 480 --pixel-format BayerRG8

        line-sim camera --loss 0.01 --seed 7
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        first = PixelFormat.named(pixel_format)
        config = VirtualCameraConfig(
            address=address,
            serial=serial,
            user_defined_name=name,
            width=width,
            height=height,
            pixel_formats=(first, *(each for each in PixelFormat if each is not first)),
            frame_rate_hz=frame_rate,
            faults=FaultKnobs(loss=loss, seed=seed),
        )
        camera = VirtualCamera(config, _source(source, fit, errors))
        camera.start()
    except InspectorError as error:
        errors.print(f"line-sim camera: {error}")
        raise typer.Exit(_EXIT_UNUSABLE) from error
    typer.echo(f"camera {serial} ({width}x{height} {pixel_format}) on {address}:{GVCP_PORT}, Ctrl-C stops it")
    while camera.alive and not stop.wait(_ALIVE_CHECK_S):
        continue
    crashed = not camera.alive
    camera.stop()
    seen = camera.statistics
    typer.echo(
        f"camera {serial}: {seen.frames_sent} frames, {seen.packets_sent} packets sent, "
        f"{seen.packets_lost} lost, {seen.packets_resent} sent again"
    )
    if crashed:
        errors.print("line-sim camera: a thread of the camera crashed, see the traceback above")
        raise typer.Exit(_EXIT_CRASHED)


def _source(source: str, fit: Fit, console: Console) -> FrameSource:
    if source == PATTERN:
        return PatternSource()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Checking images", total=None)
        return FolderSource(
            Path(source),
            fit=fit,
            on_checked=lambda done, total: progress.update(task, completed=done, total=total),
        )
