"""The PLC kit: generated files are those of the tables; the samples use keys and sizes that exist."""

import json
import re
from pathlib import Path

import pytest

from inspector.flat import Schema
from inspector.mqtt_schema import ACK, COMMAND, SCHEMAS, TRIGGER, VERDICT
from inspector.plc.payload_reference import files
from inspector.topics import MqttTopics

KIT = Path(__file__).parents[2] / "deploy" / "plc"
SAMPLES = sorted([*KIT.glob("codesys/*.st"), *KIT.glob("siemens/*.scl"), *KIT.glob("siemens/*.udt")])
KEY_OF_CALL = re.compile(r"Json(?:Find|Text|Whole|True)\"?\(\s*(?:pData, nLen, |key := )'(\w+)'")
NODE_RED_CORE = {
    *("tab", "mqtt-broker", "mqtt in", "mqtt out", "function", "debug", "inject"),
    *("trigger", "switch", "change"),
}


def test_generated_files_are_those_of_the_tables() -> None:
    hint = "run: python -m inspector.plc.payload_reference deploy/plc"
    for name, text in files().items():
        assert (KIT / name).read_text(encoding="ascii") == text, hint


def test_every_payload_is_in_the_reference() -> None:
    text = (KIT / "payloads.md").read_text()
    for schema in SCHEMAS:
        assert f"## {schema.name}\n" in text
        assert all(f"`{key.name}`" in text for key in schema.keys)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_plain_and_its_blocks_are_closed(path: Path) -> None:
    text = re.sub(r"//.*", "", path.read_text(encoding="ascii"))
    for word in ("IF", "FOR", "WHILE", "FUNCTION", "FUNCTION_BLOCK", "STRUCT", "TYPE"):
        opened = len(re.findall(rf"(?<![A-Z_]){word}(?![A-Z_])", text))
        assert opened == text.count(f"END_{word}") - (
            text.count("END_FUNCTION_BLOCK") if word == "FUNCTION" else 0
        ), word
    assert len(re.findall(r"^\s*VAR", text, re.M)) == text.count("END_VAR")
    assert text.count("(") == text.count(")")


@pytest.mark.parametrize("name", ["codesys/FB_InspectorVerdict.st", "siemens/InspectorVerdict.scl"])
def test_a_subscriber_reads_keys_that_exist_into_fields_that_exist(name: str) -> None:
    text = (KIT / name).read_text()
    keys = set(KEY_OF_CALL.findall(text))
    assert keys >= {"verdict_id", "part_id", "decision", "valid_until_utc_ns", "ok", "ng", "ready"}
    assert keys <= {key.name for key in VERDICT.keys}
    structure = files()["codesys/ST_InspectorVerdict.st"]
    for field in re.findall(r"[vV]erdict\.(\w+) :=", text):
        assert re.search(rf"^ +{field} :", structure, re.M), field
    assert f"0..{VERDICT.max_bytes - 1}] of byte" in text.lower(), "the buffer holds the longest verdict"
    assert max(len(key) for key in keys) <= 32


def test_everything_that_a_plc_gets_fits_the_smallest_default() -> None:
    # CODESYS MQTT Client SL: payload 4096 bytes, topic 10 levels; S7 STRING 254 characters.
    for schema in SCHEMAS:
        assert schema.max_bytes <= 4096
        if schema.name != "explanation":
            assert max((k.max_length for k in schema.keys if k.type == "string"), default=0) <= 254
    assert MqttTopics("a/b/c/d/e/f").heartbeat_pb.count("/") + 1 <= 10


def flow() -> list[dict[str, object]]:
    nodes: list[dict[str, object]] = json.loads((KIT / "node-red" / "flow.json").read_text())
    return nodes


def test_the_flow_uses_core_nodes_that_are_wired_to_each_other() -> None:
    nodes = flow()
    ids = [node["id"] for node in nodes]
    assert len(ids) == len(set(ids))
    assert {node["type"] for node in nodes} == NODE_RED_CORE
    for node in nodes:
        wires = node.get("wires", [])
        assert isinstance(wires, list)
        assert all(target in ids for output in wires for target in output)
        assert node.get("broker", "inspector_broker") in ("inspector_broker", "127.0.0.1")
        assert node["type"] in ("tab", "mqtt-broker") or node["z"] == "inspector_tab"


def test_the_flow_speaks_of_topics_and_keys_that_exist() -> None:
    topics = MqttTopics("acme/plant1/hall1/line1/cell1")
    known = {f"{topics.base}/{schema.name}" for schema in SCHEMAS}
    for node in flow():
        if str(node["type"]).startswith("mqtt "):
            assert node["topic"] in known
    functions = {str(node["id"]): str(node["func"]) for node in flow() if node["type"] == "function"}
    read = set(re.findall(r"verdict\.(\w+)", functions["judge"]))
    assert read <= {key.name for key in VERDICT.keys}
    for name, schema in (("judge", ACK), ("make_trigger", TRIGGER)):
        assert required(schema) <= set(re.findall(r"\w+", functions[name]))
    for node in flow():
        if node["type"] == "inject" and "payload" in node:
            COMMAND.decode(str(node["payload"]).encode())


def required(schema: Schema) -> set[str]:
    return {key.name for key in schema.keys if key.required}
