"""What the GPU's memory for outputs is taken by: the engine's own types and shapes."""

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from tiny_model import COLUMNS, ROWS, write_tiny_model

from inspector.detect.cuda.load_network import network_outputs
from inspector.detect.model.manifest import Head, Manifest
from inspector.detect.teaching.graph import SCORE, SCORE_MAP
from inspector.errors import ModelError


class Engine:
    """TensorRT's engine, as far as it is asked. Types are NumPy's names."""

    def __init__(self, **tensors: tuple[tuple[int, ...], str]) -> None:
        self.tensors = tensors

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name][0]

    def get_tensor_dtype(self, name: str) -> str:
        return self.tensors[name][1]


def nptype(kind: str) -> npt.DTypeLike:
    """As TensorRT's: a TypeError for what NumPy lacks."""
    if kind == "bfloat16":
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
    return np.dtype(kind).type


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    head = Head(
        decode="boxes", outputs={"boxes": ("boxes",), "labels": ("labels",)}, labels=("chip",),
        network_width_px=64, network_height_px=48,
    )  # fmt: skip
    return msgspec.structs.replace(
        write_tiny_model(tmp_path / "tiny"), task="boxes", decode="boxes", head=head
    )


def test_each_output_has_its_own_type(manifest: Manifest) -> None:
    engine = Engine(boxes=((-1, 300, 4), "float16"), labels=((1, 300), "int64"))
    outputs, parameters = network_outputs(engine, manifest, nptype)
    assert outputs == {"boxes": ((1, 300, 4), np.float16), "labels": ((1, 300), np.int64)}
    assert parameters is None


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (((-1, -1), "int64"), "length of output labels depends on the frame"),
        (((1, -1), "int64"), "length of output labels depends on the frame"),
        (((1, 300), "bfloat16"), "output labels is bfloat16"),
    ],
)
def test_what_no_memory_can_be_taken_for_is_one_clear_line(
    manifest: Manifest, labels: tuple[tuple[int, ...], str], said: str
) -> None:
    engine = Engine(boxes=((1, 300, 4), "float32"), labels=labels)
    with pytest.raises(ModelError, match=said) as raised:
        network_outputs(engine, manifest, nptype)
    assert "\n" not in str(raised.value)


def test_our_own_outputs_are_decoded_on_the_device(tmp_path: Path) -> None:
    ours = write_tiny_model(tmp_path / "tiny")
    shapes = {SCORE: ((-1,), "float32"), SCORE_MAP: ((-1, ROWS, COLUMNS), "float32")}
    outputs, parameters = network_outputs(Engine(**shapes), ours, nptype)
    assert outputs == {SCORE: ((), np.float32), SCORE_MAP: ((ROWS, COLUMNS), np.float32)}
    assert parameters is not None
    with pytest.raises(ModelError, match="must be float32"):
        network_outputs(Engine(**shapes | {SCORE: ((-1,), "float16")}), ours, nptype)
