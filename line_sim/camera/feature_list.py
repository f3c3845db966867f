"""Which features this camera has."""

from line_sim.camera.bootstrap import bootstrap_registers
from line_sim.camera.config import MIN_PACKET_BYTES, VirtualCameraConfig
from line_sim.camera.features import Feature, FeatureKind, FeatureTable, Visibility
from line_sim.camera.registers import Access, Register

DEVICE = "DeviceControl"
IMAGE = "ImageFormatControl"
ACQUISITION = "AcquisitionControl"
ANALOG = "AnalogControl"
TRANSPORT = "TransportLayerControl"

MIN_EXPOSURE_US, MAX_EXPOSURE_US = 10.0, 1_000_000.0
MIN_FRAME_RATE_HZ, MAX_FRAME_RATE_HZ = 0.1, 2000.0

ACQUISITION_MODES = (("Continuous", 0), ("SingleFrame", 1), ("MultiFrame", 2))
TRIGGER_SOURCES = (("Software", 0), ("Line0", 1), ("Line1", 2))
OFF_ON = (("Off", 0), ("On", 1))


def feature_table(config: VirtualCameraConfig) -> FeatureTable:
    """Return every feature of a camera of this configuration, in the order of the XML."""
    table = FeatureTable()
    bootstrap = {register.name: register for register in bootstrap_registers(config)}
    _device(table, bootstrap)
    _image(table, config)
    _acquisition(table)
    _transport(table, bootstrap, config)
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
        table.over(bootstrap[register], name, DEVICE, FeatureKind.STRING, tooltip)
    table.command("DeviceReset", DEVICE, "Power cycle: control and settings are lost.")
    table.over(
        bootstrap["HeartbeatTimeout"],
        "DeviceLinkHeartbeatTimeout",
        DEVICE,
        FeatureKind.FLOAT,
        "Control is released when the application is silent for this long.",
        unit="us",
        scale=1000.0,
    )
    table.over(
        bootstrap["LinkSpeed"], "DeviceLinkSpeed", DEVICE, FeatureKind.INTEGER,
        "Speed of the link.", unit="Bps", scale=125_000.0,
    )  # fmt: skip


def _image(table: FeatureTable, config: VirtualCameraConfig) -> None:
    for side, pixels in (("Width", config.width), ("Height", config.height)):
        table.integer(f"Sensor{side}", IMAGE, f"{side} of the sensor.", unit="px",
                      visibility=Visibility.EXPERT)  # fmt: skip
        table.integer(f"{side}Max", IMAGE, f"Largest {side}.", unit="px",
                      visibility=Visibility.EXPERT)  # fmt: skip
        offset = "OffsetX" if side == "Width" else "OffsetY"
        table.integer(
            side, IMAGE, f"{side} of the region that is sent.", access=Access.RW, minimum=16,
            maximum=pixels, increment=4, locked=True, unit="px",
            maximum_formula=f"{pixels} - OFFSET", maximum_variables=("OFFSET", offset),
        )  # fmt: skip
        table.integer(
            offset, IMAGE, "Start of the region on the sensor.", access=Access.RW, minimum=0,
            # A multiple of 4 is also one of 2, so that the Bayer phase stays.
            maximum=pixels - 16, increment=4, locked=True, unit="px",
            maximum_formula=f"{pixels} - SIZE", maximum_variables=("SIZE", side),
        )  # fmt: skip
    table.enumeration(
        "PixelFormat", IMAGE, "Format of the pixels.",
        tuple((each.sfnc_name, each.code) for each in config.pixel_formats), locked=True,
    )  # fmt: skip


def _acquisition(table: FeatureTable) -> None:
    table.enumeration("AcquisitionMode", ACQUISITION, "How many frames one start gives.",
                      ACQUISITION_MODES, locked=True)  # fmt: skip
    table.command("AcquisitionStart", ACQUISITION, "Start the acquisition.")
    table.command("AcquisitionStop", ACQUISITION, "Stop the acquisition.")
    table.integer("AcquisitionFrameCount", ACQUISITION, "Frames of AcquisitionMode MultiFrame.",
                  access=Access.RW, minimum=1, maximum=65535, locked=True)  # fmt: skip
    table.boolean("AcquisitionFrameRateEnable", ACQUISITION,
                  "Whether AcquisitionFrameRate sets the rate; else exposure and link do.")  # fmt: skip
    table.floating("AcquisitionFrameRate", ACQUISITION, "Frames per second in free run.",
                   minimum=MIN_FRAME_RATE_HZ, maximum=MAX_FRAME_RATE_HZ, unit="Hz")  # fmt: skip
    table.enumeration("ExposureMode", ACQUISITION, "How exposure is set.", (("Timed", 1),))
    table.floating("ExposureTime", ACQUISITION, "Exposure time.",
                   minimum=MIN_EXPOSURE_US, maximum=MAX_EXPOSURE_US, unit="us")  # fmt: skip
    table.enumeration(
        "TriggerSelector", ACQUISITION, "Which trigger is set up.", (("FrameStart", 0),),
        selects=("TriggerMode", "TriggerSource", "TriggerActivation", "TriggerDelay",
                 "TriggerSoftware"),
    )  # fmt: skip
    table.enumeration("TriggerMode", ACQUISITION, "On: one frame for each trigger.", OFF_ON)
    table.enumeration("TriggerSource", ACQUISITION, "Where the trigger comes from.",
                      TRIGGER_SOURCES)  # fmt: skip
    table.enumeration("TriggerActivation", ACQUISITION, "Which edge triggers.",
                      (("RisingEdge", 0),))  # fmt: skip
    table.floating("TriggerDelay", ACQUISITION, "From the trigger to the exposure.",
                   minimum=0.0, maximum=1_000_000.0, unit="us")  # fmt: skip
    table.command("TriggerSoftware", ACQUISITION, "Trigger now, with TriggerSource Software.")
    table.enumeration("GainSelector", ANALOG, "Which gain is set up.", (("All", 0),),
                      selects=("Gain",))  # fmt: skip
    table.floating("Gain", ANALOG, "Gain.", minimum=0.0, maximum=24.0, unit="dB")


def _transport(table: FeatureTable, bootstrap: dict[str, Register], config: VirtualCameraConfig) -> None:
    table.integer("PayloadSize", TRANSPORT, "Bytes of one block.", unit="B",
                  visibility=Visibility.EXPERT, volatile=True)  # fmt: skip
    table.integer("TLParamsLocked", TRANSPORT, "1 while an application acquires.",
                  access=Access.RW, minimum=0, maximum=1, visibility=Visibility.INVISIBLE)  # fmt: skip
    for name, register, representation, tooltip in (
        ("GevCurrentIPAddress", "CurrentIp", "IPV4Address", "Address of the camera."),
        ("GevCurrentSubnetMask", "CurrentSubnetMask", "IPV4Address", "Its subnet mask."),
        ("GevCurrentDefaultGateway", "CurrentGateway", "IPV4Address", "Its gateway."),
        ("GevStreamChannelCount", "StreamChannels", "", "Stream channels."),
        ("GevSCPHostPort", "StreamHostPort", "", "UDP port of the receiver; 0 sends nothing."),
        ("GevSCDA", "StreamDestination", "IPV4Address", "Address of the receiver."),
    ):
        table.over(bootstrap[register], name, TRANSPORT, FeatureKind.INTEGER, tooltip,
                   representation=representation)  # fmt: skip
    table.over(bootstrap["HeartbeatTimeout"], "GevHeartbeatTimeout", TRANSPORT,
               FeatureKind.INTEGER, "Silence after which control is released.", unit="ms")  # fmt: skip
    table.over(bootstrap["ControlPrivilege"], "GevCCP", TRANSPORT, FeatureKind.ENUMERATION,
               "Which control the application has.", volatile=True,
               entries=(("OpenAccess", 0), ("ExclusiveAccess", 1), ("ControlAccess", 2)))  # fmt: skip
    # Bits are counted from the most significant one, as GenApi does for big-endian registers.
    packet_size = bootstrap["StreamPacketSize"]
    table.features.append(
        Feature(
            name="GevSCPSPacketSize", category=TRANSPORT, kind=FeatureKind.INTEGER,
            register=Register(
                name=packet_size.name, address=packet_size.address, access=packet_size.access,
                minimum=MIN_PACKET_BYTES, maximum=config.max_packet_size, increment=4,
            ),
            tooltip="Bytes of a stream packet, IP and UDP headers included.", unit="B",
            visibility=Visibility.EXPERT, bits=(31, 16), volatile=True,
        )
    )  # fmt: skip
    table.over(packet_size, "GevSCPSFireTestPacket", TRANSPORT, FeatureKind.BOOLEAN,
               "Send one test packet of GevSCPSPacketSize.", bits=(0, 0), volatile=True)  # fmt: skip
    table.over(packet_size, "GevSCPSDoNotFragment", TRANSPORT, FeatureKind.BOOLEAN,
               "Set the bit in the IP header that forbids fragments.", bits=(1, 1),
               volatile=True)  # fmt: skip
    table.over(bootstrap["StreamPacketDelay"], "GevSCPD", TRANSPORT, FeatureKind.INTEGER,
               "Delay between stream packets, in timestamp ticks of 1 ns.")  # fmt: skip
    table.over(bootstrap["TimestampFrequency"], "GevTimestampTickFrequency", TRANSPORT,
               FeatureKind.INTEGER, "Timestamp ticks per second.", unit="Hz")  # fmt: skip
    control = bootstrap["TimestampControl"]
    table.over(control, "GevTimestampControlLatch", TRANSPORT, FeatureKind.COMMAND,
               "Copy the current timestamp to GevTimestampValue.", command_value=2)  # fmt: skip
    table.over(control, "GevTimestampControlReset", TRANSPORT, FeatureKind.COMMAND,
               "Start the timestamp again at 0.", command_value=1)  # fmt: skip
    table.over(bootstrap["TimestampValue"], "GevTimestampValue", TRANSPORT, FeatureKind.INTEGER,
               "Timestamp at the last latch.", unit="ns", volatile=True)  # fmt: skip
    table.over(control, "TimestampLatch", DEVICE, FeatureKind.COMMAND,
               "Copy the current timestamp to TimestampLatchValue.", command_value=2)  # fmt: skip
    table.over(bootstrap["TimestampValue"], "TimestampLatchValue", DEVICE, FeatureKind.INTEGER,
               "Timestamp at the last latch.", unit="ns", volatile=True)  # fmt: skip
