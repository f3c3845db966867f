"""The GenICam file, read by the reference GenApi over the device's own registers."""

import io
import zipfile

import pytest
from genicam import genapi

from line_sim.camera import VirtualCameraConfig
from line_sim.camera.chunks import Chunk, trailing
from line_sim.camera.feature_list import feature_table
from line_sim.camera.features import FeatureKind
from line_sim.camera.memory import device_memory
from line_sim.camera.registers import Access, RegisterMap

CONFIG = VirtualCameraConfig(width=640, height=480)


def description(memory: RegisterMap) -> str:
    scheme, _, rest = memory.text("XmlUrl0").partition(":")
    name, address, length = rest.split(";")
    assert scheme == "Local"
    content = memory.read(int(address, 16), int(length, 16))
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    # The length is exact: the end-of-archive record, without a comment, is the last 22 bytes.
    assert content[-22:-18] == b"PK\x05\x06"
    return archive.read(name.replace(".zip", ".xml")).decode()


class MemoryPort(genapi.AbstractPort):  # type: ignore[misc]
    def __init__(self, memory: RegisterMap) -> None:
        super().__init__()
        self.memory = memory

    def read(self, address: int, length: int) -> bytes:
        return self.memory.read(address, length)

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(address, bytes(data), acquiring=False)

    def is_open(self) -> bool:
        return True

    def get_access_mode(self) -> int:
        return int(genapi.EAccessMode.RW)


class Nodes:
    def __init__(self) -> None:
        self.memory = device_memory(CONFIG)
        self.map = genapi.NodeMap()
        self.map.load_xml_from_string(description(self.memory))
        self.port = MemoryPort(self.memory)
        self.map.connect(self.port, "Device")

    def __getitem__(self, name: str) -> genapi.INode:
        return self.map.get_node(name)


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


def test_every_feature_is_there_and_can_be_read(nodes: Nodes) -> None:
    for feature in feature_table(CONFIG).features:
        node = nodes[feature.name]
        assert node is not None, feature.name
        if feature.port is not None:
            continue  # readable once a frame or an event has come
        if feature.register.access is not Access.WO and feature.kind is not FeatureKind.COMMAND:
            assert node.to_string() != "" or feature.kind is FeatureKind.STRING, feature.name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Width", 640),
        ("Height", 480),
        ("PixelFormat", "Mono8"),
        ("PayloadSize", 640 * 480),
        ("DeviceVendorName", "inspector"),
        ("DeviceSerialNumber", "SIM-0001"),
        ("GevSCPSPacketSize", 1500),
        ("GevTimestampTickFrequency", 1_000_000_000),
        ("DeviceLinkSpeed", 125_000_000),
        ("DeviceLinkHeartbeatTimeout", 3_000_000.0),
        ("AcquisitionFrameRateEnable", True),
        ("TriggerMode", "Off"),
    ],
)
def test_values_at_power_up(nodes: Nodes, name: str, value: object) -> None:
    assert nodes[name].value == value


def test_writing_through_the_features_sets_the_registers(nodes: Nodes) -> None:
    nodes["ExposureTime"].value = 1234.5
    nodes["TriggerSource"].value = "Line1"
    nodes["DeviceUserID"].value = "top-view"
    nodes["DeviceLinkHeartbeatTimeout"].value = 5_000_000.0
    nodes["GevSCPSDoNotFragment"].value = True
    nodes["GevSCPSPacketSize"].value = 8000
    assert nodes.memory.floating("ExposureTime") == 1234.5
    assert nodes.memory.integer("TriggerSource") == 2
    assert nodes.memory.text("UserDefinedName") == "top-view"
    assert nodes.memory.integer("HeartbeatTimeout") == 5000
    assert nodes.memory.integer("StreamPacketSize") == 1 << 30 | 8000


def test_limits_follow_the_region_and_the_lock(nodes: Nodes) -> None:
    assert nodes["OffsetX"].max == 0
    nodes["Width"].value = 320
    assert (nodes["OffsetX"].max, nodes["OffsetX"].inc) == (320, 2)
    nodes["OffsetX"].value = 100
    assert nodes["Width"].max == 540
    nodes["TLParamsLocked"].value = 1
    assert nodes["Width"].get_access_mode() == genapi.EAccessMode.RO
    with pytest.raises(genapi.GenericException):
        nodes["Width"].value = 160


def test_the_reference_genapi_finds_the_chunks_behind_the_pixels(nodes: Nodes) -> None:
    pixels = bytes(640 * 480)
    values: dict[Chunk, float] = {
        Chunk.TIMESTAMP: 123456789012345,
        Chunk.EXPOSURE_TIME: 1234.5,
        Chunk.ENCODER_VALUE: -42,
        Chunk.LINE_STATUS_ALL: 2,
        Chunk.PIXEL_FORMAT: 0x01080001,
    }
    payload = pixels + trailing(len(pixels), values)
    adapter = genapi.ChunkAdapterGEV(nodes.map)
    assert adapter.check_buffer_layout(payload, len(payload))
    adapter.attach_buffer(payload, len(payload))
    names = (
        "ChunkTimestamp",
        "ChunkExposureTime",
        "ChunkEncoderValue",
        "ChunkLineStatusAll",
        "ChunkPixelFormat",
    )
    assert [nodes[name].value for name in names] == [123456789012345, 1234.5, -42, 2, "Mono8"]
    adapter.detach_buffer()
