"""Cameras."""

from typing import Annotated, Literal

from msgspec import Meta, field

from inspector.config.values import Name, SfncValue
from inspector.strict_data import Strict


class CameraSelector(Strict, frozen=True, kw_only=True):
    """Which camera on the network. At least one key; all that are set must match."""

    serial: str | None = None
    user_defined_name: str | None = None
    model: str | None = None
    vendor: str | None = None
    address: str | None = None  # IPv4

    def __post_init__(self) -> None:
        if not any((self.serial, self.user_defined_name, self.model, self.vendor, self.address)):
            raise ValueError("name the camera by serial, user_defined_name, model, vendor or address")


class CameraConfig(Strict, frozen=True, kw_only=True):
    """One camera: who it is, what it is set to, and what we do when it fails.

    `settings` are SFNC feature names and values, written in the order given. `producer` is a GenTL producer
    (.cti); None is our own. `interface_address` lets the producer look for cameras on an address that
    broadcasts do not reach (loopback). `delivered_bits` is what formats of 10 to 16 bits are brought to: 8
    keeps the highest eight, which is what the engines take, 16 keeps them all.
    """

    id: Name
    select: CameraSelector
    producer: str | None = None
    interface_address: str | None = None
    settings: dict[str, SfncValue] = field(default_factory=dict)
    buffers: Annotated[int, Meta(ge=3, le=128)] = 16
    frame_timeout_ms: Annotated[int, Meta(ge=10)] = 1000  # only for a camera that runs freely
    heartbeat_timeout_ms: Annotated[int, Meta(ge=500)] = 1000
    mm_per_px: Annotated[float, Meta(gt=0)] | None = None
    delivered_bits: Literal[8, 16] = 8
