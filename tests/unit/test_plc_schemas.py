"""The payload tables: strict on the way in, checked on the way out, and the files that say so."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.flat import MAX_INT, Key, RefusedError, Schema
from inspector.mqtt_schema import SCHEMAS, SENSOR, VERDICT, json_schema_files

FILES = Path(__file__).parents[2] / "deploy" / "plc" / "schemas"
READING = {"seq": 1, "kind": "vibration", "value": 1.5, "unit": "mm/s"}


def text(**changes: object) -> bytes:
    return json.dumps(READING | changes).encode()


def reason_of(payload: bytes) -> str:
    with pytest.raises(RefusedError) as refused:
        SENSOR.decode(payload)
    return refused.value.reason


@given(st.binary(max_size=1100))
def test_whatever_arrives_is_decoded_or_refused(payload: bytes) -> None:
    text = ""
    try:
        SENSOR.check(SENSOR.decode(payload))
    except RefusedError as refused:
        text = str(refused)
    assert text.isprintable()


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=70), st.lists(st.none())
)


@given(st.dictionaries(st.sampled_from([k.name for k in SENSOR.keys] + ["x"]), SCALARS))
def test_json_of_any_shape_is_decoded_or_refused(values: dict[str, object]) -> None:
    try:
        decoded = SENSOR.decode(json.dumps(values).encode())
    except RefusedError:
        return
    assert decoded == values


PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.sampled_from(["GOOD", "BAD", "x", "a\x7f", "a\x01", 'q"q', "a\\", "ü", "", "\ud800", "x" * 65]),
)
PAIRS = st.lists(st.tuples(st.sampled_from([k.name for k in SENSOR.keys] + ["x"]), PLAIN), max_size=9)


@given(PAIRS, st.booleans(), st.sampled_from([",", ", ", ",\n"]))
def test_what_is_read_in_one_go_is_what_is_read_with_care(
    pairs: list[tuple[str, object]], ascii_only: bool, comma: str
) -> None:
    every = [*READING.items(), *pairs]
    for chosen in (pairs, every, list(dict(every).items())):
        texts = [f"{json.dumps(k)}:{json.dumps(v, ensure_ascii=ascii_only)}" for k, v in chosen]
        payload = ("{" + comma.join(texts) + "}").encode(errors="surrogatepass")
        quick = SENSOR._reader.read(payload)
        if quick is None:
            continue
        assert quick == json.loads(payload)
        SENSOR.check(json.loads(payload))
        assert len(dict(chosen)) == len(chosen)


@pytest.mark.parametrize("key", [key for key in SENSOR.keys if not key.required])
def test_plain_payloads_are_read_in_one_go(key: Key) -> None:
    values = {**READING, "quality": "GOOD", "urgency": 0.5, "utc_ns": 1763822831000000000}
    assert SENSOR._reader.read(json.dumps(values).encode()) == values
    del values[key.name]
    assert SENSOR._reader.read(json.dumps(values).encode()) == values


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "json"),
        (b"null", "json"),
        (b"[]", "json"),
        (b"[" * 1000, "json"),
        (b'{"a":' * 200, "json"),
        (b"\xff\xfe", "encoding"),
        (b" " * 1025, "size"),
        (text(value=float("nan")), "json"),
        (text(value=float("inf")), "json"),
        (b'{"seq":1,"kind":"a","value":1e999,"unit":"x"}', "range"),
        (text(value="1.5"), "type"),
        (text(value=True), "type"),
        (text(value=None), "type"),
        (text(value=[1]), "type"),
        (text(seq=1.0), "type"),
        (text(seq=-1), "range"),
        (text(seq=MAX_INT + 1), "range"),
        (text(urgency=1.01), "range"),
        (text(quality="good"), "range"),
        (text(kind=""), "range"),
        (text(unit="x" * 65), "range"),
        (text(unit="\ud800"), "encoding"),
        (text(unit="a\nb"), "encoding"),
        (text(urgancy=0.9), "keys"),
        (b'{"seq":1}', "keys"),
        (b'{"seq":1,"kind":"a","value":1,"unit":"x","urgency":0.9,"urgency":0}', "json"),
    ],
)
def test_malformed_readings_are_refused_by_reason(payload: bytes, reason: str) -> None:
    assert reason_of(payload) == reason


KEYS = (
    Key("s", "string", "", max_length=5),
    Key("e", "string", "", one_of=("A", "B")),
    Key("i", "integer", "", minimum=0),
    Key("n", "number", "", minimum=-1, maximum=1),
    Key("f", "number", ""),
    Key("b", "boolean", ""),
    Key("t", "boolean", "", always=True),
    Key("a", "string", "", only_with=("e", "A")),
)
VALUES = st.fixed_dictionaries(
    {
        "s": st.text(max_size=6),
        "e": st.sampled_from(["A", "B", "C", 1]),
        "i": st.one_of(st.integers(-1, 2**70), st.booleans(), st.floats()),
        "n": st.one_of(st.floats(), st.integers(-2, 2)),
        "f": st.one_of(st.floats(), st.integers()),
        "b": st.one_of(st.booleans(), st.integers(0, 1)),
        "t": st.booleans(),
    },
    optional={"a": st.sampled_from(["", "x"])},
)


@given(VALUES)
def test_what_is_sent_keeps_the_rules_in_the_order_of_the_keys(values: dict[str, object]) -> None:
    schema = Schema("any", "", 200, KEYS)
    try:
        schema.check(values)
    except RefusedError:
        with pytest.raises(RefusedError):
            schema.encode(values)  # type: ignore[arg-type]
        return
    payload = schema.encode(values)  # type: ignore[arg-type]
    assert payload.isascii()
    assert list(json.loads(payload)) == [key.name for key in KEYS if key.name in values]
    assert schema.decode(payload) == values


def test_too_long_a_payload_does_not_leave() -> None:
    with pytest.raises(RefusedError, match="at most 20"):
        Schema("s", "", 20, (Key("text", "string", ""),)).encode({"text": "x" * 30})


def test_verdict_ends_with_ready() -> None:
    assert VERDICT.keys[-1].name == "ready"
    assert VERDICT.max_bytes == 512


def test_schema_files_are_those_of_the_tables() -> None:
    files = {path.name: path.read_text(encoding="ascii") for path in FILES.glob("*")}
    hint = "run: python -m inspector.mqtt_schema deploy/plc/schemas"
    assert files == json_schema_files(), hint


def test_every_schema_is_flat() -> None:
    kinds = {"string", "integer", "number", "boolean"}
    for schema in SCHEMAS:
        document = json.loads(json.dumps(schema.json_schema()))
        assert {p["type"] for p in document["properties"].values()} <= kinds
        assert document["additionalProperties"] is False
