"""The finer map: learned image by image, and the same in the graph as in numpy."""

import numpy as np

from inspector.detect.model.manifest import InputLayout
from inspector.detect.teaching.detail import Detail
from inspector.detect.teaching.features import compile_bytes
from inspector.detect.teaching.graph import F32, IMAGE, SCORE_MAP, GraphBuilder, finish

ROWS, COLUMNS, DEPTH = 6, 8, 5


def _images(count: int) -> list[F32]:
    rng = np.random.default_rng(0)
    place = rng.normal(0, 3, (2 * ROWS, 2 * COLUMNS, DEPTH))
    mix = rng.normal(0, 1, (DEPTH, DEPTH))
    return [(place + rng.normal(0, 1, place.shape) @ mix).astype(np.float32) for _ in range(count)]


def test_a_usual_part_has_length_one_everywhere_and_a_change_stands_out_where_it_is() -> None:
    images = _images(40)
    detail = Detail.fit(images[:-1])
    usual = detail.maps(images[-1])
    assert 0.7 < np.sqrt((usual**2).mean()) < 1.3
    changed = images[-1].copy()
    changed[3, 4] += 30.0
    found = detail.maps(changed)
    assert int(found.argmax()) == 3 * 2 * COLUMNS + 4
    np.testing.assert_array_equal(
        np.delete(found.ravel(), 3 * 2 * COLUMNS + 4), np.delete(usual.ravel(), 3 * 2 * COLUMNS + 4)
    )


def test_the_graph_gives_the_same_distances() -> None:
    images = _images(6)
    detail = Detail.fit(images[:-1])
    graph = GraphBuilder()
    layout = InputLayout(width_px=8, height_px=8, pixel_format="Mono8")
    graph.add("Cast", IMAGE, to=1)  # the graph must read its input
    features = graph.constant(np.ascontiguousarray(images[-1].transpose(2, 0, 1)[None]))
    graph.add("Identity", detail.add_to(graph, features), name=SCORE_MAP)
    model = finish(graph, layout, {SCORE_MAP: (1, 1, 2 * ROWS, 2 * COLUMNS)}, "detail")
    got = compile_bytes(model.SerializeToString(), 1)({IMAGE: np.zeros((1, 8, 8, 1), np.uint8)})[SCORE_MAP]
    np.testing.assert_allclose(got[0, 0], detail.maps(images[-1]), rtol=2e-3)


def test_two_alike_images_are_no_trouble() -> None:
    image = _images(1)[0]
    detail = Detail.fit([image, image])
    assert np.isfinite(detail.whitening).all()
    assert detail.maps(image).max() < 0.1
