"""Which cameras answer, for a person who sets up a cell."""

from collections.abc import Sequence

from inspector.camera.connect import find_camera
from inspector.camera.found_camera import FoundCamera
from inspector.camera.gentl_system import acquire_system, release_system
from inspector.config import CameraConfig
from inspector.errors import ConfigError, DeviceError


def list_cameras(producer: str | None = None, *, addresses: Sequence[str] = ()) -> list[FoundCamera]:
    """Ask all networks, and `addresses` that broadcasts do not reach. Takes 0.5 s a network.

    Raises ConfigError when the producer does not load, DeviceError when looking fails.
    """
    system = acquire_system(producer)
    try:
        return system.look(*addresses)
    finally:
        release_system(system)


def check_camera(config: CameraConfig) -> FoundCamera:
    """Return the camera that a file means, without opening it. Raises ConfigError."""
    system = acquire_system(config.producer)
    try:
        return find_camera(system, config)
    except DeviceError as error:
        raise ConfigError(str(error)) from error
    finally:
        release_system(system)
