"""The bootstrap registers that every GigE Vision device has at fixed addresses.

Addresses and meanings: GigE Vision 2.0, chapter 28. At power-up the device sends 16 bit block ids,
which every receiver understands; 64 bit ones are switched on in the GVSP configuration register.
"""

from enum import IntFlag

from line_sim.camera.config import MIN_PACKET_BYTES, VirtualCameraConfig
from line_sim.camera.registers import Access, Kind, Register

BOOTSTRAP_BYTES = 0xE00
ACTION_BASE, ACTION_BYTES = 0x9800, 16
DISCOVERY_BYTES = 0xF8  # the discovery acknowledge is a copy of the first bootstrap registers
VERSION_2_0 = 0x0002_0000
BIG_ENDIAN_UTF8_TRANSMITTER = 0x8000_0001
LINK_MBIT_PER_S = 1000

SCPS_FIRE_TEST_PACKET = 1 << 31
SCPS_DO_NOT_FRAGMENT = 1 << 30
SCPS_SIZE_MASK = 0xFFFF
STREAM_CAPABILITY_LEGACY_BLOCK_ID = 1 << 30
MESSAGE_CAPABILITY_SOURCE_PORT = 1 << 31
GVSP_64_BIT_BLOCK_ID = 1 << 30


class Configuration(IntFlag):
    """Bits of the GVCP configuration register."""

    HEARTBEAT_DISABLE = 1 << 0
    PENDING_ACK = 1 << 1
    UNCONDITIONAL_ACTION = 1 << 3
    PTP = 1 << 19


class Privilege(IntFlag):
    """Bits of the control channel privilege register (CCP)."""

    EXCLUSIVE = 1
    CONTROL = 2


class Capability(IntFlag):
    """Bits of the GVCP capability register, those that this device has."""

    CONCATENATION = 1 << 0
    WRITEMEM = 1 << 1
    PACKETRESEND = 1 << 2
    EVENT = 1 << 3
    EVENTDATA = 1 << 4
    PENDING_ACK = 1 << 5
    ACTION = 1 << 6
    SCHEDULED_ACTION = 1 << 17
    EXTENDED_STATUS_2_0 = 1 << 18
    PTP = 1 << 19
    UNCONDITIONAL_ACTION = 1 << 20
    HEARTBEAT_DISABLE = 1 << 29
    SERIAL_NUMBER = 1 << 30
    USER_DEFINED_NAME = 1 << 31


def _rw(name: str, address: int, *, minimum: float | None = None, locked: bool = False) -> Register:
    return Register(name=name, address=address, access=Access.RW, minimum=minimum, locked=locked)


def _text(name: str, address: int, length: int, access: Access = Access.RO) -> Register:
    return Register(name=name, address=address, length=length, access=access, kind=Kind.STRING)


def bootstrap_registers(config: VirtualCameraConfig) -> tuple[Register, ...]:
    """Return the bootstrap registers with what may be written to them."""
    return (
        Register(name="Version", address=0x000),
        Register(name="DeviceMode", address=0x004),
        Register(name="MacHigh", address=0x008),
        Register(name="MacLow", address=0x00C),
        Register(name="IpConfigurationSupported", address=0x010),
        Register(name="IpConfigurationCurrent", address=0x014),
        Register(name="CurrentIp", address=0x024),
        Register(name="CurrentSubnetMask", address=0x034),
        Register(name="CurrentGateway", address=0x044),
        _text("VendorName", 0x048, 32),
        _text("ModelName", 0x068, 32),
        _text("DeviceVersion", 0x088, 32),
        _text("ManufacturerInfo", 0x0A8, 48),
        _text("SerialNumber", 0x0D8, 16),
        _text("UserDefinedName", 0x0E8, 16, Access.RW),
        _text("XmlUrl0", 0x200, 512),
        _text("XmlUrl1", 0x400, 512),
        Register(name="NetworkInterfaces", address=0x600),
        Register(name="LinkSpeed", address=0x670),
        Register(name="MessageChannels", address=0x900),
        Register(name="StreamChannels", address=0x904),
        Register(name="ActionSignals", address=0x908),
        Register(name="ActionDeviceKey", address=0x90C, access=Access.RW),
        Register(name="StreamCapability", address=0x92C),
        Register(name="MessageCapability", address=0x930),
        Register(name="GvcpCapability", address=0x934),
        _rw("HeartbeatTimeout", 0x938, minimum=500),
        Register(name="TimestampFrequency", address=0x93C, length=8),
        Register(name="TimestampControl", address=0x944, access=Access.WO),
        Register(name="TimestampValue", address=0x948, length=8),
        _rw("GvcpConfiguration", 0x954),
        _rw("PendingTimeout", 0x958, minimum=1),
        Register(
            name="GvspConfiguration",
            address=0x960,
            access=Access.RW,
            allowed=frozenset((0, GVSP_64_BIT_BLOCK_ID)),
            locked=True,
        ),
        Register(name="PtpClockStatus", address=0x96C),
        Register(name="ScheduledActionQueue", address=0x970),
        Register(name="ControlPrivilege", address=0xA00, access=Access.RW),
        _rw("MessageHostPort", 0xB00),
        _rw("MessageDestination", 0xB10),
        _rw("MessageTimeout", 0xB14),
        _rw("MessageRetries", 0xB18),
        Register(name="MessageSourcePort", address=0xB1C),
        # Ports and destination may change while streaming: that is how an application moves it.
        _rw("StreamHostPort", 0xD00),
        Register(
            name="StreamPacketSize",
            address=0xD04,
            access=Access.RW,
            minimum=MIN_PACKET_BYTES,
            maximum=config.max_packet_size,
            increment=4,
            mask=SCPS_SIZE_MASK,
        ),
        _rw("StreamPacketDelay", 0xD08),
        _rw("StreamDestination", 0xD18),
        Register(name="StreamSourcePort", address=0xD1C),
        # Multi-part payloads would be switched on here, which this device does not have
        # (Aravis tries, and goes on without).
        Register(name="StreamConfiguration", address=0xD24, access=Access.RW, allowed=frozenset((0,))),
        _rw("ActionGroupKey", ACTION_BASE),
        _rw("ActionGroupMask", ACTION_BASE + 4),
    )
