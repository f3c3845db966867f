"""What a frame brings besides its pixels: exposure time and encoder, from chunks or settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from genicam import genapi

from inspector.camera.settings import find_node, read_value


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """`encoder_ticks` is None where the camera sends none."""

    exposure_us: float
    encoder_ticks: int | None


class FactsReader(Protocol):
    def __call__(self, raw: Any, *, complete: bool) -> FrameFacts: ...


def facts_reader(node_map: Any) -> FactsReader:
    """Return what reads the facts of each frame, with the settings of now as the fallback."""
    exposure = read_value(node_map, "ExposureTime")
    if exposure is None:
        exposure = read_value(node_map, "ExposureTimeAbs")  # the name before SFNC 2
    fixed = FrameFacts(float(exposure) if isinstance(exposure, int | float) else 0.0, None)
    if read_value(node_map, "ChunkModeActive") is not True:
        return lambda raw, *, complete: fixed  # noqa: ARG005 - the protocol's arguments
    return _ChunkReader(node_map, fixed)


class _ChunkReader:
    """Chunks follow the pixels (GigE Vision 2.0, section 25.3); GenApi finds them in the buffer."""

    def __init__(self, node_map: Any, fixed: FrameFacts) -> None:
        self._fixed = fixed
        self._node_map = node_map
        self._adapter = genapi.ChunkAdapterGEV(node_map)
        self._attached = False

    def __call__(self, raw: Any, *, complete: bool) -> FrameFacts:
        if not complete or not raw.is_containing_chunk_data():
            return self._fixed
        if self._attached:
            self._adapter.update_buffer(raw.raw_buffer)
        else:
            self._adapter.attach_buffer(raw.raw_buffer, raw.delivered_chunk_payload_size)
            self._attached = True
        exposure = self._number("ChunkExposureTime", float)
        encoder = self._number("ChunkEncoderValue", int)
        return FrameFacts(
            self._fixed.exposure_us if exposure is None else exposure,
            None if encoder is None else int(encoder),
        )

    def _number(self, name: str, kind: Callable[[Any], float]) -> float | None:
        node = find_node(self._node_map, name)
        return None if node is None else kind(node.value)
