"""The GenICam description file, made from the feature table (GenApi schema 1.1)."""

import io
import zipfile
from xml.etree import ElementTree as Xml

from line_sim.camera.features import Feature, FeatureKind, FeatureTable
from line_sim.camera.registers import Access, Kind

XML_BASE = 0x0010_0000
_NAMESPACE = "http://www.genicam.org/GenApi/Version_1_1"


def description(table: FeatureTable, *, vendor: str, model: str) -> bytes:
    """Return the XML file. The elements of a node stand in the order that the schema asks for."""
    root = Xml.Element(
        "RegisterDescription",
        {
            "ModelName": model,
            "VendorName": vendor,
            "ToolTip": "Virtual GigE Vision camera",
            "StandardNameSpace": "GEV",
            "SchemaMajorVersion": "1",
            "SchemaMinorVersion": "1",
            "SchemaSubMinorVersion": "0",
            "MajorVersion": "1",
            "MinorVersion": "0",
            "SubMinorVersion": "0",
            "ProductGuid": "7C9A51A2-3C35-4D6B-9E0C-53F8C6E5A101",
            "VersionGuid": "7C9A51A2-3C35-4D6B-9E0C-53F8C6E5A102",
            "xmlns": _NAMESPACE,
        },
    )
    categories: dict[str, list[str]] = {}
    for feature in table.features:
        categories.setdefault(feature.category, []).append(feature.name)
    _category(root, "Root", list(categories))
    for name, members in categories.items():
        _category(root, name, members)
    for feature in table.features:
        if feature.kind is FeatureKind.STRING:
            _register(root, feature, "StringReg", feature.name)
        else:
            _feature(root, feature)
    port = Xml.SubElement(root, "Port", {"Name": "Device", "NameSpace": "Standard"})
    _text(port, "ToolTip", "Registers of the camera")
    for other in dict.fromkeys(feature.port for feature in table.features):
        if other is not None:
            port = Xml.SubElement(root, "Port", {"Name": other.name})
            _text(port, other.tag, f"{other.number:04X}")  # hexadecimal, whole bytes
    Xml.indent(root)
    content: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def zipped(xml: bytes, name: str) -> bytes:
    """Return a ZIP with the one file `name`; the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)),
            xml,
            compress_type=zipfile.ZIP_DEFLATED,
        )
    return buffer.getvalue()


def local_url(file_name: str, length: int) -> str:
    """Return the URL of a file in the device's memory. The length is exact, not rounded up."""
    return f"Local:{file_name};{XML_BASE:X};{length:X}"


def _text(parent: Xml.Element, tag: str, text: object) -> None:
    Xml.SubElement(parent, tag).text = str(text)


def _category(root: Xml.Element, name: str, members: list[str]) -> None:
    node = Xml.SubElement(root, "Category", {"Name": name, "NameSpace": "Standard"})
    for member in members:
        _text(node, "pFeature", member)


def _feature(root: Xml.Element, feature: Feature) -> None:
    node = Xml.SubElement(root, feature.kind.value, {"Name": feature.name, "NameSpace": "Standard"})
    _common(node, feature)
    register_name = f"{feature.name}Reg"
    value_name = register_name
    if feature.scale != 1.0:
        value_name = f"{feature.name}Conversion"
    if feature.kind is FeatureKind.ENUMERATION:
        for entry, value in feature.entries:
            entry_node = Xml.SubElement(node, "EnumEntry", {"Name": entry, "NameSpace": "Standard"})
            _text(entry_node, "Value", value)
    _text(node, "pValue", value_name)
    if feature.kind is FeatureKind.COMMAND:
        _text(node, "CommandValue", feature.command_value)
    if feature.kind is FeatureKind.BOOLEAN:
        _text(node, "OnValue", 1)
        _text(node, "OffValue", 0)
    if feature.kind in (FeatureKind.INTEGER, FeatureKind.FLOAT):
        _limits(node, feature)
    for selected in feature.selects:
        _text(node, "pSelected", selected)
    if feature.limited_by:
        _maximum(root, feature)
    if feature.scale != 1.0:
        _conversion(root, feature, value_name, register_name)
    _register(root, feature, _register_tag(feature), register_name)


def _common(node: Xml.Element, feature: Feature) -> None:
    _text(node, "ToolTip", feature.tooltip)
    _text(node, "Visibility", feature.visibility.value)
    if feature.register.locked:
        _text(node, "pIsLocked", "TLParamsLocked")
    if feature.register.access is Access.RO:
        _text(node, "ImposedAccessMode", "RO")


def _limits(node: Xml.Element, feature: Feature) -> None:
    register = feature.register
    integer = feature.kind is FeatureKind.INTEGER
    scale = feature.scale
    if register.minimum is not None:
        low = register.minimum * scale
        _text(node, "Min", int(low) if integer else low)
    if feature.limited_by:
        _text(node, "pMax", f"{feature.name}Maximum")
    elif register.maximum is not None:
        high = register.maximum * scale
        _text(node, "Max", int(high) if integer else high)
    if integer and register.increment > 1:
        _text(node, "Inc", register.increment)
    if feature.representation:
        _text(node, "Representation", feature.representation)
    if feature.unit:
        _text(node, "Unit", feature.unit)


def _maximum(root: Xml.Element, feature: Feature) -> None:
    node = Xml.SubElement(root, "IntSwissKnife", {"Name": f"{feature.name}Maximum"})
    # The register, not the feature: two features whose limits depend on each other are a cycle
    # to the reference GenApi.
    Xml.SubElement(node, "pVariable", {"Name": "TOTAL"}).text = f"{feature.limit}Reg"
    Xml.SubElement(node, "pVariable", {"Name": "OTHER"}).text = f"{feature.limited_by}Reg"
    _text(node, "Formula", "TOTAL - OTHER")


def _conversion(root: Xml.Element, feature: Feature, name: str, register_name: str) -> None:
    integer = feature.kind is FeatureKind.INTEGER
    node = Xml.SubElement(root, "IntConverter" if integer else "Converter", {"Name": name})
    scale = int(feature.scale) if integer else feature.scale
    _text(node, "FormulaTo", f"FROM / {scale}")
    _text(node, "FormulaFrom", f"TO * {scale}")
    _text(node, "pValue", register_name)
    _text(node, "Slope", "Increasing")


def _register_tag(feature: Feature) -> str:
    if feature.bits is not None:
        return "MaskedIntReg"
    return "FloatReg" if feature.register.kind is Kind.FLOAT else "IntReg"


def _register(root: Xml.Element, feature: Feature, tag: str, name: str) -> None:
    node = Xml.SubElement(root, tag, {"Name": name})
    register = feature.register
    if tag == "StringReg":
        node.set("NameSpace", "Standard")
        _text(node, "ToolTip", feature.tooltip)
        _text(node, "Visibility", feature.visibility.value)
    _text(node, "Address", f"0x{register.address:X}")
    if feature.indexed_by:
        index, step = feature.indexed_by
        Xml.SubElement(node, "pIndex", {"Offset": str(step)}).text = f"{index}Reg"
    _text(node, "Length", register.length)
    _text(node, "AccessMode", feature.register.access.value)
    _text(node, "pPort", feature.port.name if feature.port else "Device")
    if feature.volatile or register.access is Access.WO:
        _text(node, "Cachable", "NoCache")
    if feature.bits is not None:
        low, high = feature.bits
        if low == high:
            _text(node, "Bit", low)
        else:
            _text(node, "LSB", low)
            _text(node, "MSB", high)
    if tag in ("IntReg", "MaskedIntReg"):
        _text(node, "Sign", "Signed" if feature.signed else "Unsigned")
    if tag != "StringReg":
        _text(node, "Endianess", "BigEndian")
