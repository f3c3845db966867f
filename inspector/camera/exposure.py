"""What a frame brings besides its pixels: exposure time and encoder, from chunks or settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from genicam import genapi, gentl

from inspector.camera.settings import find_node, read_value


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """`encoder_ticks` is None where the camera sends none."""

    exposure_us: float
    encoder_ticks: int | None


def longest_period_ms(node_map: Any) -> float:
    """Return how long a free-running camera may need for a frame, as it is set; 0 if it does not tell."""
    enabled = read_value(node_map, "AcquisitionFrameRateEnable") is not False
    rates = ("AcquisitionFrameRate", "AcquisitionFrameRateAbs") if enabled else ()
    values = [read_value(node_map, name) for name in (*rates, "ResultingFrameRate")]
    periods = [1000 / each for each in values if isinstance(each, int | float) and each > 0]
    exposure_us = read_value(node_map, "ExposureTime")
    if isinstance(exposure_us, int | float):
        periods.append(exposure_us / 1000)
    return max(periods, default=0.0)


class FactsReader(Protocol):
    def __call__(self, raw: Any, *, complete: bool) -> FrameFacts: ...


def facts_reader(node_map: Any, tl_type: str) -> FactsReader:
    """Return what reads the facts of each frame, with the settings of now as the fallback."""
    exposure = read_value(node_map, "ExposureTime")
    if exposure is None:
        exposure = read_value(node_map, "ExposureTimeAbs")  # the name before SFNC 2
    fixed = FrameFacts(float(exposure) if isinstance(exposure, int | float) else 0.0, None)
    if read_value(node_map, "ChunkModeActive") is not True:
        return lambda raw, *, complete: fixed  # noqa: ARG005 - the protocol's arguments
    return _ChunkReader(node_map, tl_type, fixed)


class _ChunkReader:
    """GenApi finds the chunks in the buffer: from its end backwards in GigE Vision (2.0, 25.3),
    else where the producer says that they are."""

    def __init__(self, node_map: Any, tl_type: str, fixed: FrameFacts) -> None:
        self._fixed = fixed
        self._node_map = node_map
        self._is_gige = tl_type == "GEV"
        kind = genapi.ChunkAdapterGEV if self._is_gige else genapi.ChunkAdapterGeneric
        self._adapter = kind(node_map)

    def __call__(self, raw: Any, *, complete: bool) -> FrameFacts:
        if not complete or not self._attach(raw):
            return self._fixed
        exposure = self._number("ChunkExposureTime", float)
        encoder = self._number("ChunkEncoderValue", int)
        return FrameFacts(
            self._fixed.exposure_us if exposure is None else exposure,
            None if encoder is None else int(encoder),
        )

    def _attach(self, raw: Any) -> bool:
        try:
            if not raw.is_containing_chunk_data():
                return False
            if self._is_gige:
                self._adapter.attach_buffer(raw.raw_buffer, raw.delivered_chunk_payload_size)
            else:
                self._adapter.attach_buffer(raw.raw_buffer, raw.chunk_data_info_list)
        except gentl.GenericException:
            return False  # the producer does not know chunks
        return True

    def _number(self, name: str, kind: Callable[[Any], float]) -> float | None:
        node = find_node(self._node_map, name)
        return None if node is None else kind(node.value)
