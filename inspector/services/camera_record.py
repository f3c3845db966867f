"""`inspector camera record`: a camera's frames into a session, without a cell around it."""

import hashlib
import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from inspector import log
from inspector.camera.acquisition import Camera, open_camera
from inspector.clock import NS_PER_S, Clock, SystemClock
from inspector.config import CameraConfig
from inspector.config_load import load_yaml
from inspector.errors import DataError, DeviceError, StoreError
from inspector.store.layout import SessionInfo
from inspector.store.session import SessionWriter
from inspector.strict_data import to_json, to_json_lines
from inspector.types import Frame

_PACKAGES = ("inspector-cell", "harvesters", "numpy")
_OPEN_S = 5.0
_FETCH_MS = 100


def camera_record(
    config: Annotated[Path, typer.Argument(help="The camera file.")],
    to: Annotated[Path, typer.Option(help="Folder of the sessions.")] = Path("sessions"),
    count: Annotated[int | None, typer.Option("-n", "--count", min=1, help="How many frames.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="For how long.")] = None,
) -> None:
    """Record what a camera sends, with every frame's meta data; ends with --count, --seconds or Ctrl-C."""
    log.configure("camera", human=True)
    camera_config = load_yaml(config, CameraConfig)
    clock = SystemClock()
    with open_camera(camera_config, clock, wait_s=_OPEN_S) as camera:
        camera.start()
        with SessionWriter(to, _info(camera_config), _files(camera_config), clock=clock) as session:
            try:
                recorded = _record(camera, session, clock, count, seconds)
            except KeyboardInterrupt:
                recorded = camera.statistics.frames
            failure, lost = session.failure, session.lost
        statistics = camera.statistics
    typer.echo(
        f"{session.path}: {recorded - lost} frames, {statistics.incomplete} of them incomplete, "
        f"{statistics.lost} never came"
    )
    if lost:
        raise StoreError(f"{lost} frames could not be stored: {failure or 'the disk is too slow'}")
    if not recorded:
        waits = camera_config.settings.get("TriggerMode") in {"On", True}
        hint = "; it waits for a trigger" if waits else ""
        raise DeviceError(f"camera {camera_config.id} sent no frame{hint}")


def _record(
    camera: Camera, session: SessionWriter, clock: Clock, count: int | None, seconds: float | None
) -> int:
    """Record until one of the limits; return how many frames were given to the session."""
    end_ns = None if seconds is None else clock.now_ns() + round(seconds * NS_PER_S)
    recorded = 0
    with Progress(transient=True) as progress:
        task = progress.add_task(f"camera {camera.config.id}", total=count)
        while (count is None or recorded < count) and (end_ns is None or clock.now_ns() < end_ns):
            try:
                view = camera.fetch(_FETCH_MS)
            except DataError:
                continue  # counted by the camera
            if view is None:
                continue
            with view:
                session.write_frame(Frame(view.meta, view.image))
            recorded += 1
            progress.advance(task)
    return recorded


def _info(config: CameraConfig) -> SessionInfo:
    return SessionInfo(
        run_id=f"camera-{config.id}-{os.getpid()}",
        config_sha256=hashlib.sha256(to_json(config)).hexdigest(),
        model_sha256="",
        versions={name: version(name) for name in _PACKAGES},
        arbiter_setup={},
    )


def _files(config: CameraConfig) -> dict[str, str]:
    return {f"{config.id}.json": to_json_lines(config)}
