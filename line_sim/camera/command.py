"""`line-sim camera`: a virtual camera on the command line."""

import signal
import threading
import time
from collections.abc import Callable
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
from line_sim.camera.session_source import SessionSource, is_session
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
        str, typer.Option(help="Folder of images, folder of a recorded session, or 'pattern'.")
    ] = PATTERN,
    fit: Annotated[
        Fit, typer.Option(help="How images of another size come onto the sensor.")
    ] = Fit.LETTERBOX,
    width: Annotated[int, typer.Option(help="Sensor width in pixels, even.")] = 1280,
    height: Annotated[int, typer.Option(help="Sensor height in pixels, even.")] = 1024,
    pixel_format: Annotated[
        str, typer.Option(help="At power-up: Mono8, Mono10, Mono12Packed, Mono16, BayerRG8, RGB8.")
    ] = "Mono8",
    serial: Annotated[str, typer.Option(help="Serial number, up to 15 characters.")] = "SIM-0001",
    name: Annotated[str, typer.Option(help="User-defined name, up to 15 characters.")] = "virtual-camera",
    frame_rate: Annotated[float, typer.Option(help="AcquisitionFrameRate at power-up, in Hz.")] = 10.0,
    camera: Annotated[
        str | None, typer.Option(help="Which camera of a recorded session, where it has several.")
    ] = None,
    loss: Annotated[float, typer.Option(help="Probability that a stream packet is lost, 0 to 1.")] = 0.0,
    reorder: Annotated[float, typer.Option(help="Probability that a packet comes too late.")] = 0.0,
    duplicate: Annotated[float, typer.Option(help="Probability that a packet comes twice.")] = 0.0,
    malformed: Annotated[float, typer.Option(help="Probability that a packet is malformed.")] = 0.0,
    drop_frames: Annotated[float, typer.Option(help="Probability that a frame is left out.")] = 0.0,
    resend: Annotated[bool, typer.Option(help="Whether lost packets can be had again.")] = True,
    ack_delay: Annotated[float, typer.Option(help="Milliseconds that each control answer takes.")] = 0.0,
    ptp_lie: Annotated[bool, typer.Option(help="Report PTP as locked while the clock runs free.")] = False,
    drift: Annotated[float, typer.Option(help="Error of the camera's clock in ppm.")] = 0.0,
    reboot_every: Annotated[float, typer.Option(help="Seconds between reboots, 0 for none.")] = 0.0,
    unplug_every: Annotated[float, typer.Option(help="Seconds between cable pulls, 0 for none.")] = 0.0,
    outage: Annotated[float, typer.Option(help="Seconds that a reboot or a pull of the cable lasts.")] = 3.0,
    seed: Annotated[int, typer.Option(help="Seed of the faults and of the noise.")] = 0,
) -> None:
    """Run a virtual GigE Vision camera until Ctrl-C.

    Any GigE Vision software finds it: `arv-tool-0.8`, `arv-viewer-0.8`, or `inspector`.

    Examples:

        line-sim camera

        line-sim camera --address 127.0.0.2 --serial SIM-0002 --name top-view

        line-sim camera --source photos/ --width 640 --height 480 --pixel-format BayerRG8

        line-sim camera --loss 0.01 --seed 7

        line-sim camera --source sessions/2026-11-22T15-03-35Z --width 640 --height 480

        line-sim camera --unplug-every 60 --outage 5
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
            clock_drift_ppm=drift,
            noise_seed=seed,
            faults=FaultKnobs(
                loss=loss,
                reorder=reorder,
                duplicate=duplicate,
                malformed=malformed,
                drop_frames=drop_frames,
                no_resend=not resend,
                ack_delay_ms=ack_delay,
                ptp_lie=ptp_lie,
                seed=seed,
            ),
        )
        device = VirtualCamera(config, _source(source, camera, fit, errors))
        device.start()
    except InspectorError as error:
        errors.print(f"line-sim camera: {error}")
        raise typer.Exit(_EXIT_UNUSABLE) from error
    typer.echo(f"camera {serial} ({width}x{height} {pixel_format}) on {address}:{GVCP_PORT}, Ctrl-C stops it")
    trouble = (
        _Every(reboot_every, lambda: device.reboot(outage)),
        _Every(unplug_every, lambda: device.unplug(outage)),
    )
    while device.alive and not stop.wait(_ALIVE_CHECK_S):
        for each in trouble:
            each.poll()
    crashed = not device.alive
    device.stop()
    seen = device.statistics
    typer.echo(
        f"camera {serial}: {seen.frames_sent} frames, {seen.packets_sent} packets sent, "
        f"{seen.packets_lost} lost, {seen.packets_resent} sent again"
    )
    if crashed:
        errors.print("line-sim camera: a thread of the camera crashed, see the traceback above")
        raise typer.Exit(_EXIT_CRASHED)


class _Every:
    """Does something every so many seconds; 0 for never."""

    def __init__(self, seconds: float, act: Callable[[], None]) -> None:
        self._seconds = seconds
        self._act = act
        self._next_s = time.monotonic() + seconds

    def poll(self) -> None:
        if self._seconds > 0 and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + self._seconds
            self._act()


def _source(source: str, camera_id: str | None, fit: Fit, console: Console) -> FrameSource:
    if source == PATTERN:
        return PatternSource()
    if is_session(Path(source)):
        return SessionSource(Path(source), camera_id=camera_id, fit=fit)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Checking images", total=None)
        return FolderSource(
            Path(source),
            fit=fit,
            on_checked=lambda done, total: progress.update(task, completed=done, total=total),
        )
