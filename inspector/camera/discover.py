"""Which cameras answer, for a person who sets up a cell."""

from collections.abc import Sequence

from inspector.camera.found_camera import FoundCamera
from inspector.camera.gentl_system import acquire_system, release_system


def list_cameras(producer: str | None = None, *, addresses: Sequence[str] = ()) -> list[FoundCamera]:
    """Ask all networks, and `addresses` that broadcasts do not reach. Takes 0.5 s a network.

    Raises ConfigError when the producer does not load, DeviceError when looking fails.
    """
    system = acquire_system(producer)
    try:
        return system.look(*addresses)
    finally:
        release_system(system)
