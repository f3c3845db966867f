"""Typed values read out of the register memory. Pure; the device's lock is held by the caller."""

import ipaddress

from line_sim.camera.bootstrap import GVSP_64_BIT_BLOCK_ID, SCPS_DO_NOT_FRAGMENT, SCPS_SIZE_MASK
from line_sim.camera.chunks import Chunk
from line_sim.camera.feature_list import TRIGGER_ACTIVATIONS, TRIGGER_SOURCES
from line_sim.camera.pixel_format import PixelFormat
from line_sim.camera.registers import RegisterMap
from line_sim.camera.settings import (
    AcquisitionMode,
    AcquisitionSettings,
    MessageSettings,
    StreamSettings,
)

_TRIGGER_SOURCE_NAMES = {value: name for name, value in TRIGGER_SOURCES}
_TRIGGER_ACTIVATION_NAMES = {value: name for name, value in TRIGGER_ACTIVATIONS}


def pixel_format(memory: RegisterMap) -> PixelFormat:
    code = memory.integer("PixelFormat")
    return next(each for each in PixelFormat if each.code == code)


def acquisition_settings(memory: RegisterMap, chunks: frozenset[Chunk]) -> AcquisitionSettings:
    """Return the settings; `chunks` are those that are enabled, whether chunk mode is on or not."""
    limited = bool(memory.integer("AcquisitionFrameRateEnable"))
    return AcquisitionSettings(
        mode=AcquisitionMode(memory.integer("AcquisitionMode")),
        frame_count=memory.integer("AcquisitionFrameCount"),
        width=memory.integer("Width"),
        height=memory.integer("Height"),
        offset_x=memory.integer("OffsetX"),
        offset_y=memory.integer("OffsetY"),
        binning_horizontal=memory.integer("BinningHorizontal"),
        binning_vertical=memory.integer("BinningVertical"),
        pixel_format=pixel_format(memory),
        exposure_us=memory.floating("ExposureTime"),
        gain_db=memory.floating("Gain"),
        frame_rate_hz=memory.floating("AcquisitionFrameRate") if limited else None,
        triggered=bool(memory.integer("TriggerMode")),
        trigger_source=_TRIGGER_SOURCE_NAMES[memory.integer("TriggerSource")],
        trigger_activation=_TRIGGER_ACTIVATION_NAMES[memory.integer("TriggerActivation")],
        trigger_delay_us=memory.floating("TriggerDelay"),
        chunks=chunks if memory.integer("ChunkModeActive") else None,
    )


def stream_settings(memory: RegisterMap) -> StreamSettings:
    packet_size = memory.integer("StreamPacketSize")
    return StreamSettings(
        address=_address(memory, "StreamDestination"),
        host_port=memory.integer("StreamHostPort") & 0xFFFF,
        packet_size=packet_size & SCPS_SIZE_MASK,
        do_not_fragment=bool(packet_size & SCPS_DO_NOT_FRAGMENT),
        packet_delay_ns=memory.integer("StreamPacketDelay"),
        extended_ids=extended_ids(memory),
    )


def message_settings(memory: RegisterMap) -> MessageSettings:
    return MessageSettings(
        address=_address(memory, "MessageDestination"),
        host_port=memory.integer("MessageHostPort") & 0xFFFF,
        timeout_ms=memory.integer("MessageTimeout"),
        retries=memory.integer("MessageRetries"),
        extended_ids=extended_ids(memory),
    )


def extended_ids(memory: RegisterMap) -> bool:
    return bool(memory.integer("GvspConfiguration") & GVSP_64_BIT_BLOCK_ID)


def _address(memory: RegisterMap, name: str) -> str:
    return str(ipaddress.IPv4Address(memory.integer(name)))
