"""The register memory of this camera as it is at power-up."""

import ipaddress
import socket

import psutil

from line_sim.camera.bootstrap import (
    ACTION_BASE,
    ACTION_BYTES,
    BIG_ENDIAN_UTF8_TRANSMITTER,
    BOOTSTRAP_BYTES,
    LINK_MBIT_PER_S,
    MESSAGE_CAPABILITY_SOURCE_PORT,
    STREAM_CAPABILITY_LEGACY_BLOCK_ID,
    VERSION_2_0,
    Capability,
    bootstrap_registers,
)
from line_sim.camera.chunks import Chunk
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.device_clock import TICK_FREQUENCY_HZ
from line_sim.camera.event import Event
from line_sim.camera.feature_list import feature_table
from line_sim.camera.features import FEATURE_BASE
from line_sim.camera.genicam_xml import XML_BASE, description, local_url, zipped
from line_sim.camera.ptp import PtpState
from line_sim.camera.registers import RegisterMap

HEARTBEAT_TIMEOUT_MS = 3000
PENDING_TIMEOUT_MS = 100
MESSAGE_TIMEOUT_MS = 200
MESSAGE_RETRIES = 3
_LLA_IP_CONFIGURATION = 1 << 2
_READ_AHEAD_BYTES = 540  # applications read the XML in whole blocks, past its end


def device_memory(config: VirtualCameraConfig) -> RegisterMap:
    """Return the memory with the description file in it and the power-up values set."""
    table = feature_table(config)
    memory = RegisterMap((*bootstrap_registers(config), *table.registers))
    memory.add_region(0, bytes(BOOTSTRAP_BYTES))
    memory.add_region(ACTION_BASE, bytes(ACTION_BYTES))
    memory.add_region(FEATURE_BASE, bytes(table.size_bytes))
    name = f"{config.vendor}_{config.model}"
    archive = zipped(description(table, vendor=config.vendor, model=config.model), f"{name}.xml")
    memory.add_region(XML_BASE, archive + bytes(_READ_AHEAD_BYTES - len(archive) % 4))
    memory.store("XmlUrl0", local_url(f"{name}.zip", len(archive)))
    power_up(memory, config)
    return memory


def power_up(memory: RegisterMap, config: VirtualCameraConfig) -> None:
    """Set every register to its value at power-up."""
    mac = config.mac_bytes
    values: dict[str, int | float | str] = {
        "Version": VERSION_2_0,
        "DeviceMode": BIG_ENDIAN_UTF8_TRANSMITTER,
        "MacHigh": int.from_bytes(mac[:2], "big"),
        "MacLow": int.from_bytes(mac[2:], "big"),
        "IpConfigurationSupported": _LLA_IP_CONFIGURATION,
        "IpConfigurationCurrent": _LLA_IP_CONFIGURATION,
        "CurrentIp": int(ipaddress.IPv4Address(config.address)),
        "CurrentSubnetMask": int(ipaddress.IPv4Address(subnet_of(config.address)[0])),
        "CurrentGateway": 0,
        "VendorName": config.vendor,
        "ModelName": config.model,
        "DeviceVersion": "1.0",
        "ManufacturerInfo": "A camera made of software",
        "SerialNumber": config.serial,
        "UserDefinedName": config.user_defined_name,
        "NetworkInterfaces": 1,
        "LinkSpeed": LINK_MBIT_PER_S,
        "StreamChannels": 1,
        "MessageChannels": 1,
        "ActionSignals": 1,
        "StreamCapability": STREAM_CAPABILITY_LEGACY_BLOCK_ID,
        "MessageCapability": MESSAGE_CAPABILITY_SOURCE_PORT,
        "GvcpCapability": sum(Capability),
        "HeartbeatTimeout": HEARTBEAT_TIMEOUT_MS,
        "TimestampFrequency": TICK_FREQUENCY_HZ,
        "TimestampValue": 0,
        "GvcpConfiguration": 0,
        "PendingTimeout": PENDING_TIMEOUT_MS,
        "GvspConfiguration": 0,
        "ScheduledActionQueue": config.trigger_queue,
        "ActionDeviceKey": 0,
        "ActionGroupKey": 0,
        "ActionGroupMask": 0,
        "MessageHostPort": 0,
        "MessageDestination": 0,
        "MessageTimeout": MESSAGE_TIMEOUT_MS,
        "MessageRetries": MESSAGE_RETRIES,
        "ControlPrivilege": 0,
        "StreamHostPort": 0,
        "StreamPacketSize": config.packet_size,
        "StreamPacketDelay": 0,
        "StreamDestination": 0,
        "SensorWidth": config.width,
        "SensorHeight": config.height,
        "WidthMax": config.width,
        "HeightMax": config.height,
        "Width": config.width,
        "Height": config.height,
        "OffsetX": 0,
        "OffsetY": 0,
        "PixelFormat": config.pixel_formats[0].code,
        "AcquisitionMode": 0,
        "AcquisitionFrameCount": 1,
        "AcquisitionFrameRateEnable": 1,
        "AcquisitionFrameRate": config.frame_rate_hz,
        "ExposureMode": 1,
        "ExposureTime": config.exposure_us,
        "TriggerSelector": 0,
        "TriggerMode": 0,
        "TriggerSource": 0,
        "TriggerActivation": 0,
        "TriggerDelay": 0.0,
        "GainSelector": 0,
        "Gain": 0.0,
        "BinningHorizontal": 1,
        "BinningVertical": 1,
        "LineSelector": 0,
        "LineMode": 0,
        "EncoderSelector": 0,
        "ChunkModeActive": 0,
        "EventSelector": Event.EXPOSURE_END.selector,
        "ChunkSelector": Chunk.TIMESTAMP.selector,
        "ActionSelector": 1,
        "PtpEnable": 0,
        "PtpStatus": PtpState.DISABLED,
        "PayloadSize": config.pixel_formats[0].image_bytes(config.width, config.height),
        "TLParamsLocked": 0,
    }
    for name, value in values.items():
        memory.store(name, value)


def subnet_of(address: str) -> tuple[str, str | None, str | None]:
    """Return (netmask, broadcast address, interface name) of the interface with this address.

    Addresses of 127/8 that no interface lists are the loopback interface's all the same.
    """
    for name, entries in psutil.net_if_addrs().items():
        for entry in entries:
            if entry.family != socket.AF_INET or entry.netmask is None:
                continue
            network = ipaddress.IPv4Interface(f"{entry.address}/{entry.netmask}").network
            listed = entry.address == address
            loopback = network.is_loopback and ipaddress.IPv4Address(address) in network
            if listed or loopback:
                return entry.netmask, str(network.broadcast_address), name
    return "255.255.255.255", None, None
