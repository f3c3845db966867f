"""Which features this camera has."""

from line_sim.camera.bootstrap import bootstrap_registers
from line_sim.camera.config import EXPOSURE_RANGE_US, FRAME_RATE_RANGE_HZ, VirtualCameraConfig
from line_sim.camera.data_features import add_actions, add_chunks, add_events, add_inputs, add_ptp
from line_sim.camera.features import FeatureKind, FeatureTable, Visibility
from line_sim.camera.registers import Access, Register

DEVICE = "DeviceControl"
IMAGE = "ImageFormatControl"
ACQUISITION = "AcquisitionControl"
ANALOG = "AnalogControl"
TRANSPORT = "TransportLayerControl"

INTEGER, FLOAT, BOOLEAN = FeatureKind.INTEGER, FeatureKind.FLOAT, FeatureKind.BOOLEAN
ENUMERATION, COMMAND, STRING = FeatureKind.ENUMERATION, FeatureKind.COMMAND, FeatureKind.STRING

MIN_REGION_PX = 16
REGION_STEP_PX = 2  # so that the Bayer phase stays, and packed formats come out even

ACQUISITION_MODES = (("Continuous", 0), ("SingleFrame", 1), ("MultiFrame", 2))
TRIGGER_SOURCES = (("Software", 0), ("Line0", 1), ("Line1", 2), ("Action1", 3))
TRIGGER_ACTIVATIONS = (("RisingEdge", 0), ("FallingEdge", 1), ("AnyEdge", 2))
MAX_BINNING = 4
PRIVILEGES = (("OpenAccess", 0), ("ExclusiveAccess", 1), ("ControlAccess", 2))
_OF_FRAME_START = ("TriggerMode", "TriggerSource", "TriggerActivation", "TriggerDelay", "TriggerSoftware")

_CHOICES: tuple[tuple[str, str, str, tuple[tuple[str, int], ...], tuple[str, ...]], ...] = (
    ("ExposureMode", ACQUISITION, "How the exposure is set.", (("Timed", 1),), ()),
    ("TriggerSelector", ACQUISITION, "Which trigger is set up.", (("FrameStart", 0),), _OF_FRAME_START),
    ("TriggerMode", ACQUISITION, "On: one frame for each trigger.", (("Off", 0), ("On", 1)), ()),
    ("TriggerSource", ACQUISITION, "Where the trigger comes from.", TRIGGER_SOURCES, ()),
    ("TriggerActivation", ACQUISITION, "Which edge of a line triggers.", TRIGGER_ACTIVATIONS, ()),
    ("GainSelector", ANALOG, "Which gain is set up.", (("All", 0),), ("Gain",)),
)


def feature_table(config: VirtualCameraConfig) -> FeatureTable:
    """Return every feature of a camera of this configuration, in the order of the XML."""
    table = FeatureTable()
    bootstrap = {register.name: register for register in bootstrap_registers(config)}
    _device(table, bootstrap)
    _image(table, config)
    _acquisition(table)
    _transport(table, bootstrap)
    _stream_channel(table, bootstrap)
    add_chunks(table, config)
    add_events(table, bootstrap)
    add_actions(table, bootstrap)
    add_inputs(table)
    add_ptp(table, bootstrap)
    return table


def _device(table: FeatureTable, bootstrap: dict[str, Register]) -> None:
    for name, register, tooltip in (
        ("DeviceVendorName", "VendorName", "Who makes the camera."),
        ("DeviceModelName", "ModelName", "Model of the camera."),
        ("DeviceManufacturerInfo", "ManufacturerInfo", "More about the camera."),
        ("DeviceVersion", "DeviceVersion", "Version of the camera."),
        ("DeviceSerialNumber", "SerialNumber", "Serial number."),
        ("DeviceID", "SerialNumber", "Serial number, under its former name."),
        ("DeviceUserID", "UserDefinedName", "Name given by the user."),
    ):
        table.show(bootstrap[register], name, DEVICE, STRING, tooltip)
    table.add("DeviceReset", DEVICE, COMMAND, "Power cycle: control and settings are lost.")
    table.show(
        bootstrap["HeartbeatTimeout"],
        "DeviceLinkHeartbeatTimeout",
        DEVICE,
        FLOAT,
        "Control is released when the application is silent for this long.",
        unit="us",
        scale=1000.0,
        volatile=True,
    )
    link_speed = bootstrap["LinkSpeed"]
    tooltip = "Speed of the link."
    table.show(link_speed, "DeviceLinkSpeed", DEVICE, INTEGER, tooltip, unit="Bps", scale=125_000)
    control, value = bootstrap["TimestampControl"], bootstrap["TimestampValue"]
    tooltip = "Copy the current timestamp to TimestampLatchValue."
    table.show(control, "TimestampLatch", DEVICE, COMMAND, tooltip, command_value=2)
    tooltip = "Timestamp at the last latch."
    table.show(value, "TimestampLatchValue", DEVICE, INTEGER, tooltip, unit="ns", volatile=True)


def _image(table: FeatureTable, config: VirtualCameraConfig) -> None:
    for side, offset, pixels in (("Width", "OffsetX", config.width), ("Height", "OffsetY", config.height)):
        for name, tooltip in (
            (f"Sensor{side}", f"{side} of the sensor."),
            (f"{side}Max", f"Largest {side} of the region, with the binning of now."),
        ):
            table.add(name, IMAGE, INTEGER, tooltip, unit="px", visibility=Visibility.EXPERT, volatile=True)
        for name, other, minimum, maximum, tooltip in (
            (side, offset, MIN_REGION_PX, pixels, f"{side} of the region that is sent."),
            (offset, side, 0, pixels - MIN_REGION_PX, "Start of the region on the sensor."),
        ):
            table.add(
                name,
                IMAGE,
                INTEGER,
                tooltip,
                access=Access.RW,
                minimum=minimum,
                maximum=maximum,
                increment=REGION_STEP_PX,
                locked=True,
                unit="px",
                limited_by=other,
                limit=f"{side}Max",
                volatile=True,  # binning changes it
            )
    for axis in ("Horizontal", "Vertical"):
        table.add(
            f"Binning{axis}",
            IMAGE,
            INTEGER,
            "Neighbours that are averaged into one pixel: 1, 2 or 4.",
            access=Access.RW,
            minimum=1,
            maximum=MAX_BINNING,
            allowed=frozenset((1, 2, 4)),
            locked=True,
        )
    formats = tuple((each.sfnc_name, each.code) for each in config.pixel_formats)
    table.add("PixelFormat", IMAGE, ENUMERATION, "Format of the pixels.", entries=formats, locked=True)


def _acquisition(table: FeatureTable) -> None:
    modes, tooltip = ACQUISITION_MODES, "How many frames one start gives."
    table.add("AcquisitionMode", ACQUISITION, ENUMERATION, tooltip, entries=modes, locked=True)
    table.add("AcquisitionStart", ACQUISITION, COMMAND, "Start the acquisition.")
    table.add("AcquisitionStop", ACQUISITION, COMMAND, "Stop the acquisition.")
    table.add(
        "AcquisitionFrameCount",
        ACQUISITION,
        INTEGER,
        "Frames of AcquisitionMode MultiFrame.",
        access=Access.RW,
        minimum=1,
        maximum=65535,
        locked=True,
    )
    tooltip = "Whether AcquisitionFrameRate sets the rate; else exposure and link do."
    table.add("AcquisitionFrameRateEnable", ACQUISITION, BOOLEAN, tooltip)
    for name, category, tooltip, minimum, maximum, unit in (
        ("AcquisitionFrameRate", ACQUISITION, "Frame rate in free run.", *FRAME_RATE_RANGE_HZ, "Hz"),
        ("ExposureTime", ACQUISITION, "Exposure time.", *EXPOSURE_RANGE_US, "us"),
        ("TriggerDelay", ACQUISITION, "From the trigger to the exposure.", 0.0, 1_000_000.0, "us"),
        ("Gain", ANALOG, "Gain.", 0.0, 24.0, "dB"),
    ):
        table.add(name, category, FLOAT, tooltip, minimum=minimum, maximum=maximum, unit=unit)
    for name, category, tooltip, entries, selects in _CHOICES:
        table.add(name, category, ENUMERATION, tooltip, entries=entries, selects=selects)
    table.add("TriggerSoftware", ACQUISITION, COMMAND, "Trigger now, with TriggerSource Software.")


def _transport(table: FeatureTable, bootstrap: dict[str, Register]) -> None:
    expert = Visibility.EXPERT
    tooltip = "Bytes of one block."
    table.add("PayloadSize", TRANSPORT, INTEGER, tooltip, unit="B", visibility=expert, volatile=True)
    table.add(
        "TLParamsLocked",
        TRANSPORT,
        INTEGER,
        "1 while an application acquires.",
        access=Access.RW,
        minimum=0,
        maximum=1,
        visibility=Visibility.INVISIBLE,
    )
    for name, register, tooltip in (
        ("GevCurrentIPAddress", "CurrentIp", "Address of the camera."),
        ("GevCurrentSubnetMask", "CurrentSubnetMask", "Its subnet mask."),
        ("GevCurrentDefaultGateway", "CurrentGateway", "Its gateway."),
    ):
        address = bootstrap[register]
        table.show(address, name, TRANSPORT, INTEGER, tooltip, representation="IPV4Address")
    for name, register, unit, volatile, tooltip in (
        ("GevHeartbeatTimeout", "HeartbeatTimeout", "ms", True, "Silence after which control is released."),
        ("GevTimestampTickFrequency", "TimestampFrequency", "Hz", False, "Timestamp ticks per second."),
        ("GevTimestampValue", "TimestampValue", "ns", True, "Timestamp at the last latch."),
    ):
        shown = bootstrap[register]
        table.show(shown, name, TRANSPORT, INTEGER, tooltip, unit=unit, volatile=volatile)
    control = bootstrap["TimestampControl"]
    tooltip = "Copy the current timestamp to GevTimestampValue."
    table.show(control, "GevTimestampControlLatch", TRANSPORT, COMMAND, tooltip, command_value=2)
    tooltip = "Start the timestamp again at 0."
    table.show(control, "GevTimestampControlReset", TRANSPORT, COMMAND, tooltip, command_value=1)
    privilege = bootstrap["ControlPrivilege"]
    tooltip = "Which control the application has."
    table.show(privilege, "GevCCP", TRANSPORT, ENUMERATION, tooltip, entries=PRIVILEGES, volatile=True)


def _stream_channel(table: FeatureTable, bootstrap: dict[str, Register]) -> None:
    for name, register, representation, tooltip in (
        ("GevStreamChannelCount", "StreamChannels", "", "Stream channels."),
        ("GevSCPHostPort", "StreamHostPort", "", "UDP port of the receiver; 0 sends nothing."),
        ("GevSCDA", "StreamDestination", "IPV4Address", "Address of the receiver."),
        ("GevSCPD", "StreamPacketDelay", "", "Delay between stream packets, in ticks of 1 ns."),
    ):
        shown = bootstrap[register]
        table.show(shown, name, TRANSPORT, INTEGER, tooltip, representation=representation)
    size = bootstrap["StreamPacketSize"]
    for name, kind, bits, unit, tooltip in (
        (
            "GevSCPSPacketSize",
            INTEGER,
            (31, 16),
            "B",
            "Bytes of a stream packet, with all headers from IP on.",
        ),
        ("GevSCPSFireTestPacket", BOOLEAN, (0, 0), "", "Send one test packet of GevSCPSPacketSize."),
        ("GevSCPSDoNotFragment", BOOLEAN, (1, 1), "", "Forbid fragments in the IP header."),
    ):
        table.show(size, name, TRANSPORT, kind, tooltip, unit=unit, bits=bits, volatile=True)
