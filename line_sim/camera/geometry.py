"""Region, binning and payload size, which depend on each other. Not thread-safe."""

from line_sim.camera.chunks import Chunk, payload_bytes
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.feature_list import MIN_REGION_PX, REGION_STEP_PX
from line_sim.camera.gvcp import CommandRefusedError, Status
from line_sim.camera.register_view import pixel_format
from line_sim.camera.registers import RegisterMap

_REGION = ("Width", "Height", "OffsetX", "OffsetY")
_AXES = (("BinningHorizontal", "Width", "OffsetX"), ("BinningVertical", "Height", "OffsetY"))


class Geometry:
    """The device's lock guards it."""

    def __init__(self, memory: RegisterMap, config: VirtualCameraConfig) -> None:
        self._memory = memory
        self._pixels = {"Width": config.width, "Height": config.height}

    def check(self, address: int, data: bytes) -> None:
        """Refuse a region that would leave the sensor, and a binning that leaves too little of it."""
        if len(data) != 4:
            return
        memory, written = self._memory, int.from_bytes(data, "big")
        for name in _REGION:
            if memory.register(name).address == address:
                values = {each: memory.integer(each) for each in _REGION} | {name: written}
                for side, offset in (("Width", "OffsetX"), ("Height", "OffsetY")):
                    if values[offset] + values[side] > memory.integer(f"{side}Max"):
                        raise CommandRefusedError(Status.INVALID_PARAMETER, "the region leaves the sensor")
        for binning, side, _ in _AXES:
            small = written > 0 and self._pixels[side] // written < MIN_REGION_PX
            if memory.register(binning).address == address and small:
                raise CommandRefusedError(Status.INVALID_PARAMETER, f"too few pixels for {binning}")

    def binning_written(self, name: str) -> None:
        """Give the whole sensor, as binning starts a new geometry."""
        for binning, side, offset in _AXES:
            if binning == name:
                pixels = self._pixels[side] // self._memory.integer(binning)
                pixels -= pixels % REGION_STEP_PX
                self._memory.store(f"{side}Max", pixels)
                self._memory.store(side, pixels)
                self._memory.store(offset, 0)

    def update_payload(self, chunks: frozenset[Chunk]) -> None:
        """Set PayloadSize; `chunks` are those enabled."""
        memory = self._memory
        size = pixel_format(memory).image_bytes(memory.integer("Width"), memory.integer("Height"))
        if memory.integer("ChunkModeActive"):
            size = payload_bytes(size, chunks)
        memory.store("PayloadSize", size)
