"""Score maps become boxes and heat maps in the image's own pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inspector.detect.cuda.decode_plan import Answer, Region, decode_parameters, decoded_answer
from inspector.detect.model.decode import (
    HEATMAP_LIMIT,
    MAX_DETECTIONS,
    ScoreMap,
    decode_anomaly_map,
    regions,
    shrink,
)
from inspector.detect.model.manifest import (
    Calibration,
    HowMade,
    InputLayout,
    Manifest,
    OnnxFile,
)


def manifest(width: int = 640, height: int = 480) -> Manifest:
    return Manifest(
        format=1, name="test", task="anomaly", onnx=OnnxFile(file="model.onnx", sha256="0" * 64),
        input=InputLayout(width_px=width, height_px=height, pixel_format="Mono8"),
        labels=("anomaly",), decode="anomaly_map", thresholds={"defect": 0.5, "box": 0.5},
        calibration=Calibration(slope=4.0, offset=0.0, source="good"), metrics={},
        how_made=HowMade(
            command="", made_utc="", method="gaussian", backbone="", good_images=5,
            defect_images=0, network_width_px=320, network_height_px=240,
        ),
    )  # fmt: skip


def test_one_hot_cell_gives_its_own_pixels() -> None:
    score_map = np.full((48, 64), 0.2, dtype=np.float32)
    score_map[10, 20] = 3.0
    decoded = decode_anomaly_map(3.0, score_map, manifest())
    (found,) = decoded.detections
    assert found.box_px == (200, 100, 210, 110)
    assert found.label == "anomaly"
    assert found.score == decoded.p_defect > 0.9
    assert decoded.heatmap is not None
    assert decoded.heatmap.data.index(max(decoded.heatmap.data)) == 10 * 64 + 20


def test_cells_that_touch_at_a_corner_are_one_region_and_others_are_two() -> None:
    score_map = np.zeros((10, 10), dtype=np.float32)
    score_map[1, 1] = score_map[2, 2] = 5.0
    score_map[7, 7] = 9.0
    found = regions(score_map, 1.0, (100, 100))
    assert found == [((70, 70, 80, 80), 9.0), ((10, 10, 30, 30), 5.0)]


def test_a_part_that_passes_has_no_boxes_whatever_a_map_of_another_scale_says() -> None:
    score_map = np.full((48, 64), 0.2, dtype=np.float32)
    score_map[10, 20] = 3.0
    one = manifest()
    assert decode_anomaly_map(0.9, score_map, one).detections == ()
    assert len(decode_anomaly_map(1.1, score_map, one).detections) == 1
    for score, boxes in ((0.9, 0), (1.1, 1)):
        answer = Answer(score=score, count=1)
        answer.region[0] = Region(20, 10, 21, 11, 3.0)
        decoded = decoded_answer(answer, decode_parameters(48, 64, one), one)
        assert len(decoded.detections) == boxes


def test_a_part_that_only_its_score_rejects_has_a_box_at_the_maps_highest_place() -> None:
    score_map = np.full((48, 64), 0.2, dtype=np.float32)
    score_map[10, 20:22] = 0.8
    score_map[30, 5] = 0.5
    one = manifest()
    (found,) = decode_anomaly_map(1.5, score_map, one).detections
    assert found.box_px == (200, 100, 220, 110)
    assert found.score < 0.5  # as the map says
    answer = Answer(score=1.5, count=0)
    answer.heat[: score_map.size] = score_map.ravel().tolist()
    assert decoded_answer(answer, decode_parameters(48, 64, one), one).detections == (found,)
    flat = np.full((48, 64), 0.2, dtype=np.float32)
    assert decode_anomaly_map(1.5, flat, one).detections == ()
    assert decode_anomaly_map(1.5, 0 * flat, one).detections == ()


def test_a_good_part_has_no_boxes() -> None:
    decoded = decode_anomaly_map(0.3, np.full((30, 40), 0.3, dtype=np.float32), manifest())
    assert decoded.detections == ()
    assert decoded.p_defect < 0.05


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 90), st.integers(1, 90)),
        elements=st.floats(0, 10, width=32),
    ),
    st.integers(90, 700),
    st.integers(90, 700),
)
def test_boxes_stay_inside_and_cover_the_peak(score_map: ScoreMap, width: int, height: int) -> None:
    peak = float(score_map.max())
    decoded = decode_anomaly_map(peak, score_map, manifest(width, height))
    assert len(decoded.detections) <= MAX_DETECTIONS
    for found in decoded.detections:
        x0, y0, x1, y1 = found.box_px
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert found.score + 1e-6 >= 0.5
    if decoded.detections:
        assert decoded.detections[0].score == decoded.p_defect
    else:
        assert decoded.p_defect <= 0.5 + 1e-6
    heat = decoded.heatmap
    assert heat is not None
    assert heat.width <= HEATMAP_LIMIT
    assert heat.height <= HEATMAP_LIMIT
    assert len(heat.data) == heat.width * heat.height
    assert max(heat.data) == round(decoded.p_defect * 255)


def test_shrinking_keeps_a_single_hot_cell() -> None:
    score_map = np.zeros((130, 333), dtype=np.float32)
    score_map[77, 300] = 1.0
    small = shrink(score_map)
    assert small.shape == (64, 64)
    assert small.max() == 1.0
