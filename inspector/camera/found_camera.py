"""A camera that answered on the network, and how one is chosen."""

from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import asdict

from inspector.config import CameraSelector


class Access(StrEnum):
    """Whether we could open it now."""

    FREE = "free"
    IN_USE = "in use"  # another program has control
    OURS = "open here"
    UNREACHABLE = "unreachable"  # seen, but does not answer: another subnet, most often
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCamera:
    """`address` and `mac` are "" where the producer does not tell."""

    id: str  # the producer's name for it
    vendor: str
    model: str
    serial: str
    user_defined_name: str
    address: str
    mac: str
    access: Access
    interface: str

    def __str__(self) -> str:
        name = f" {self.user_defined_name!r}" if self.user_defined_name else ""
        where = f" at {self.address}" if self.address else ""
        return f"{self.vendor} {self.model}{name} serial {self.serial}{where}"


def matches(camera: FoundCamera, select: CameraSelector) -> bool:
    """Tell whether every key that is set in `select` fits."""
    return all(wanted is None or wanted == getattr(camera, key) for key, wanted in asdict(select).items())


def describe(select: CameraSelector) -> str:
    """Return the keys that are set, for a message: `serial "22001234"`."""
    return ", ".join(f'{key} "{value}"' for key, value in asdict(select).items() if value)
