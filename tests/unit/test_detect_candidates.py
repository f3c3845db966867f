"""Whatever a network says, boxes that come out are inside the frame, sound, and do not overlap too much."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inspector.detect.model.candidates import F32, Candidates, activate, candidates, overlaps, strongest
from inspector.detect.model.decode import found_boxes
from inspector.detect.model.manifest import Head, InputLayout
from inspector.detect.model.placement import Fit, Placement
from inspector.errors import ModelError

LABELS = ("a", "b")
anything = st.floats(-1e6, 1e6, width=32) | st.just(float("nan")) | st.just(float("inf"))
OUTPUTS = {
    "yolo_v5": ((1, 12, 7), "output"),
    "yolo_v8": ((1, 6, 12), "output"),
    "boxes": ((1, 12, 6), "output"),
}


def head(decode: str, **more: object) -> Head:
    return Head(
        decode=decode, outputs={"output": ("out",)}, labels=LABELS, network_width_px=64,
        network_height_px=48, **more,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("decode", list(OUTPUTS))
@settings(max_examples=40)
@given(data=st.data(), width=st.integers(1, 500), height=st.integers(1, 500))
def test_boxes_of_any_output_are_sound_and_inside(
    decode: str, data: st.DataObject, width: int, height: int
) -> None:
    out = data.draw(hnp.arrays(np.float32, OUTPUTS[decode][0], elements=anything))
    fit: Fit = data.draw(st.sampled_from(["letterbox", "stretch"]))
    layout = InputLayout(width_px=width, height_px=height, pixel_format="Mono8")
    try:
        found = found_boxes({"out": out}, head(decode, fit=fit), layout, 0.05)
    except ModelError:
        assert not np.isfinite(out).all()
        return
    assert (found.boxes[:, :2] >= 0).all()
    assert (found.boxes[:, 2:] <= [width, height]).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert np.isfinite(found.scores).all()
    assert (found.scores >= 0.05).all()
    assert (np.diff(found.scores) <= 0).all()
    assert set(found.labels) <= {0, 1}


@given(
    st.integers(1, 3000), st.integers(1, 3000), st.integers(8, 700), st.integers(8, 700),
    st.sampled_from(["letterbox", "stretch"]),
)  # fmt: skip
def test_the_way_into_the_network_and_back_is_the_same(
    width: int, height: int, network_width: int, network_height: int, fit: Fit
) -> None:
    place = Placement.of((width, height), (network_width, network_height), fit)
    assert 0 <= place.left <= place.left + place.width <= network_width
    assert 0 <= place.upper <= place.upper + place.height <= network_height
    whole = np.array(
        [[place.left, place.upper, place.left + place.width, place.upper + place.height]], np.float32
    )
    assert place.to_source(whole)[0] == pytest.approx([0, 0, width, height], rel=1e-4, abs=1e-2)


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 40), st.integers(1, 30)), max_size=12
    )
)
def test_of_boxes_that_overlap_the_strongest_stays(rows: list[tuple[int, int, int, int]]) -> None:
    boxes = np.array([[x, y, x + side, y + side] for _, x, y, side in rows], np.float32).reshape(-1, 4)
    scores = np.linspace(0.1, 0.9, len(rows), dtype=np.float32)
    labels = np.array([row[0] for row in rows], dtype=np.int64)
    kept = strongest(Candidates(labels, scores, boxes), 0.2, 0.5)
    assert (kept.scores >= 0.2).all()
    same = kept.labels[:, None] == kept.labels[None]
    apart = overlaps(kept.boxes, kept.boxes)
    np.fill_diagonal(apart, 0)
    assert (apart[same] <= 0.5).all()
    # What went, went for a stronger one of its label that it overlaps, or for its score.
    for label, score, box in zip(labels, scores, boxes, strict=True):
        if score >= 0.2 and not (kept.boxes == box).all(axis=1).any():
            over = overlaps(box[None], kept.boxes)[0]
            assert ((over > 0.5) & (kept.labels == label) & (kept.scores >= score)).any()


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)))
def test_activations_give_probabilities(values: F32) -> None:
    soft = activate(values, "softmax")
    assert soft.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    for result in (soft, activate(values, "sigmoid")):
        assert ((result >= 0) & (result <= 1)).all()


@pytest.mark.parametrize("decode", ["yolo_v5", "yolo_v8", "detr", "fcos", "boxes"])
@pytest.mark.parametrize("shape", [(1,), (1, 3), (1, 9, 9), (0, 0, 0), (2, 1, 4, 5, 6)])
def test_outputs_of_other_shapes_are_a_model_error(decode: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError):
        candidates({"out": np.zeros(shape, dtype=np.float32)}, head(decode))


@pytest.mark.parametrize("decode", list(OUTPUTS))
def test_a_network_gone_wrong_does_not_say_that_the_part_is_good(decode: str) -> None:
    out = np.full(OUTPUTS[decode][0], np.nan, dtype=np.float32)
    layout = InputLayout(width_px=64, height_px=48, pixel_format="Mono8")
    with pytest.raises(ModelError, match="no score of the network is a number"):
        found_boxes({"out": out}, head(decode), layout, 0.05)
