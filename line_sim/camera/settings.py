"""What the registers say at one moment, as typed values for acquisition and stream."""

from dataclasses import dataclass
from enum import IntEnum

from line_sim.camera.chunks import Chunk
from line_sim.camera.pixel_format import PixelFormat


class AcquisitionMode(IntEnum):
    CONTINUOUS = 0
    SINGLE_FRAME = 1
    MULTI_FRAME = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionSettings:
    """The geometry is that of the region; `sensor_*` that of the whole picture."""

    mode: AcquisitionMode
    frame_count: int
    width: int
    height: int
    offset_x: int
    offset_y: int
    pixel_format: PixelFormat
    exposure_us: float
    gain_db: float
    frame_rate_hz: float | None  # None: as fast as exposure and link allow
    triggered: bool
    trigger_source: str  # SFNC: Software, Line0, Line1, Action1
    trigger_delay_us: float
    trigger_activation: str = "RisingEdge"
    binning_horizontal: int = 1
    binning_vertical: int = 1
    chunks: frozenset[Chunk] | None = None  # None: ChunkModeActive is off


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """Where the packets go. `host_port` 0 means that nobody wants them."""

    address: str
    host_port: int
    packet_size: int  # IP and UDP headers included
    do_not_fragment: bool
    packet_delay_ns: int
    extended_ids: bool = False  # 64 bit block ids and 32 bit packet ids


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSettings:
    """Where events go. `host_port` 0 means that nobody wants them."""

    address: str
    host_port: int
    timeout_ms: int  # 0: no acknowledge is asked for
    retries: int
    extended_ids: bool
