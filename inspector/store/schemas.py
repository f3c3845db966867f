"""JSON schemas of our messages, in the plain form that MCAP viewers read.

Foxglove and Lichtblick build a type tree from the schema and refuse the whole channel when they
meet `$ref`, `anyOf`, `prefixItems`, an enum without a type or an object without `properties`. So
references are put in place, an optional field is described as the type that it has when set, and
a tuple as an array of its first type. The payload itself is not touched.
"""

from typing import Any

import msgspec

from inspector.types import Message

JsonSchema = dict[str, Any]


def viewer_schema(message_type: type[Message]) -> bytes:
    """Return the JSON schema of a message type, UTF-8 JSON. Our types must not refer to themselves."""
    (root,), definitions = msgspec.json.schema_components((message_type,))
    return msgspec.json.encode(_plain(root, definitions))


def _plain(schema: JsonSchema, definitions: dict[str, JsonSchema]) -> JsonSchema:
    if "anyOf" in schema:
        schema = next(option for option in schema["anyOf"] if option.get("type") != "null")
    if "$ref" in schema:
        return _plain(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if "enum" in schema:
        return {"type": "string", "enum": schema["enum"]}
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {
                "type": "object",
                "description": schema.get("description", ""),
                "properties": {k: _plain(v, definitions) for k, v in properties.items()},
            }
        case "array":
            items = schema["prefixItems"][0] if "prefixItems" in schema else schema["items"]
            return {"type": "array", "items": _plain(items, definitions)}
        case kind:
            # Bytes are base64 in a string, and viewers need to be told.
            kept = {k: v for k, v in schema.items() if k == "contentEncoding"}
            return {"type": kind, **kept}
