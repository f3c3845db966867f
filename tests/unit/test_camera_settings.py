"""Settings on a real feature map (the reference GenApi), without a camera."""

from typing import Any

import pytest
from genicam import genapi
from hypothesis import given
from hypothesis import strategies as st

from inspector.camera.settings import apply_settings, read_value
from inspector.config import SfncValue
from inspector.errors import ConfigError

XML = """<?xml version="1.0" encoding="utf-8"?>
<RegisterDescription ModelName="T" VendorName="T" StandardNameSpace="None" SchemaMajorVersion="1"
 SchemaMinorVersion="1" SchemaSubMinorVersion="0" MajorVersion="1" MinorVersion="0" SubMinorVersion="0"
 ProductGuid="11111111-1111-1111-1111-111111111111" VersionGuid="11111111-1111-1111-1111-111111111112"
 xmlns="http://www.genicam.org/GenApi/Version_1_1">
<Category Name="Root"><pFeature>Width</pFeature><pFeature>ExposureTime</pFeature>
<pFeature>TriggerMode</pFeature><pFeature>ChunkModeActive</pFeature><pFeature>DeviceTemperature</pFeature>
<pFeature>OffsetX</pFeature><pFeature>TriggerSelector</pFeature><pFeature>Gain</pFeature>
<pFeature>AcquisitionStart</pFeature><pFeature>UserSetLoad</pFeature></Category>
<Enumeration Name="TriggerSelector"><EnumEntry Name="FrameStart"><Value>0</Value></EnumEntry>
<EnumEntry Name="LineStart"><Value>1</Value></EnumEntry><Value>0</Value>
<pSelected>TriggerMode</pSelected></Enumeration>
<Float Name="Gain"><Value>0</Value><Min>0</Min><Max>24</Max><Inc>0.1</Inc><Unit>dB</Unit></Float>
<Command Name="AcquisitionStart"><Value>0</Value><CommandValue>1</CommandValue></Command>
<Command Name="UserSetLoad"><Value>0</Value><CommandValue>1</CommandValue></Command>
<Integer Name="Width"><Value>640</Value><Min>16</Min><Max>1280</Max><Inc>4</Inc></Integer>
<Integer Name="OffsetX"><pIsAvailable>Never</pIsAvailable><Value>0</Value></Integer>
<Integer Name="Never"><Value>0</Value></Integer>
<Float Name="ExposureTime"><Value>1000</Value><Min>10</Min><Max>1000000</Max><Unit>us</Unit></Float>
<Float Name="DeviceTemperature"><ImposedAccessMode>RO</ImposedAccessMode><Value>41.5</Value></Float>
<Enumeration Name="TriggerMode"><EnumEntry Name="Off"><Value>0</Value></EnumEntry>
<EnumEntry Name="On"><Value>1</Value></EnumEntry><Value>0</Value></Enumeration>
<Boolean Name="ChunkModeActive"><Value>0</Value></Boolean>
</RegisterDescription>"""


@pytest.fixture(scope="module")
def nodes() -> Any:
    node_map = genapi.NodeMap()
    node_map.load_xml_from_string(XML)
    return node_map


def test_values_are_written_and_read_back(nodes: Any) -> None:
    wanted: dict[str, SfncValue] = {
        "Width": 800,
        "ExposureTime": 250,
        "TriggerMode": "On",
        "ChunkModeActive": True,
    }
    assert apply_settings(nodes, wanted, "cam1") == {**wanted, "ExposureTime": 250.0}
    assert read_value(nodes, "Width") == 800
    assert read_value(nodes, "Nonesuch") is None
    assert read_value(nodes, "OffsetX") is None


@pytest.mark.parametrize(("bare", "meant"), [(True, "On"), (False, "Off")])
def test_a_bare_on_of_yaml_is_understood(nodes: Any, bare: bool, meant: str) -> None:
    assert apply_settings(nodes, {"TriggerMode": bare}, "cam1") == {"TriggerMode": meant}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("Width", 1281, "allowed is 16 to 1280 in steps of 4"),
        ("Width", 18, "allowed is 16 to 1280 in steps of 4"),
        ("Width", 640.0, "give a whole number from 16 to 1280"),
        ("Width", True, "give a whole number"),
        ("ExposureTime", 5.0, "allowed is 10 to 1e+06 us"),
        ("ExposureTime", float("nan"), "give a number from 10"),
        ("Gain", 0.25, "allowed are steps of 0.1 from 0; near it are 0.2 and 0.3"),
        ("AcquisitionStart", True, "leave it out"),
        ("UserSetLoad", 1, "the only value is true"),
        ("ExposureTime", "long", "give a number from 10"),
        ("TriggerMode", "Maybe", "allowed is Off, On"),
        ("TriggerMode", 1, "allowed is Off, On"),
        ("ChunkModeActive", "yes", "give true or false"),
        ("DeviceTemperature", 20.0, "does not let this feature be written now (it is 41.5)"),
        ("OffsetX", 1, "does not let this feature be written now"),
        ("ExposureTim", 10.0, "no such feature, did you mean ExposureTime"),
        ("Zzz", 10.0, "no such feature"),
        ("_get_node", 1, "no such feature"),
        ("get_node", 1, "no such feature"),
    ],
)
def test_a_mistake_is_one_line_with_all_names(nodes: Any, name: str, value: SfncValue, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_settings(nodes, {name: value}, "cam7")
    message = str(caught.value)
    assert message.startswith(f"camera cam7: {name} = {value!r} is wrong: ")
    assert told in message
    assert "\n" not in message


@given(
    name=st.sampled_from(["Width", "ExposureTime", "TriggerMode", "ChunkModeActive", "Root"]),
    value=st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
)
def test_any_value_is_taken_or_refused_in_words(nodes: Any, name: str, value: SfncValue) -> None:
    told = ""
    try:
        apply_settings(nodes, {name: value}, "cam1")
    except ConfigError as error:
        told = str(error)
    assert told == "" or f"cam1: {name} = " in told


def test_steps_of_a_float_are_taken(nodes: Any) -> None:
    assert apply_settings(nodes, {"Gain": 0.3, "UserSetLoad": True}, "cam1")["Gain"] == pytest.approx(0.3)


def test_a_selector_must_stand_before_what_it_selects(nodes: Any) -> None:
    right: dict[str, SfncValue] = {"TriggerSelector": "FrameStart", "TriggerMode": "On"}
    assert apply_settings(nodes, right, "cam1") == right
    with pytest.raises(ConfigError, match="put TriggerSelector before TriggerMode") as caught:
        apply_settings(nodes, dict(reversed(right.items())), "cam1")
    assert "\n" not in str(caught.value)


def test_a_name_may_say_which_one_it_means(nodes: Any) -> None:
    apply_settings(nodes, {"TriggerMode[LineStart]": "Off", "TriggerMode[FrameStart]": "On"}, "cam1")
    assert read_value(nodes, "TriggerSelector") == "FrameStart"
    assert read_value(nodes, "TriggerMode") == "On"
    for name, told in (
        ("TriggerMode[Never]", "TriggerSelector = 'Never' is wrong: allowed is FrameStart, LineStart"),
        ("Width[FrameStart]", "no feature selects Width"),
        ("Nonesuch[FrameStart]", "no feature selects Nonesuch"),
    ):
        with pytest.raises(ConfigError, match="cam1") as caught:
            apply_settings(nodes, {name: "On"}, "cam1")
        assert told in str(caught.value)
