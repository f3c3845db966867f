"""Images and schemas in the form that other MCAP tools read."""

import contextlib
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inspector.errors import DataError
from inspector.store import raw_image
from inspector.store.layout import SessionMeta
from inspector.store.schemas import viewer_schema
from inspector.store.session import RECORDED
from inspector.types import FrameMeta, Message


def protobuf_class() -> Any:
    """`foxglove.RawImage` as the reference implementation makes it from our descriptor."""
    files = descriptor_pb2.FileDescriptorSet.FromString(raw_image.SCHEMA)
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(raw_image.SCHEMA_NAME))


def test_reference_protobuf_reads_our_images() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    data = raw_image.encode(image, "RGB8", "cam1", 1_763_823_815_123_456_789)
    read = protobuf_class().FromString(data)
    assert (read.width, read.height, read.step, read.encoding) == (4, 5, 12, "rgb8")
    assert (read.timestamp.seconds, read.timestamp.nanos) == (1_763_823_815, 123_456_789)
    assert read.frame_id == "cam1"
    assert read.data == image.tobytes()


def test_we_read_images_of_the_reference_protobuf() -> None:
    kind = protobuf_class()
    image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    written = kind(width=4, height=3, step=8, encoding="16UC1", data=image.tobytes())
    assert np.array_equal(raw_image.decode(written.SerializeToString()), image)


@given(
    hnp.arrays(st.sampled_from([np.uint8, np.uint16]), hnp.array_shapes(min_dims=2, max_dims=2, max_side=20))
)
def test_every_grey_image_reads_back(image: Any) -> None:
    read = raw_image.decode(raw_image.encode(image, "Mono8", "c", 0))
    assert read.dtype == image.dtype
    assert np.array_equal(read, image)


@given(st.binary(max_size=200))
def test_malformed_image_is_a_data_error(data: bytes) -> None:
    with pytest.raises(DataError):
        raw_image.decode(data)


@given(st.data())
def test_changed_image_is_a_data_error_or_an_image(data: st.DataObject) -> None:
    good = bytearray(raw_image.encode(np.zeros((3, 4), np.uint8), "Mono8", "cam", 5))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    with contextlib.suppress(DataError):
        assert raw_image.decode(bytes(good[:cut])).ndim >= 2


TYPES: list[type[Message]] = [topic.type for topic in RECORDED.values()] + [FrameMeta, SessionMeta]


@pytest.mark.parametrize("kind", TYPES)
def test_schema_is_one_that_viewers_take(kind: type[Message]) -> None:
    """Foxglove's parser wants a type everywhere, properties of objects and items of arrays."""

    def check(schema: dict[str, Any]) -> None:
        assert not {"$ref", "anyOf", "oneOf", "prefixItems"} & set(schema)
        match schema["type"]:
            case "object":
                for part in schema["properties"].values():
                    check(part)
            case "array":
                assert schema["items"]["type"] in {"boolean", "string", "number", "integer", "object"}
                check(schema["items"])
            case simple:
                assert simple in {"boolean", "string", "number", "integer"}

    root = json.loads(viewer_schema(kind))
    assert root["type"] == "object"
    assert list(root["properties"]) == [field.encode_name for field in msgspec.structs.fields(kind)]
    check(root)


def test_schema_tells_that_a_heat_map_is_base64() -> None:
    schema = json.loads(viewer_schema(RECORDED["results"].type))
    data = schema["properties"]["heatmap"]["properties"]["data"]
    assert data == {"type": "string", "contentEncoding": "base64"}
