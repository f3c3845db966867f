"""What a virtual camera is: its identity, its sensor and its link."""

import ipaddress
import re
from dataclasses import dataclass, field

from inspector.errors import ConfigError
from line_sim.camera.faults import FaultKnobs
from line_sim.camera.pixel_format import PixelFormat

MIN_PACKET_BYTES = 576  # every IPv4 host takes a datagram of this size
MAX_PACKET_BYTES = 65532  # the register field has 16 bits, and sizes are multiples of 4
MIN_RESEND_FRAMES = 16
MAX_SENSOR_PX = 16384
EXPOSURE_RANGE_US = (10.0, 1_000_000.0)
FRAME_RATE_RANGE_HZ = (0.1, 2000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualCameraConfig:
    """Checked when made; raises ConfigError.

    `address` is an IPv4 address of this host. Two cameras on one host need two: all of 127/8
    belongs to the loopback interface, so 127.0.0.2, 127.0.0.3, ... serve without any set-up.
    The first of `pixel_formats` is the one at power-up.
    """

    address: str = "127.0.0.1"
    serial: str = "SIM-0001"
    user_defined_name: str = "virtual-camera"
    vendor: str = "inspector"
    model: str = "VirtualCamera"
    width: int = 1280
    height: int = 1024
    pixel_formats: tuple[PixelFormat, ...] = tuple(PixelFormat)
    mac: str | None = None  # None: locally administered, made of the address
    exposure_us: float = 1000.0
    frame_rate_hz: float = 10.0
    packet_size: int = 1500  # GevSCPSPacketSize at power-up, IP and UDP headers included
    max_packet_size: int = 9000
    link_mbit_per_s: float | None = 1000.0  # None: as fast as this host can send
    resend_frames: int = 32  # how many frames can be asked for again
    trigger_queue: int = 16  # triggers that may wait for the sender
    clock_drift_ppm: float = 0.0
    noise_seed: int = 0  # of the noise that gain brings
    faults: FaultKnobs = field(default_factory=FaultKnobs)

    def __post_init__(self) -> None:
        self._check_identity()
        self._check_sensor()
        self._check_link()

    def _check_identity(self) -> None:
        try:
            address = ipaddress.IPv4Address(self.address)
        except ValueError as error:
            raise ConfigError(f"address {self.address!r} is not an IPv4 address") from error
        if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
            raise ConfigError(f"address {self.address} is not one that a camera can have")
        for name, text, room in (
            ("serial", self.serial, 15),
            ("user_defined_name", self.user_defined_name, 15),
            ("vendor", self.vendor, 31),
            ("model", self.model, 31),
        ):
            if len(text.encode()) > room:
                raise ConfigError(f"{name} {text!r} is longer than {room} bytes")
        if self.mac is not None and not re.fullmatch(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", self.mac):
            raise ConfigError(f"mac {self.mac!r} is not of the form 02:00:00:00:00:01")

    def _check_sensor(self) -> None:
        for name, pixels in (("width", self.width), ("height", self.height)):
            if not 16 <= pixels <= MAX_SENSOR_PX or pixels % 2:
                raise ConfigError(f"{name} is {pixels} px, give an even number from 16 to {MAX_SENSOR_PX}")
        if not self.pixel_formats:
            raise ConfigError("pixel_formats is empty, name at least one")
        for name, value, (low, high) in (
            ("exposure_us", self.exposure_us, EXPOSURE_RANGE_US),
            ("frame_rate_hz", self.frame_rate_hz, FRAME_RATE_RANGE_HZ),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}, give a value from {low:g} to {high:g}")

    def _check_link(self) -> None:
        sizes = (MIN_PACKET_BYTES, self.packet_size, self.max_packet_size, MAX_PACKET_BYTES)
        if list(sizes) != sorted(sizes) or self.packet_size % 4 or self.max_packet_size % 4:
            raise ConfigError(
                f"packet_size {self.packet_size} and max_packet_size {self.max_packet_size}: give "
                f"multiples of 4 from {MIN_PACKET_BYTES} to {MAX_PACKET_BYTES}, the first not the larger"
            )
        if self.link_mbit_per_s is not None and self.link_mbit_per_s <= 0:
            raise ConfigError("link_mbit_per_s must be positive, or None for no limit")
        if self.resend_frames < MIN_RESEND_FRAMES or self.trigger_queue < 1:
            raise ConfigError(f"give resend_frames of at least {MIN_RESEND_FRAMES} and a trigger_queue of 1")

    @property
    def mac_bytes(self) -> bytes:
        """Six bytes. A made-up one has the bit for locally administered addresses set."""
        if self.mac is not None:
            return bytes.fromhex(self.mac.replace(":", ""))
        return b"\x02\x00" + ipaddress.IPv4Address(self.address).packed
