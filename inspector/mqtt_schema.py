"""The payload of every MQTT topic of the cell, as tables: docs/mqtt.md in checkable form. Pure.

`python -m inspector.mqtt_schema deploy/plc/schemas` writes them as JSON Schema files.
"""

import json
import sys
from pathlib import Path

import msgspec

from inspector.flat import Key, Schema
from inspector.proto import Field, build, proto_text
from inspector.types import Action, CommandKind, Decision, ExplanationSource, Quality, ReasonCode


class Arrival(msgspec.Struct, frozen=True):
    """One message from outside. `received_ns` is CLOCK_MONOTONIC, `utc_offset_ns` UTC minus that."""

    topic: str
    payload: bytes
    retained: bool
    received_ns: int
    utc_offset_ns: int


UTC_ABOUT = "nanoseconds since 1970 UTC"


def _utc(name: str = "utc_ns", about: str = UTC_ABOUT, *, required: bool = True) -> Key:
    return Key(name, "integer", about, required=required, minimum=0)


VERDICT_ID = Key("verdict_id", "string", "unique name of the verdict", min_length=1)
PART_ID = Key("part_id", "string", "the PLC's own name of the part; empty when there is none")
DECISION = Key("decision", "string", "class of the decision", one_of=tuple(Decision))
ACTION = Key("action", "string", "what to do with the part", one_of=tuple(Action))
REASON = Key("reason", "string", "why", one_of=tuple(ReasonCode))

# -- into the cell -------------------------------------------------------------------------------

TRIGGER = Schema(
    "trigger",
    "From the PLC: a part is at the photo-eye.",
    512,
    (
        Key("part_id", "string", "the PLC's own name of the part", min_length=1),
        Key("seq", "integer", "counts triggers", minimum=0),
        _utc(about=f"when the part was at the photo-eye, {UTC_ABOUT}"),
    ),
)
SENSOR = Schema(
    "sensor",
    "From a sensor: one reading.",
    1024,
    (
        Key("seq", "integer", "counts the readings of this sensor", minimum=0),
        Key("kind", "string", "what is measured", min_length=1),
        Key("value", "number", "the reading"),
        Key("unit", "string", "unit of the value, as the site file names it"),
        Key("quality", "string", "GOOD if left out", required=False, one_of=tuple(Quality)),
        Key("urgency", "number", "0 if left out", required=False, minimum=0, maximum=1),
        _utc(about=f"when it was measured, {UTC_ABOUT}", required=False),
    ),
)
COMMAND = Schema(
    "command",
    "From the operator or the PLC.",
    512,
    (
        Key(
            "command",
            "string",
            "RESET unlatches an emergency, START and STOP change the state,"
            " SELECT_RECIPE changes what is inspected while stopped",
            one_of=tuple(CommandKind),
        ),
        Key(
            "recipe",
            "string",
            "name of a recipe of the site file",
            min_length=1,
            only_with=("command", CommandKind.SELECT_RECIPE.value),
        ),
        Key("source", "string", "who commands", min_length=1),
    ),
)
ACK = Schema(
    "ack",
    "From the PLC: what it did with a verdict.",
    512,
    (VERDICT_ID, PART_ID, ACTION, _utc()),
)

# -- out of the cell -----------------------------------------------------------------------------

VERDICT = Schema(
    "verdict",
    "To the PLC: the one final word on a part.",
    512,
    (
        VERDICT_ID,
        PART_ID,
        Key("seq", "integer", "counts verdicts, from 1, without gaps", minimum=1),
        DECISION,
        ACTION,
        REASON,
        Key("cause", "string", "the label or sensor that decided it, or empty"),
        Key("missing", "string", "evidence that should have been there, joined by commas"),
        Key("confidence", "number", "of the decision", minimum=0, maximum=1),
        Key("p_defect", "number", "-1 when nothing is known", minimum=-1, maximum=1),
        Key("failsafe", "boolean", "the action is the configured failsafe"),
        Key("skew_ms", "number", "largest distance of the evidence from the trigger", minimum=0),
        Key("latency_ms", "number", "last frame complete to this message, or -1", minimum=-1),
        _utc("trigger_utc_ns", f"when the part passed the photo-eye, {UTC_ABOUT}"),
        _utc("valid_until_utc_ns", f"do not act on it later, {UTC_ABOUT}"),
        Key("model", "string", "first 12 digits of its SHA-256", max_length=12),
        Key("config", "string", "first 12 digits of its SHA-256", max_length=12),
        Key("ok", "boolean", "pass the part; never together with ng"),
        Key("ng", "boolean", "reject the part; never together with ok"),
        Key("ready", "boolean", "always last: the message is whole", always=True),
    ),
)
UNDELIVERED = Schema(
    "undelivered",
    "To the PLC: a verdict that could not be delivered while it was valid. For the record only.",
    512,
    (VERDICT_ID, PART_ID, DECISION, ACTION, REASON, _utc("expired_utc_ns")),
)
EXPLANATION = Schema(
    "explanation",
    "To people: follows the verdict of the same id.",
    4096,
    (
        VERDICT_ID,
        PART_ID,
        Key("text", "string", "the explanation", max_length=3000),
        Key("cause", "string", "likely cause", max_length=400),
        Key("recommended_action", "string", "what to do", max_length=400),
        Key("source", "string", "who wrote it", one_of=tuple(ExplanationSource)),
        Key("latency_ms", "number", "time it took", minimum=0),
    ),
)
FAULT = Schema(
    "fault",
    "To people: something is wrong with the cell itself.",
    1024,
    (
        Key("service", "string", "which service says it"),
        Key("code", "string", "stable code"),
        Key("text", "string", "what to do", max_length=240),  # an S7 STRING holds 254
        PART_ID,
        Key("camera_id", "string", "the camera, or empty"),
        _utc(),
    ),
)
STATE = Schema(
    "state",
    "Retained: operational state of the cell, after OPC 40100-1.",
    512,
    (
        Key("state", "string", "state name of OPC 40100-1", min_length=1),
        Key("emergency_latched", "boolean", "an emergency waits for RESET"),
        Key("recipe", "string", "the recipe in use; empty: the site file as it stands"),
        _utc(),
    ),
)
AVAILABILITY = Schema(
    "availability",
    "Retained, and the Last Will: is the cell there?",
    128,
    (Key("available", "boolean", "false: rely on nothing from this cell"),),
)
HEARTBEAT = Schema(
    "heartbeat",
    "Once a second: alarm when it stops counting.",
    128,
    (Key("count", "integer", "grows by one", minimum=0), _utc()),
)

# Small controllers decode these few bytes without a JSON parser.
HEARTBEAT_MESSAGES = {
    "Heartbeat": (
        Field("count", 1, "uint32"),
        Field("utc_ns", 2, "uint64"),
        Field("emergency_latched", 3, "bool"),
    )
}
HEARTBEAT_PB_MAX_BYTES = 24
Heartbeat = build("inspector.v1", HEARTBEAT_MESSAGES)["Heartbeat"]

SCHEMAS = (
    TRIGGER,
    SENSOR,
    COMMAND,
    ACK,
    VERDICT,
    UNDELIVERED,
    EXPLANATION,
    FAULT,
    STATE,
    AVAILABILITY,
    HEARTBEAT,
)


def json_schema_files() -> dict[str, str]:
    """Return file name to text for every payload: JSON Schema, and the heartbeat's .proto."""
    files = {f"{schema.name}.json": json.dumps(schema.json_schema(), indent=2) + "\n" for schema in SCHEMAS}
    about = f"BASE/heartbeat/pb, once a second, at most {HEARTBEAT_PB_MAX_BYTES} bytes. count wraps."
    return {**files, "heartbeat.proto": proto_text("inspector.v1", about, HEARTBEAT_MESSAGES)}


if __name__ == "__main__":
    for file_name, text in json_schema_files().items():
        (Path(sys.argv[1]) / file_name).write_text(text, encoding="ascii")
