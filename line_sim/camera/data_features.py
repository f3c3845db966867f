"""Features of chunk data, events, actions, lines, encoder and PTP."""

from line_sim.camera.bootstrap import Configuration
from line_sim.camera.chunks import Chunk
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.event import Event
from line_sim.camera.features import FeatureKind, FeatureTable, Port, Visibility
from line_sim.camera.ptp import PtpState
from line_sim.camera.registers import Access, Register

CHUNK = "ChunkDataControl"
EVENT = "EventControl"
ACTION = "ActionControl"
DIGITAL = "DigitalIOControl"
ENCODER = "EncoderControl"
TRANSPORT = "TransportLayerControl"

INTEGER, FLOAT, BOOLEAN = FeatureKind.INTEGER, FeatureKind.FLOAT, FeatureKind.BOOLEAN
ENUMERATION, COMMAND = FeatureKind.ENUMERATION, FeatureKind.COMMAND

# An application sees an event at an event port from its first byte on: size, id, channel and
# block id (8 bytes), then the timestamp, then the data. With 64 bit block ids all that is 8 later.
_EVENT_TIMESTAMP_AT, _EVENT_DATA_AT = 8, 16
_LATER_WITH_EXTENDED_IDS = ("GevGVSPExtendedIDMode", 8)

_PTP_NAMES = {
    PtpState.INITIALIZING: "Initializing",
    PtpState.FAULTY: "Faulty",
    PtpState.DISABLED: "Disabled",
    PtpState.LISTENING: "Listening",
    PtpState.PRE_MASTER: "PreMaster",
    PtpState.MASTER: "Master",
    PtpState.PASSIVE: "Passive",
    PtpState.UNCALIBRATED: "Uncalibrated",
    PtpState.SLAVE: "Slave",
}


def add_chunks(table: FeatureTable, config: VirtualCameraConfig) -> None:
    entries = tuple((each.sfnc_name, each.selector) for each in Chunk)
    table.add("ChunkModeActive", CHUNK, BOOLEAN, "Whether frames bring chunk data.", locked=True)
    tooltip = "Which chunk is set up."
    table.add("ChunkSelector", CHUNK, ENUMERATION, tooltip, entries=entries, selects=("ChunkEnable",))
    tooltip = "Whether frames bring this chunk."
    table.add("ChunkEnable", CHUNK, BOOLEAN, tooltip, locked=True, volatile=True)
    formats = tuple((each.sfnc_name, each.code) for each in config.pixel_formats)
    for chunk in Chunk:
        port = Port(f"Chunk{chunk.sfnc_name}Port", "ChunkID", chunk.chunk_id)
        kind = FLOAT if chunk.layout == ">d" else INTEGER
        table.deliver(
            port,
            f"Chunk{chunk.sfnc_name}",
            CHUNK,
            ENUMERATION if chunk is Chunk.PIXEL_FORMAT else kind,
            f"{chunk.sfnc_name} of the frame.",
            address=0,
            length=chunk.length,
            signed=chunk.layout == ">q",
            entries=formats if chunk is Chunk.PIXEL_FORMAT else (),
        )


def add_events(table: FeatureTable, bootstrap: dict[str, Register]) -> None:
    entries = tuple((each.sfnc_name, each.selector) for each in Event)
    tooltip = "Which event is set up."
    table.add("EventSelector", EVENT, ENUMERATION, tooltip, entries=entries, selects=("EventNotification",))
    switch, tooltip = (("Off", 0), ("On", 1)), "Whether this event is sent on the message channel."
    table.add("EventNotification", EVENT, ENUMERATION, tooltip, entries=switch, volatile=True)
    for event in Event:
        name = f"Event{event.sfnc_name}"
        port = Port(f"{name}Port", "EventID", event.event_id)
        table.deliver(port, name, EVENT, INTEGER, "Id of the event.", address=2, length=2)
        fields = [("Timestamp", "Device time of the event.", _EVENT_TIMESTAMP_AT)]
        if event.with_frame:
            fields.append(("FrameID", "Number of the frame.", _EVENT_DATA_AT))
        for suffix, tooltip, address in fields:
            table.deliver(
                port,
                name + suffix,
                EVENT,
                INTEGER,
                tooltip,
                address=address,
                length=8,
                indexed_by=_LATER_WITH_EXTENDED_IDS,
            )
    for name, register, representation, tooltip in (
        ("GevMessageChannelCount", "MessageChannels", "", "Message channels."),
        ("GevMCPHostPort", "MessageHostPort", "", "UDP port that takes events; 0 sends none."),
        ("GevMCDA", "MessageDestination", "IPV4Address", "Address that takes events."),
        ("GevMCTT", "MessageTimeout", "", "Milliseconds to the acknowledge; 0 asks for none."),
        ("GevMCRC", "MessageRetries", "", "How often a message is sent again."),
        ("GevMCSP", "MessageSourcePort", "", "UDP port that events come from."),
    ):
        shown = bootstrap[register]
        table.show(shown, name, TRANSPORT, INTEGER, tooltip, representation=representation)


def add_actions(table: FeatureTable, bootstrap: dict[str, Register]) -> None:
    table.add(
        "ActionSelector",
        ACTION,
        INTEGER,
        "Which action is set up; there is one.",
        access=Access.RW,
        minimum=1,
        maximum=1,
        selects=("ActionGroupKey", "ActionGroupMask"),
    )
    for name, tooltip in (
        ("ActionDeviceKey", "Key that an action command must have."),
        ("ActionGroupKey", "Group key that an action command must have."),
        ("ActionGroupMask", "Must share a bit with the group mask of an action command."),
    ):
        table.show(bootstrap[name], name, ACTION, INTEGER, tooltip, representation="HexNumber")
    table.show(
        bootstrap["GvcpConfiguration"],
        "GevActionUnconditional",
        ACTION,
        BOOLEAN,
        "Obey actions while no application has control.",
        bits=_bit(Configuration.UNCONDITIONAL_ACTION),
        volatile=True,
    )


def add_inputs(table: FeatureTable) -> None:
    lines = (("Line0", 0), ("Line1", 1))
    tooltip = "Which line is set up."
    table.add(
        "LineSelector", DIGITAL, ENUMERATION, tooltip, entries=lines, selects=("LineMode", "LineStatus")
    )
    table.add("LineMode", DIGITAL, ENUMERATION, "Direction of the line.", entries=(("Input", 0),))
    tooltip = "Level of the line now."
    table.add("LineStatus", DIGITAL, BOOLEAN, tooltip, access=Access.RO, volatile=True)
    table.add("LineStatusAll", DIGITAL, INTEGER, "Levels of all lines, a bit each.", volatile=True)
    encoders, selects = (("Encoder0", 0),), ("EncoderValue", "EncoderReset")
    tooltip = "Which encoder is set up."
    table.add("EncoderSelector", ENCODER, ENUMERATION, tooltip, entries=encoders, selects=selects)
    table.add("EncoderValue", ENCODER, INTEGER, "Position of the encoder now.", volatile=True, wide=True)
    table.add("EncoderReset", ENCODER, COMMAND, "Set the encoder to 0.")


def add_ptp(table: FeatureTable, bootstrap: dict[str, Register]) -> None:
    entries = tuple((name, int(state)) for state, name in _PTP_NAMES.items())
    expert = Visibility.EXPERT
    table.add("PtpEnable", TRANSPORT, BOOLEAN, "Follow a PTP master.", visibility=expert)
    table.add("PtpDataSetLatch", TRANSPORT, COMMAND, "Take the current PTP values.", visibility=expert)
    tooltip = "State of the PTP clock."
    table.add(
        "PtpStatus",
        TRANSPORT,
        ENUMERATION,
        tooltip,
        entries=entries,
        access=Access.RO,
        volatile=True,
        visibility=expert,
    )
    tooltip = "Device time less the master's."
    table.add(
        "PtpOffsetFromMaster",
        TRANSPORT,
        INTEGER,
        tooltip,
        unit="ns",
        volatile=True,
        wide=True,
        visibility=expert,
    )
    shown, tooltip = bootstrap["GvspConfiguration"], "Send 64 bit block ids and 32 bit packet ids."
    table.show(shown, "GevGVSPExtendedIDMode", TRANSPORT, BOOLEAN, tooltip, bits=(1, 1), volatile=True)


def _bit(flag: Configuration) -> tuple[int, int]:
    """Return the position of a flag, counted from the most significant bit as GenApi does."""
    at = 32 - int(flag).bit_length()
    return at, at
