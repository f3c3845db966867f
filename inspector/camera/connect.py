"""Finding the camera that the configuration means, and taking control of it, patiently."""

import random
import threading

from inspector import log
from inspector.camera.connection import Connection
from inspector.camera.found_camera import FoundCamera, describe, matches
from inspector.camera.gentl_errors import CONTROL_TAKEN, GENTL_ERRORS, reason
from inspector.camera.gentl_system import GenTLSystem
from inspector.clock import NS_PER_S, Clock
from inspector.config import CameraConfig
from inspector.errors import ConfigError, DeviceError

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0


def find_camera(system: GenTLSystem, config: CameraConfig) -> FoundCamera:
    """Return the one camera meant. Raises DeviceError if none answers, ConfigError if several do."""
    address = config.interface_address or config.select.address
    if address and system.is_own:
        direct = [camera for camera in system.look_at(address) if matches(camera, config.select)]
        if direct:
            return direct[0]
    found = system.look()
    fitting = [camera for camera in found if matches(camera, config.select)]
    if len(fitting) == 1:
        return fitting[0]
    wanted = describe(config.select)
    if fitting:
        names = "; ".join(str(camera) for camera in fitting)
        raise ConfigError(
            f"camera {config.id}: {wanted} fits {len(fitting)} cameras, select by serial instead: {names}"
        )
    seen = "; ".join(str(camera) for camera in found) or "none"
    asked = f" (asked {address} too)" if address else ""
    raise DeviceError(
        f"camera {config.id}: no camera with {wanted} answers{asked}; is it powered, on this "
        f"subnet and not behind a firewall? Cameras that answer: {seen}"
    )


def connect(system: GenTLSystem, config: CameraConfig, clock: Clock, wait_s: float) -> Connection:
    """Open the camera, trying again for `wait_s`. Says in the log what it waits for.

    Raises ConfigError at once for what waiting does not mend, else DeviceError at the end.
    """
    deadline_ns = clock.now_ns() + round(wait_s * NS_PER_S)
    pause_s, told = _FIRST_PAUSE_S, ""
    while True:
        try:
            return _try(system, config)
        except DeviceError as error:
            left_s = (deadline_ns - clock.now_ns()) / NS_PER_S
            if left_s <= 0:
                raise
            if str(error) != told:
                told = str(error)
                log.get().warning("waiting for the camera", camera_id=config.id, cause=told)
        # Jitter, so that the cameras of a switch that comes back are not all asked in step.
        threading.Event().wait(min(pause_s * random.uniform(0.75, 1.25), max(left_s, 0.0)))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _try(system: GenTLSystem, config: CameraConfig) -> Connection:
    found = find_camera(system, config)
    try:
        return Connection(system, found, config)
    except CONTROL_TAKEN as error:
        raise DeviceError(
            f"camera {config.id}: another program has control of {found}. Close it; a program "
            "that was killed loses control when the camera's heartbeat timeout ends"
        ) from error
    except GENTL_ERRORS as error:
        raise DeviceError(f"camera {config.id}: {found} cannot be opened: {reason(error)}") from error
